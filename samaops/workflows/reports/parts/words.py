"""How figures of a page are written, and what its parts share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from samaops.facts import month as names
from samaops.facts.availability import (
    Bounds,
)
from samaops.facts.month import MonthlyReport
from samaops.i18n import N_, _, number
from samaops.model.quantities import duration
from samaops.model.status import SEVERITY
from samaops.model.table import Column, Table
from samaops.site import jobs
from samaops.site.site import Site

OK, WARNING, BAD, UNKNOWN = "ok", "warning", "critical", "unknown"
# What a page shows of a list; the command below it shows the rest.
MOST_ROWS = 50
# No line ends before it.
_PERCENT = "\u00a0%"
_PART_NAMES = {
    names.AVAILABILITY: N_("availability"),
    names.KPIS: N_("objectives"),
    names.CHANGES: N_("changes"),
    names.RUNS: N_("maintenance"),
    names.BACKUPS: N_("backups"),
    names.CAPACITY: N_("growth"),
    names.SERVERS: N_("users and keys"),
}


def name_of(part: str) -> str:
    """Return how people call what is gathered apart."""
    return _(_PART_NAMES.get(part, part))


def percent(value: float | None) -> str:
    """Return a share in percent, with the digits that it has."""
    return _("not observed") if value is None else number(f"{value:g}") + _PERCENT


def bounds(of: Bounds) -> str:
    """Return an interval of percents, as one where both ends are written the same."""
    if of.lower is None or of.upper is None:
        return _("not observed")
    low, high = percent(of.lower), percent(of.upper)
    return low if low == high else _("between {low} and {high}").format(low=low, high=high)


def clock(site: Site, moment: datetime) -> str:
    """Return a moment by the clock of the site, to the minute."""
    return moment.astimezone(jobs.zone_of(site)).strftime("%Y-%m-%d %H:%M")


def typed_moment(site: Site, moment: datetime) -> str:
    """Return a moment as an option takes it, with its offset: it means the same on every machine."""
    return moment.astimezone(jobs.zone_of(site)).isoformat(timespec="minutes")


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def in_minutes(count: float) -> str:
    return duration(60 * count) if abs(count) >= 60 else number(f"{count:g}") + " min"


def unread(of: MonthlyReport, part: str) -> str:
    return _("Not observed: {reason}").format(reason=of.missing[part])


def worst(levels: Iterable[str]) -> str:
    order = [status.value for status in SEVERITY]
    return min((level for level in levels if level), key=order.index, default="")


def listed(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    answer: str,
    *,
    notes: Sequence[str] = (),
    commands: Sequence[str] = (),
    figures: Mapping[str, Any] | None = None,
) -> Table:
    """Return the list of a part: its answer stands there too where it is empty."""
    return Table(
        name,
        tuple(columns),
        tuple(rows),
        answer,
        tuple(notes),
        answer,
        commands=tuple(commands),
        figures=figures or {},
    )
