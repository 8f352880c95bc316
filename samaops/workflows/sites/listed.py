"""Which sites there are: the file of each, whether it can be read, who looks at it, and how the last look found it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from shlex import quote
from typing import Any

from samaops.config import load
from samaops.config import sites as known_sites
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError
from samaops.i18n import _, joined, ngettext
from samaops.journal import last_look
from samaops.model.difference import clock
from samaops.model.status import Status
from samaops.model.table import Column, Table


def listed(words_of_status: Callable[[Status], str], now: datetime | None = None) -> Table:
    """Return every site; nothing is connected to. ``words_of_status`` says a status in the user's language.

    Raises ConfigurationError where a directory of sites cannot be read.
    """
    rows = [
        _row(name, path, words_of_status, now or datetime.now(timezone.utc))
        for name, path in known_sites.all_of().items()
    ]
    columns = (
        Column("site", _("site"), is_copied=True),
        Column("looked_at_by", _("looked at from")),
        Column("last_look", _("last look")),
        Column("found", _("found")),
        Column("file", _("file")),
    )
    unusable = [row for row in rows if not row["is_usable"]]
    return Table(
        "sites",
        columns,
        tuple(rows),
        _none(),
        notes=(*(f"{row['site']}: {row['problem']}" for row in unusable), *(_left_out() if rows else ())),
        answer=_answer(len(rows), len(unusable)) if rows else _none(),
        is_whole=not unusable,
        commands=("samaops diagnose --sites all",) if rows else (),
    )


def _left_out() -> tuple[str, ...]:
    """Say that the usual configuration is of a site that has no file among those of the sites."""
    with suppress(ConfigurationError):  # where there is none, or it cannot be used, none is left out
        configuration = load.read(load.find())
        name, path = configuration.settings.site, configuration.path
        if name not in known_sites.all_of():
            text = _("{path} ({site}) is none of them: --sites leaves it out; to make it one: {command}")
            return (text.format(path=path, site=name, command=_move(path, name)),)
    return ()


def _move(path: Path, name: str) -> str:
    """Return the command that makes the usual configuration the file of a site, with the rights that it has."""
    sudo = "" if os.access(path.parent, os.W_OK) else "sudo "
    directory = quote(str(path.parent / "sites"))
    target = quote(str(path.parent / "sites" / f"{name}.toml"))
    return f"{sudo}mkdir -p {directory} && {sudo}mv {quote(str(path))} {target}"


def _none() -> str:
    text = _("There are no sites: no file NAME.toml in {places}")
    return text.format(places=", ".join(map(str, known_sites.directories())))


def _answer(count: int, unusable: int) -> str:
    sites = ngettext("{count} site", "{count} sites", count).format(count=count)
    if not unusable:
        return sites
    text = ngettext(
        "{sites}; the configuration of {count} cannot be used",
        "{sites}; the configurations of {count} cannot be used",
        unusable,
    )
    return text.format(sites=sites, count=unusable)


def _row(name: str, path: Path, words_of_status: Callable[[Status], str], now: datetime) -> dict[str, Any]:
    settings, problem = _settings(name)
    last = last_look.load(name)
    return {
        "site": name,
        "looked_at_by": _by(settings) if settings else "–",
        "is_satellite": bool(settings and settings.satellite),
        "last_look": clock(last.at, now) if last else _("never"),
        "last_look_at": last.at.isoformat(timespec="seconds") if last else None,
        "found": words_of_status(last.status) if last else "",
        "status": last.status.value if last else None,
        "is_usable": settings is not None,
        "problem": problem,
        "file": str(path),
    }


def _settings(name: str) -> tuple[Settings | None, str]:
    try:
        return known_sites.read(name).settings, ""
    except ConfigurationError as error:
        return None, joined(error.message.splitlines())


def _by(settings: Settings) -> str:
    return settings.address_of(settings.satellite.server) if settings.satellite else _("here")
