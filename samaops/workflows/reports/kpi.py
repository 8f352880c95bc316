"""The guide's six objectives against what was measured in a period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.facts.availability import (
    API_TIME,
    AVAILABILITY,
    CONNECTIONS,
    CRITICAL,
    DATABASE_TIME,
    HTTP_ERRORS,
    MET,
    MISSED,
    NOTIFICATIONS,
    UNKNOWN,
    Kpi,
    MonthValue,
    Period,
    Planned,
)
from samaops.facts.sample import DATABASE, POOL, WHOLE
from samaops.facts.sample import NOTIFICATIONS as COUNTED
from samaops.i18n import N_, _, joined, ngettext, number
from samaops.model.status import Status, worst
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.reports import availability, planned, seen
from samaops.workflows.reports import period as periods
from samaops.workflows.reports.seen import Seen

MONTHS = 6
# A 95th percentile of fewer values is one of its few largest; 0.1 % of fewer minutes is less than one of them.
_LEAST_VALUES, _LEAST_MINUTES = 100, 1000
_HOUR = 60


class _Measured(Struct, frozen=True):
    """What a period shows of an objective: a value or why there is none, how much of the period that rests on, its bounds."""

    value: float | None
    coverage: float
    reason: str = ""
    least: float | None = None
    most: float | None = None
    note: str = ""


class _Objective(Struct, frozen=True):
    id: str
    title: str
    target: float
    critical: float
    unit: str
    is_least: bool
    basis: str
    measure: Callable[[Seen, Site, Period, Sequence[Planned]], _Measured]


def _availability(of: Seen, _site: Site, period: Period, times: Sequence[Planned]) -> _Measured:
    first, end = seen.number(period.since), seen.number(period.until)
    subject = of.subject(WHOLE)
    windows = availability.windows([each for each in times if each.what in (WHOLE, planned.ALL)], first, end)
    counts = subject.count(first, end).less(seen.counted(subject, windows))
    if not counts.observed:
        return _Measured(None, 0.0, _("no sample was taken"))
    between = availability.bounds(counts)
    coverage = availability.share(counts.observed, counts.minutes)
    value = availability.share(counts.there, counts.observed)
    return _Measured(value, coverage or 0.0, "", between.lower, between.upper)


def _p95(subject: str) -> Callable[[Seen, Site, Period, Sequence[Planned]], _Measured]:
    def measure(of: Seen, _site: Site, period: Period, _times: Sequence[Planned]) -> _Measured:
        figures = of.figures(subject, period)
        coverage = availability.share(min(figures.count, period.minutes), period.minutes) or 0.0
        if figures.count < _LEAST_VALUES:
            return _Measured(None, coverage, _few(figures.count, _LEAST_VALUES))
        value = figures.percentile(95)
        return _Measured(None if value is None else round(value, 1), coverage)

    return measure


def _few(count: int, least: int) -> str:
    if not count:
        return _("nothing was measured")
    text = ngettext(
        "{count} value is too few: {least} are needed",
        "{count} values are too few: {least} are needed",
        count,
    )
    return text.format(count=count, least=least)


def _published(of: Seen, _site: Site, period: Period, _times: Sequence[Planned]) -> _Measured:
    due, sent = (of.figures(f"{COUNTED}/{what}", period) for what in ("due", "sent"))
    hours = max(1, period.minutes // _HOUR)
    coverage = availability.share(min(due.count, hours), hours) or 0.0
    if not due.count:
        return _Measured(None, 0.0, _("nothing was counted"))
    if not due.total:
        return _Measured(None, coverage, _("no notification was due"))
    note = _("{sent} of {due} notifications").format(sent=round(sent.total), due=round(due.total))
    return _Measured(availability.share(round(sent.total), round(due.total)), coverage, note=note)


def _errors(of: Seen, _site: Site, period: Period, _times: Sequence[Planned]) -> _Measured:
    counts = of.subject(WHOLE).count(seen.number(period.since), seen.number(period.until))
    coverage = availability.share(counts.observed, counts.minutes) or 0.0
    if counts.observed < _LEAST_MINUTES:
        return _Measured(None, coverage, _few(counts.observed, _LEAST_MINUTES))
    return _Measured(round(100 * counts.down / counts.observed, 3), coverage)


def _clients(of: Seen, _site: Site, period: Period, _times: Sequence[Planned]) -> _Measured:
    limit, clients = (of.figures(f"{POOL}/{what}", period) for what in ("limit", "clients"))
    coverage = availability.share(min(limit.count, period.minutes), period.minutes) or 0.0
    if limit.last is None:
        return _Measured(None, coverage, _("what PgBouncer admits was not seen"))
    text = _("at most {count} at once were seen")
    return _Measured(limit.last, coverage, note=text.format(count=round(clients.largest or 0)))


_OBJECTIVES = (
    _Objective(
        AVAILABILITY, N_("Availability"), availability.TARGET, availability.CRITICAL, "%", True,
        N_("one request a minute through the virtual address, of what was observed, without planned times"), _availability,
    ),
    _Objective(
        API_TIME, N_("Response time of the API"), 500, 1000, "ms", False,
        N_("95 % of the health requests, one a minute, were not slower; to 2.5 %"), _p95(WHOLE),
    ),
    _Objective(
        DATABASE_TIME, N_("Response time of the database"), 100, 500, "ms", False,
        N_("95 % of SELECT 1 as the application, one a minute, were not slower; to 2.5 %"),
        _p95(f"{DATABASE}/application"),
    ),
    _Objective(
        NOTIFICATIONS, N_("Notifications sent"), 95, 90, "%", True,
        N_("of those due within an hour, counted five minutes after it"), _published,
    ),
    _Objective(
        HTTP_ERRORS, N_("HTTP errors"), 0.1, 1, "%", False,
        N_("of our own requests, one a minute through the virtual address; customers' are not counted"), _errors,
    ),
    _Objective(
        CONNECTIONS, N_("Simultaneous connections"), 10_000, 5_000, N_("clients"), True,
        N_("what PgBouncer admits (max_client_conn)"), _clients,
    ),
)  # fmt: skip


def observed(site: Site, period: Period) -> tuple[Kpi, ...]:
    """Return the six objectives in the guide's order. Raises UnavailableError where the history cannot be read."""
    return _observed(site, period)[0]


