"""Write, check and show the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from samaops import resources
from samaops.config import consistency, files, keys
from samaops.config.keys import Key
from samaops.config.load import Configuration
from samaops.config.masking import MASK
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, RefusedError
from samaops.i18n import _
from samaops.site.site import Site
from samaops.workflows.diagnose import unknown_thresholds
from samaops.workflows.troubleshooting import own


class Shown(Struct, frozen=True):
    """One value in effect: its key, the value with secrets masked, and where it comes from."""

    key: str
    value: Any
    source: str  # "file", "default", or the name of the environment variable


def write_example(path: Path, *, force: bool = False) -> None:
    """Write the commented example, readable for its owner only.

    Raises RefusedError when there is a file already and ``force`` is not given.
    """
    if files.exists(path) and not force:
        raise RefusedError(
            _("{path} exists and was left as it is").format(path=path),
            hint=_("samaops config init --force   overwrites it"),
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write_private(path, resources.example_config().read_bytes())
    except OSError as error:
        raise ConfigurationError(
            _("{path} cannot be written: {reason}").format(path=path, reason=error.strerror)
        ) from error


def check(configuration: Configuration) -> tuple[str, ...]:
    """Look up every secret and return the names of the configured systems.

    Raises ConfigurationError with one sentence per problem. What ``load`` checks is already done.
    """
    settings = configuration.settings
    problems = [text for _code, text in unknown_thresholds(Site(settings))]
    for key, value in keys.walk(settings):
        if isinstance(value, Secret):
            problems.extend(_problem_of(key, value))
    problems = [f"{configuration.path}: {problem}" for problem in problems]
    problems += own.problems(Site(settings))
    if problems:
        raise ConfigurationError("\n".join(problems))
    return consistency.systems(settings)


def _problem_of(key: Key, secret: Secret) -> list[str]:
    try:
        secret.reveal()
    except ConfigurationError as error:
        return [f"{keys.dotted(key)}: {error.message}"]
    return []


def show(configuration: Configuration) -> tuple[Shown, ...]:
    """Return every value in effect of the configured sections, secrets masked."""
    return tuple(
        Shown(keys.dotted(key), _plain(value), _source(key, configuration))
        for key, value in keys.walk(configuration.settings)
        if value is not None and value not in ({}, ())
    )


def _plain(value: object) -> Any:
    if isinstance(value, Secret):
        return MASK if value.is_literal else value.model_dump(mode="json", exclude_none=True)
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _source(key: Key, configuration: Configuration) -> str:
    for length in range(len(key) + 1, 0, -1):
        for variable_key, variable in configuration.variables.items():
            if variable_key[:length] == key[:length] and len(variable_key) <= length:
                return variable
    here: Any = configuration.document
    for part in key:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            return "default"
    return "file"


def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
