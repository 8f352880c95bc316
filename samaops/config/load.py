"""Find, read and check the configuration; every fault is one clear ConfigurationError and nothing else happens."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from samaops.config import consistency, environment, faults, files, places, toml, versions
from samaops.config.keys import Key
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, reason_of
from samaops.i18n import _

_LARGEST_FILE_BYTES = 1_000_000
# What is needed to tell somebody, each for itself.
_TELLING = (
    ("site",),
    ("proxy",),
    ("maintenance",),
    ("history",),
    *(("notify", channel) for channel in ("mail", "slack", "alertmanager", "ping", "webhooks")),
)
_TOML_PLACE = re.compile(
    r"^(?P<reason>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$"
)


class Configuration(Struct, frozen=True):
    """Checked settings, with where they come from: the file, and the variables that override keys of it."""

    path: Path
    settings: Settings
    document: Mapping[str, Any]
    variables: Mapping[Key, str]


def search_path() -> list[Path]:
    """Return where a configuration is looked for, first found wins (after ``--config``)."""
    named = os.environ.get("SAMAOPS_CONFIG")
    paths = [Path(named)] if named else []
    with suppress(ConfigurationError):  # who has no home has no own configuration
        paths.append(places.configuration())
    return [*paths, Path("/etc/samaops/config.toml")]


def find(named: Path | None = None) -> Path:
    """Return the configuration file to use: the named one, or the first that exists.

    A file named by ``--config`` or ``SAMAOPS_CONFIG`` is never passed over for another.
    """
    if named is not None:
        return named
    searched = search_path()
    for place in searched[:1] if os.environ.get("SAMAOPS_CONFIG") else searched:
        if os.environ.get("SAMAOPS_CONFIG") or files.exists(place):
            return place
    raise ConfigurationError(
        _("There is no configuration; looked for {places}").format(
            places=", ".join(str(place) for place in searched)
        ),
        hint=_("samaops config init  (or, to practise: samaops lab up)"),
    )


def load(path: Path) -> Settings:
    """Read one configuration file, with the environment's overrides, and check all of it."""
    return read(path).settings


def read(path: Path) -> Configuration:
    """Read and check a configuration, keeping where each value comes from.

    Raises ConfigurationError for an unreadable file, bad TOML (with line and column), unknown keys (with
    the nearest right one), wrong values, references to servers that are not configured, unreadable key
    files, and literal secrets in a file that others can read.
    """
    document = parse(path)
    versions.require_known(document, path)
    overrides = environment.overrides(os.environ, document)
    variables = {key: variable for key, (variable, _value) in overrides.items()}
    place = faults.place_of(str(path), variables)
    try:
        settings = Settings.model_validate(
            environment.apply(document, overrides), context={"directory": path.absolute().parent}
        )
    except ValidationError as error:
        raise ConfigurationError("\n".join(faults.sentences(error, place))) from None
    problems = [f"{place(key)}: {text}" for key, text in consistency.problems(settings)]
    problems += consistency.exposed_secrets(settings, path, variables)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Configuration(path, settings, document, variables)


def who_is_told(path: Path) -> Settings:
    """Return what of a configuration that cannot be used says who is to be told: nothing else of it is to be believed.

    Each section stands for itself, so that a fault in one of them, or in the TOML elsewhere, costs no other.
    """
    document: dict[str, Any] = {}
    with suppress(ConfigurationError):  # a file that may not be trusted, or is not there, names nobody
        for part in re.split(r"(?m)^(?=[ \t]*\[)", _text(path)):
            with suppress(ValueError, RecursionError):
                _merge(document, toml.loads(part))
    with suppress(ConfigurationError):
        document = environment.apply(document, environment.overrides(os.environ, document))
    readable: dict[str, Any] = {}
    for key in _TELLING:
        if _at(document, key) is None:
            continue
        section: dict[str, Any] = reduce(lambda inner, part: {part: inner}, reversed(key), _at(document, key))
        with suppress(ValidationError):
            Settings.model_validate(section, context={"directory": path.absolute().parent})
            _merge(readable, section)
    return Settings.model_validate(readable, context={"directory": path.absolute().parent})


def _at(document: Any, key: tuple[str, ...]) -> Any:
    for part in key:
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _merge(document: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            _merge(document[key], value)
        else:
            document[key] = value


def parse(path: Path) -> dict[str, Any]:
    """Return a TOML file as a dictionary."""
    text = _text(path)
    try:
        return toml.loads(text)
    except toml.tomllib.TOMLDecodeError as error:
        match = _TOML_PLACE.match(str(error))
        reason = match["reason"] if match else str(error)
        line = (match and match["line"]) or text.count("\n") + 1
        column = (match and match["column"]) or len(text.rpartition("\n")[2]) + 1
        raise ConfigurationError(
            # Python's own words, which are English.
            _('{path}: line {line}, column {column}: not valid TOML: "{reason}"').format(
                path=path, line=line, column=column, reason=reason
            )
        ) from None
    except (RecursionError, ValueError):  # nested too deep; a number too long to be read
        raise ConfigurationError(
            _("{path}: not valid TOML: {reason}").format(path=path, reason=_("too deep or too long a value"))
        ) from None


def _text(path: Path) -> str:
    try:
        content = files.read_trusted(path, _LARGEST_FILE_BYTES)
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            _("{path}: the configuration cannot be read: {reason}").format(path=path, reason=reason),
            hint="samaops config init" if isinstance(error, FileNotFoundError) else "",
        ) from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            _("{path}: line {line}: not UTF-8 text").format(path=path, line=line)
        ) from None