def _observed(site: Site, period: Period) -> tuple[tuple[Kpi, ...], str]:
    months = periods.before(site, period, MONTHS)
    since = min(period.since, months[0].since)
    whole = replace(period, since=since)
    times, reason = planned.read(site, whole)
    of = seen.read(site, since, period.until)
    return of_seen(of, site, period, times), reason


def of_seen(of: Seen, site: Site, period: Period, times: Sequence[Planned] = ()) -> tuple[Kpi, ...]:
    """Return the six objectives by what was seen, each with the six months up to the period's end. Pure."""
    months = periods.before(site, period, MONTHS)
    found = []
    for objective in _OBJECTIVES:
        now = objective.measure(of, site, period, times)
        trend = []
        for month in months:
            then = objective.measure(of, site, month, times)
            trend.append(MonthValue(month.label, then.value, then.coverage))
        found.append(_kpi(objective, now, tuple(trend), site, period))
    return tuple(found)


def _kpi(
    objective: _Objective, now: _Measured, trend: tuple[MonthValue, ...], site: Site, period: Period
) -> Kpi:
    least = now.value if now.least is None else now.least
    most = now.value if now.most is None else now.most
    return Kpi(
        objective.id, _(objective.title), objective.target, objective.critical, _(objective.unit), objective.is_least,
        now.value, now.coverage, _status(objective, least, most),
        joined(word for word in (_(objective.basis), now.note) if word), now.reason, least, most, trend,
        typed(site, f"report kpi {periods.options(site, period)}"),
    )  # fmt: skip


def _status(objective: _Objective | Kpi, least: float | None, most: float | None) -> str:
    """Return how a value stands to its target; unknown where one end of the interval meets it and the other one does not."""
    if least is None or most is None:
        return UNKNOWN
    ends = {_status_of(objective, value) for value in (least, most)}
    return ends.pop() if len(ends) == 1 else (UNKNOWN if MET in ends else MISSED)


