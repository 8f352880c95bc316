"""YAML that people write and edit: read and validated here, with its texts in both languages side by side."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, model_validator

from samaops.config import files
from samaops.config.fields import Section
from samaops.errors import ConfigurationError, reason_of
from samaops.i18n import _, language

DocumentT = TypeVar("DocumentT")
_LONGEST_WORDS = 200
_LARGEST_BYTES = 1024 * 1024
# The largest of ours has 3,000.
_MOST_NODES = 100_000
# Ours are 6 deep. The composer in C follows each level by a call of its own, without a limit: it ends the process.
_DEEPEST = 50
# The parser in C is ten times faster; an installation without it has the other one.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
# What PyYAML raises for a value that its tag does not fit: a date in month 13, !!bool 12, !!timestamp x.
_NOT_A_VALUE = (ValueError, LookupError, AttributeError, TypeError, OverflowError)


class Text(Section):
    """A text for people, ``{en: ..., fr: ...}``; one plain text stands for both languages."""

    model_config = ConfigDict(defer_build=True)  # most runs need no text

    en: str
    fr: str

    @model_validator(mode="before")
    @classmethod
    def _is_the_same_in_both(cls, given: Any) -> Any:
        return {"en": given, "fr": given} if isinstance(given, str) else given

    def __str__(self) -> str:
        """Return it in the language in use."""
        return self.fr if language() == "fr" else self.en


def load(
    path: Path, kind: TypeAdapter[DocumentT], read: Callable[[Path, int], bytes] = files.read
) -> DocumentT:
    """Read one document. Raises ConfigurationError with the file, the key and the reason."""
    try:
        text = read(path, _LARGEST_BYTES).decode("utf-8")
        # Only a site's: samaops' own are part of the program, and every run waits for them.
        if read is not files.read:
            _require_depth(text)
        return kind.validate_python(_document(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "-"
        raise ConfigurationError(f"{path}: {place}: {first['msg']}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(_not_yaml(path, error)) from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {reason_of(error)}") from error
    except RecursionError as error:
        raise ConfigurationError(
            _("{path}: not YAML: {reason}").format(path=path, reason=_("too deep"))
        ) from error
    except _NOT_A_VALUE as error:
        raise ConfigurationError(_("{path}: not YAML: {reason}").format(path=path, reason=error)) from error


def _not_yaml(path: Path, error: yaml.YAMLError) -> str:
    """Return in a sentence why it is no YAML: where, and in quotes the reader's own words, which are English."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = " ".join(str(getattr(error, "problem", None) or error).split())[:_LONGEST_WORDS]
    if mark is None:
        return _('{path}: not YAML: "{words}"').format(path=path, words=words)
    text = _('{path}: line {line}, column {column}: not YAML: "{words}"')
    return text.format(path=path, line=mark.line + 1, column=mark.column + 1, words=words)


def _document(text: str) -> Any:
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _MOST_NODES:
            raise ValueError(_("its aliases make more of it than can be read"))
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _require_depth(text: str) -> None:
    """Raise RecursionError for what is nested deeper than anything that is meant."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise RecursionError


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values there are in a node, those of an alias each time that it stands there."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        parts = node.value if isinstance(node, yaml.SequenceNode) else chain.from_iterable(node.value)
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
