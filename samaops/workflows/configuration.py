"""Write, check and show the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from samaops.checks.registry import rules
from samaops.config import consistency, faults, files, in_clear, keys, soundness
from samaops.config.fields import require_url
from samaops.config.keys import Key
from samaops.config.load import Configuration
from samaops.config.masking import MASK
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.config.soundness import Problem
from samaops.errors import ConfigurationError, RefusedError, reason_of
from samaops.i18n import _, joined
from samaops.journal.history import database_of
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.diagnose import unknown_thresholds
from samaops.workflows.notify import payload
from samaops.workflows.troubleshooting import own_playbooks

_WITHOUT_USER = re.compile(r"//[^/@]*@")


class Shown(Struct, frozen=True):
    """One value in effect: its key, the value with secrets masked, and where it comes from."""

    key: str
    value: Any
    source: str  # "file", "default", or the name of the environment variable


def require_free(path: Path) -> None:
    """Raise RefusedError when there is a file already."""
    if files.exists(path):
        raise RefusedError(
            _("{path} exists and was left as it is").format(path=path),
            hint=_("samaops config init --force   overwrites it"),
        )


def write_example(path: Path, content: str, *, force: bool = False) -> None:
    """Write the commented example, readable for its owner only.

    Raises RefusedError when there is a file already and ``force`` is not given.
    """
    if not force:
        require_free(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write_private(path, content.encode())
    except OSError as error:
        raise ConfigurationError(
            _("{path} cannot be written: {reason}").format(path=path, reason=reason_of(error))
        ) from error


def check(configuration: Configuration) -> tuple[str, ...]:
    """Look up every secret and return the names of the configured systems.

    Raises ConfigurationError with one sentence per problem. What ``load`` checks is already done.
    """
    settings = configuration.settings
    place = faults.place_of(str(configuration.path), configuration.variables)
    found = [*soundness.problems(settings), *_thresholds(settings), *_secrets(settings)]
    found += payload.problems(Site(settings))
    problems = [f"{place(key)}: {keys.dotted(key)}: {reason}" for key, reason in found]
    problems += [f"{configuration.path}: {text}" for _code, text in unknown_thresholds(Site(settings))]
    problems += own_playbooks.problems(Site(settings))
    if problems:
        raise ConfigurationError("\n".join(problems))
    return consistency.systems(settings)


def warnings(settings: Settings) -> tuple[Finding, ...]:
    """Name the secrets that would travel in clear to another machine, and the servers that nobody verifies."""
    found = []
    for key, host, remedy in in_clear.secrets(settings):
        name = keys.dotted(key)
        title = _("{key} may travel in clear to {host}: nothing demands TLS").format(key=name, host=host)
        found.append(Finding("config.secret.in_clear", Status.WARNING, f"config/{name}", title, hint=remedy))
    for system in ("postgresql", "pgbouncer", "redis", "rabbitmq"):
        section = getattr(settings, system)
        if section is not None and section.tls is not None and not section.tls.verify:
            title = _("{system} is believed unseen: its certificate is not verified").format(system=system)
            hint = _("name its authority in {section}.ca_file, and leave out verify").format(
                section=f"{system}.tls"
            )
            found.append(
                Finding("config.tls.unverified", Status.WARNING, f"config/{system}", title, hint=hint)
            )
    return tuple(found)


def _secrets(settings: Settings) -> Iterator[Problem]:
    """Look up every secret; find those that lead nowhere, are empty, or are not the URL that they must be."""
    for key, value in keys.walk(settings):
        if not isinstance(value, Secret):
            continue
        try:
            revealed = value.reveal()
        except ConfigurationError as error:
            yield key, error.message
            continue
        if not revealed.strip():
            yield key, _("the secret is empty")
        elif key[0] == "notify" and key[-1] == "url":
            try:
                require_url(_WITHOUT_USER.sub("//", revealed.strip(), count=1))
            except ValueError as error:  # never holds the value
                yield key, str(error)
        elif key == ("history", "url"):
            try:
                database_of(settings)
            except ConfigurationError as error:
                yield key, error.message.removeprefix("history.url: ")


def _thresholds(settings: Settings) -> Iterator[Problem]:
    """Find limits that can never do what they say: of a check that has none, or the worse one before the better."""
    known = {rule.code: rule for rule in rules()} if settings.thresholds else {}
    for code, limits in settings.thresholds.items():
        rule = known.get(code)
        if rule is None:
            continue
        if rule.warning is None and rule.critical is None:
            yield ("thresholds", code), _("this check has no limits that could be set")
            continue
        warning = rule.warning if limits.warning is None else limits.warning
        critical = rule.critical if limits.critical is None else limits.critical
        if warning is None or critical is None or warning == critical:
            continue
        if (critical > warning) is rule.less_is_worse:
            text = _("critical ({critical:g}) would come before warning ({warning:g})")
            order = _("less is worse here") if rule.less_is_worse else _("more is worse here")
            yield (
                ("thresholds", code),
                joined((text.format(critical=critical, warning=warning), order)),
            )


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
