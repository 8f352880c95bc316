"""What one section alone cannot show: references between sections, files that must be readable, secrets exposed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from pydantic import BaseModel

from samaops.config import files, keys
from samaops.config.keys import Key
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.errors import reason_of
from samaops.i18n import _, joined

# Where a section says itself what to connect to, its server is only a name to show.
_OWN_ADDRESS = ("host", "url")


def problems(settings: Settings) -> Iterator[tuple[Key, str]]:
    """Yield what does not fit together, as the key and a sentence that begins with it."""
    rules = (_unknown_servers, _duplicates, _unreadable_files, _untrusted_libraries, _looked_at_twice)
    for key, reason in chain.from_iterable(problems_of(settings) for problems_of in rules):
        yield key, f"{keys.dotted(key)}: {reason}"


def _unknown_servers(settings: Settings) -> Iterator[tuple[Key, str]]:
    for key, section in sections(settings):
        server = getattr(section, "server", None)
        has_address = any(getattr(section, name, None) for name in _OWN_ADDRESS)
        is_chosen = "server" in section.model_fields_set or not has_address
        if isinstance(server, str) and server not in settings.servers and is_chosen:
            yield (*key, "server"), not_a_server(server, settings)
    for server in settings.docker.containers if settings.docker else ():
        if server not in settings.servers:
            yield ("docker", "containers", server), not_a_server(server, settings)
    for server in settings.maintenance.log_servers:
        if server not in settings.servers:
            yield ("maintenance", "log_servers"), not_a_server(server, settings)


def not_a_server(server: str, settings: Settings) -> str:
    """Say that a server is not configured, with the nearest one that is."""
    text = _("{server!r} is not in [servers]").format(server=server)
    return joined((text, _nearest_known(server, tuple(settings.servers))))


def not_one_of(name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, with the nearest one that is."""
    return joined((_("{name!r} is not known").format(name=name), _nearest_known(name, tuple(known))))


def _nearest_known(name: str, known: tuple[str, ...]) -> str:
    nearest = keys.nearest(name, known)
    if nearest is not None:
        return _("did you mean {meant}?").format(meant=nearest)
    return _("known: {names}").format(names=", ".join(known) or _("none"))


def systems(settings: Settings) -> tuple[str, ...]:
    """Return the sections of the configuration that name something to look at."""
    # What says how to work rather than what to look at.
    others = {
        "version",
        "site",
        "notify",
        "schedule",
        "maintenance",
        "network",
        "history",
        "playbooks",
        "thresholds",
        "safety",
    }
    return tuple(name for name in Settings.model_fields if name not in others and getattr(settings, name))


def _looked_at_twice(settings: Settings) -> Iterator[tuple[Key, str]]:
    """Find systems of a site that its own control machine looks at: nobody else would."""
    satellite = settings.satellite
    if satellite is None:
        return
    here = ("servers", "satellite")
    others = [name for name in systems(settings) if name in settings.model_fields_set and name not in here]
    if others:
        text = _("the site's own control machine looks at it: take these sections out: {names}")
        yield ("satellite",), text.format(names=", ".join(f"[{name}]" for name in others))
    server = settings.servers.get(satellite.server)
    if server is not None and server.ssh == "none":
        yield ("satellite", "server"), _('[servers.{name}] has ssh = "none"').format(name=satellite.server)


def _duplicates(settings: Settings) -> Iterator[tuple[Key, str]]:
    """Find two members of a list with one name: their findings could not be told apart."""
    lists: list[tuple[Key, tuple[str, ...]]] = [
        (
            ("api", "instances"),
            tuple(instance.name for instance in settings.api.instances) if settings.api else (),
        ),
        (
            ("postgresql", "standbys"),
            tuple(standby.name for standby in settings.postgresql.standbys) if settings.postgresql else (),
        ),
        (("sqlserver",), tuple(database.name for database in settings.sqlserver)),
        (("certificates",), tuple(certificate.name for certificate in settings.certificates)),
    ]
    for key, names in lists:
        for place, name in enumerate(names):
            if name in names[:place]:
                yield (*key, place, "name"), _("{name!r} is already taken").format(name=name)


def _unreadable_files(settings: Settings) -> Iterator[tuple[Key, str]]:
    for key, section in sections(settings):
        for name in ("key_file", "ca_file", "certificate_file"):
            path = getattr(section, name, None)
            if not isinstance(path, Path):
                continue
            if not (files.is_regular(path) and os.access(path, os.R_OK)):
                yield (*key, name), _("{path} cannot be read").format(path=path)
            elif name == "ca_file" and (reason := _distrust(path)):
                yield (*key, name), f"{path}: {reason}"


def _untrusted_libraries(settings: Settings) -> Iterator[tuple[Key, str]]:
    """Find the drivers that are named by a path, and that others could replace: they run in this process."""
    for place, database in enumerate(settings.sqlserver):
        path = Path(database.driver)
        if path.is_absolute() and files.exists(path) and (reason := _distrust(path)):
            yield ("sqlserver", place, "driver"), f"{path}: {reason}"


def _distrust(path: Path) -> str:
    try:
        files.require_trusted(path)
    except OSError as error:
        return reason_of(error)
    return ""


def exposed_secrets(settings: Settings, path: Path, variables: Mapping[Key, str]) -> list[str]:
    """Return a sentence for each secret that stands in a file which others than its owner can read."""
    if not stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    return [
        _("{path}: {key}: a secret stands in a file that others can read; run: chmod 600 {path}").format(
            path=path, key=keys.dotted(key)
        )
        for key, value in keys.walk(settings)
        if isinstance(value, Secret) and value.is_literal and not _is_overridden(key, variables)
    ]


def _is_overridden(key: Key, variables: Mapping[Key, str]) -> bool:
    return any(variable[: len(key)] == key or key[: len(variable)] == variable for variable in variables)


def sections(value: object, key: Key = ()) -> Iterator[tuple[Key, BaseModel]]:
    """Yield every section of the settings with its key."""
    children: list[tuple[str | int, object]] = []
    if isinstance(value, BaseModel):
        if not isinstance(value, Secret):
            yield key, value
        children = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, tuple):
        children = list(enumerate(value))
    for part, child in children:
        yield from sections(child, (*key, part))