def judged(kpi: Kpi, least: float, most: float) -> str:
    """Return how a value that lies between two others stands to the target of an objective."""
    return _status(kpi, least, most)


def _status_of(objective: _Objective | Kpi, value: float) -> str:
    if objective.is_least:
        if value >= objective.target:
            return MET
        return MISSED if value >= objective.critical else CRITICAL
    if value < objective.target:
        return MET
    return MISSED if value < objective.critical else CRITICAL


WORDS = {MET: N_("met"), MISSED: N_("missed"), CRITICAL: N_("critical"), UNKNOWN: N_("not known")}
_BARS = "▁▂▃▄▅▆▇█"


def table(site: Site, period: Period) -> Table:
    """Return the same as a list for people. Raises UnavailableError."""
    found, reason = _observed(site, period)
    columns = (
        Column("title", _("objective")),
        Column("measured", _("measured"), True),
        Column("target_words", _("target"), True),
        Column("critical_words", _("critical"), True),
        Column("status_words", _("verdict")),
        Column("coverage_words", _("observed"), True),
        Column("trend_bars", _("six months")),
    )
    rows = [_row(kpi) for kpi in found]
    notes = [
        _("{what}: {words}").format(what=kpi.title, words=joined(w for w in (kpi.basis, kpi.reason) if w))
        for kpi in found
    ]
    if reason:
        notes.append(_("planned times are not known: {reason}").format(reason=reason))
    made = lists.table(site, "kpi", columns, rows, _answer(site, found, period), notes, is_whole=not reason)
    command = typed(site, f"report availability {periods.options(site, period)}")
    return replace(
        made, figures={"period": to_builtins(period)}, commands=(command,), status=status_of(found)
    )


_STATUSES = {MET: Status.OK, MISSED: Status.WARNING, CRITICAL: Status.CRITICAL, UNKNOWN: Status.UNKNOWN}


def status_of(found: Sequence[Kpi]) -> Status:
    """Return the worst of the objectives; unknown where there are none."""
    return worst(_STATUSES[kpi.status] for kpi in found) if found else Status.UNKNOWN


def signs(kpi: Kpi) -> tuple[str, str]:
    """Return how a value stands to the target where that is met, and to the critical value where it is critical."""
    return ("≥", "<") if kpi.is_least else ("<", "≥")


def _row(kpi: Kpi) -> dict[str, Any]:
    sign = signs(kpi)
    return {
        **to_builtins(kpi),
        "measured": _measured(kpi),
        "target_words": f"{sign[0]} {_said(kpi.target, kpi.unit)}",
        "critical_words": f"{sign[1]} {_said(kpi.critical, kpi.unit)}",
        "status_words": _(WORDS[kpi.status]),
        "coverage_words": availability.percent(kpi.coverage),
        "trend_bars": bars([month.value for month in kpi.trend]),
    }


def _measured(kpi: Kpi) -> str:
    if kpi.value is None:
        return "-"
    return _said(kpi.value, kpi.unit)


def _said(value: float, unit: str) -> str:
    text = f"{value:,.0f}".replace(",", " ") if value >= 1000 else number(f"{value:g}")
    return f"{text} {unit}" if unit in ("%", "ms") else text


def bars(values: Sequence[float | None]) -> str:
    """Return values as bars from the least of them to the largest; a dot where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return "·" * len(values)
    low, high = min(known), max(known)
    return "".join(
        "·" if value is None else _BARS[round((value - low) / (high - low) * 7) if high > low else 3]
        for value in values
    )


def _answer(site: Site, found: Sequence[Kpi], period: Period) -> str:
    met = sum(kpi.status == MET for kpi in found)
    known = sum(kpi.status != UNKNOWN for kpi in found)
    text = ngettext(
        "{met} of {count} objectives is met {when}; {unknown} are not known",
        "{met} of {count} objectives are met {when}; {unknown} are not known",
        met,
    )
    return text.format(
        met=met, count=len(found), when=periods.words(site, period), unknown=len(found) - known
    )
