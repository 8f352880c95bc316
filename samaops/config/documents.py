"""YAML that people write and edit: read and validated here, with its texts in both languages side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, model_validator

from samaops.config.settings import Section
from samaops.errors import ConfigurationError
from samaops.i18n import _, language

DocumentT = TypeVar("DocumentT")


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


def load(path: Path, kind: TypeAdapter[DocumentT]) -> DocumentT:
    """Read one document. Raises ConfigurationError with the file, the key and the reason."""
    # The parser in C is ten times faster; an installation without it has the other one.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - both loaders are safe ones
        return kind.validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "-"
        raise ConfigurationError(f"{path}: {place}: {first['msg']}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(_("{path}: not YAML: {reason}").format(path=path, reason=reason)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
