"""What grows, and when it is full if it goes on so: a date with a band, or none where the days do not lie on a line.

The line is Theil and Sen's: the median of the slopes between any two days, so that one night's export moves nothing. Its band is
Sen's (1968) at 90 %, from the spread of these slopes by Kendall's variance.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.facts.availability import Capacity, Growth, Period
from samaops.facts.sample import DISK, POOL, REDIS
from samaops.i18n import _, ngettext, number
from samaops.journal.samples import Figures
from samaops.model.quantities import size
from samaops.model.status import Status
from samaops.model.table import Column, Table
from samaops.site import disk_owners
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.reports import growth as ledger
from samaops.workflows.reports import period as periods
from samaops.workflows.reports import seen
from samaops.workflows.reports.seen import Seen

# With fewer days a line is drawn through noise; with a worse fit the days lie on none.
LEAST_DAYS, LEAST_FIT = 14, 0.5
# What a line says of later years is no forecast.
FARTHEST_DAYS = 5 * 365
# How far ahead something full is work of the next month.
_AHEAD_DAYS = 92
# The normal quantile of a band of 90 %.
_Z = 1.645


class Line(Struct, frozen=True):
    """A line through days: its slope a day with the band of it, and which share of the spread of the values it explains."""

    slope: float
    least: float
    most: float
    fit: float


def line(points: Sequence[tuple[int, float]]) -> Line:
    """Return the line of Theil and Sen through at least three days (day, value)."""
    slopes = sorted((b - a) / (later - day) for (day, a), (later, b) in combinations(points, 2))
    slope = statistics.median(slopes)
    level = statistics.median(value - slope * day for day, value in points)
    middle = statistics.median(value for _day, value in points)
    spread = sum(abs(value - middle) for _day, value in points)
    left = sum(abs(value - level - slope * day) for day, value in points)
    count = len(points)
    reach = _Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, round((len(slopes) - reach) / 2) - 1)
    high = min(len(slopes) - 1, round((len(slopes) + reach) / 2))
    return Line(slope, slopes[low], slopes[high], 1 - left / spread if spread else 1.0)


def foreseen(site: Site, period: Period) -> tuple[Capacity, ...]:
    """Return what has a limit, the soonest full first. Raises UnavailableError where the history cannot be read."""
    return of_seen(seen.read(site, period.since, period.until))


def of_seen(of: Seen) -> tuple[Capacity, ...]:
    """Return what has a limit by what was seen. Pure."""
    found = [*_of(of)]
    return tuple(sorted(found, key=lambda each: (each.full_on or date.max, -_share(each), each.subject)))


def _of(of: Seen) -> Iterator[Capacity]:
    for name in of.subjects:
        kind, _slash, rest = name.partition("/")
        if kind == DISK:
            server = rest.partition(":")[0]
            yield _capacity(name, server, "%", of.subjects[name].figures, 100.0)
        elif name == f"{REDIS}/memory":
            yield _capacity(name, None, "%", of.subjects[name].figures, 100.0, of_largest=True)
        elif name == f"{POOL}/clients":
            limit = of.subject(f"{POOL}/limit").figures
            most = limit[max(limit)].last if limit else None
            yield _capacity(name, None, "clients", of.subjects[name].figures, most, of_largest=True)


def _share(each: Capacity) -> float:
    return each.now / each.limit if each.limit else 0.0


def _capacity(
    name: str,
    server: str | None,
    unit: str,
    days: Mapping[date, Figures],
    limit: float | None,
    *,
    of_largest: bool = False,
) -> Capacity:
    values = {day: figures.largest if of_largest else figures.last for day, figures in sorted(days.items())}
    known = {day: value for day, value in values.items() if value is not None}
    if not known:
        return Capacity(name, server, unit, 0.0, limit, reason=_("it was not observed"))
    last = max(known)
    now = known[last]
    capacity = Capacity(name, server, unit, round(now, 2), limit, points=len(known))
    if len(known) < LEAST_DAYS:
        text = ngettext(
            "{count} day is too few: {least} are needed",
            "{count} days are too few: {least} are needed",
            len(known),
        )
        return replace(capacity, reason=text.format(count=len(known), least=LEAST_DAYS))
    of = line([(day.toordinal(), value) for day, value in known.items()])
    capacity = replace(capacity, growth_per_day=round(of.slope, 4), fit=round(of.fit, 2))
    if limit is None:
        return replace(capacity, reason=_("its limit is not known"))
    return _dated(capacity, of, last, limit)


def _dated(capacity: Capacity, of: Line, last: date, limit: float) -> Capacity:
    if of.slope <= 0:
        return replace(capacity, reason=_("it does not grow"))
    if of.fit < LEAST_FIT or of.least <= 0:
        text = _("the days do not lie on a line: it explains {percent} % of their spread")
        return replace(capacity, reason=text.format(percent=round(100 * of.fit)))
    room = limit - capacity.now
    days = room / of.slope
    if days > FARTHEST_DAYS:
        return replace(capacity, reason=_("not within five years"))
    latest = room / of.least
    return replace(
        capacity,
        full_on=_in(last, days),
        earliest=_in(last, room / of.most),
        latest=_in(last, latest) if latest <= 2 * FARTHEST_DAYS else None,
    )


def _in(day: date, days: float) -> date:
    return day + timedelta(days=max(0, math.floor(days)))


def growth(site: Site, period: Period) -> tuple[Growth, ...]:
    """Return what each owner holds at the end of a period, and by how much that grew. Raises UnavailableError."""
    return ledger.grown(site, period.since, period.until)


def table(site: Site, period: Period) -> Table:
    """Return what has a limit as a list for people. Raises UnavailableError."""
    found = foreseen(site, period)
    owners = growth(site, period)
    columns = (
        Column("subject", _("what"), is_copied=True),
        Column("now_words", _("now"), True),
        Column("limit_words", _("limit"), True),
        Column("growth_words", _("a day"), True),
        Column("full", _("full on")),
        Column("band", _("between")),
    )
    rows = [_row(each) for each in found]
    notes = [*_reasons(found), *_owners(owners), *_measures(found)]
    made = lists.table(site, "capacity", columns, rows, _answer(site, found, period), notes)
    figures = {
        "period": to_builtins(period),
        "growth": [to_builtins(each) for each in owners],
        "least_days": LEAST_DAYS,
        "least_fit": LEAST_FIT,
    }
    commands = (typed(site, "disk grew"),)
    return replace(made, figures=figures, commands=commands, status=_status(found, period))


def is_soon(each: Capacity, period: Period) -> bool:
    """Return whether something may be full before the three months behind a period are over."""
    day = each.earliest or each.full_on
    return day is not None and (day - period.until.date()).days <= _AHEAD_DAYS


def _status(found: Sequence[Capacity], period: Period) -> Status:
    if not any(each.points for each in found):
        return Status.UNKNOWN
    return Status.WARNING if any(is_soon(each, period) for each in found) else Status.OK


def _row(each: Capacity) -> dict[str, Any]:
    band = ""
    if each.full_on and each.earliest:
        latest = each.latest or _("never")
        band = f"{each.earliest} … {latest}"
    return {
        **to_builtins(each),
        "now_words": _said(each.now, each.unit),
        "limit_words": None if each.limit is None else _said(each.limit, each.unit),
        "growth_words": None if each.growth_per_day is None else number(f"{each.growth_per_day:+.3g}"),
        "full": each.full_on.isoformat() if each.full_on else None,
        "band": band or None,
    }


def _said(value: float, unit: str) -> str:
    return number(f"{value:g}") + (f" {unit}" if unit == "%" else "")


def _reasons(found: Sequence[Capacity]) -> Iterator[str]:
    """Yield why something has no date, once for all that have the same reason."""
    reasons: dict[str, list[str]] = {}
    for each in found:
        if each.reason:
            reasons.setdefault(each.reason, []).append(each.subject)
    for reason, names in reasons.items():
        yield _("{what}: {words}").format(what=", ".join(names), words=reason)


def _measures(found: Sequence[Capacity]) -> Iterator[str]:
    dated = [each for each in found if each.full_on]
    if dated:
        text = _("the line through the days explains {fits} % of their spread; the band is that of 90 %")
        fits = ", ".join(str(round(100 * (each.fit or 0))) for each in dated)
        yield text.format(fits=fits)


def _owners(owners: Sequence[Growth]) -> Iterator[str]:
    """Yield who grew most."""
    grew = sorted((each for each in owners if each.grown_bytes), key=lambda each: -(each.grown_bytes or 0))
    text = _("{owner} on {server}: +{grown}, now {size}")
    for each in grew[:5]:
        if each.grown_bytes and each.grown_bytes > 0:
            yield text.format(
                owner=disk_owners.word(each.owner),
                server=each.server,
                grown=size(each.grown_bytes),
                size=size(each.size_bytes),
            )


def _answer(site: Site, found: Sequence[Capacity], period: Period) -> str:
    when = periods.words(site, period)
    if not found:
        return _("Nothing was observed {when}: no sample was taken").format(when=when)
    dated = [each for each in found if each.full_on]
    if not dated:
        return _("Of nothing that has a limit a date can be told by what was seen {when}").format(when=when)
    first = dated[0]
    text = _("The soonest full is {what}: {date}, between {earliest} and {latest}")
    return text.format(
        what=first.subject, date=first.full_on, earliest=first.earliest, latest=first.latest or _("never")
    )
