"""The parts of a month's page, each a list with what is drawn of it: from what was gathered alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from msgspec import to_builtins

from samaops.checks.schedule import STATE_WORDS
from samaops.facts import month as names
from samaops.facts.availability import (
    CRITICAL,
    MET,
    MISSED,
    Availability,
    Bounds,
    Capacity,
    Day,
    Growth,
    Kpi,
)
from samaops.facts.backup_run import WHOLE
from samaops.facts.backup_run import Run as BackupRun
from samaops.facts.month import Incident, MonthlyReport, SeenFinding
from samaops.facts.sample import WHOLE as SERVICE
from samaops.facts.schedule import BEGUN, DONE, NEVER_BEGUN, Run
from samaops.facts.schedule import MISSED as RUN_MISSED
from samaops.i18n import N_, _, joined, ngettext, number
from samaops.model.history import STATUS_WORDS, PastChange
from samaops.model.page import Chart, Limit, Point, Section
from samaops.model.quantities import duration, size
from samaops.model.status import SEVERITY, Status
from samaops.model.table import Column, Table
from samaops.site import chosen, disk_owners, jobs
from samaops.site.commands import samaops
from samaops.site.site import Site
from samaops.workflows.reports.kpi import WORDS as kpi_words

Row = dict[str, Any]
_OK, _WARNING, _BAD, _UNKNOWN = "ok", "warning", "critical", "unknown"
_LEVELS = {MET: _OK, MISSED: _WARNING, CRITICAL: _BAD}
_PART_NAMES = {
    names.AVAILABILITY: N_("availability"),
    names.KPIS: N_("objectives"),
    names.CHANGES: N_("changes"),
    names.RUNS: N_("maintenance"),
    names.BACKUPS: N_("backups"),
    names.CAPACITY: N_("growth"),
    names.SERVERS: N_("users and keys"),
}
_ACCESS_WORDS = {
    "logins": N_("may log in"),
    "administrators": N_("all rights"),
    "keys": N_("key"),
}
# Of a day: a minute in two hundred, the guide's critical 99.5 %; and so much that nobody saw is told.
_BAD_SHARE, _DARK_SHARE = 0.005, 0.05
# What a page shows of a list; the command below it shows the rest.
_MOST_ROWS = 50
_MOST_LOST = 40
_MOST_GROWN = 12
# How far ahead a full disk is work of the next month.
_AHEAD_DAYS = 92
# No line ends before it.
_PERCENT = "\u00a0%"
_NEWEST_BACKUPS = 7
# What maintenance says of the servers and belongs on the page, by the beginning of its codes.
_OF_SERVERS = (
    "maintenance.updates", "maintenance.audit", "maintenance.logins", "maintenance.safety", "maintenance.access",
    "certificates.", "tls.",
)  # fmt: skip


def sections(site: Site, of: MonthlyReport) -> Iterator[Section]:
    """Yield the parts in the order in which they are read."""
    yield _objectives(site, of)
    yield _availability(site, of)
    yield _incidents(site, of)
    yield _changes(site, of)
    yield _maintenance(site, of)
    yield _backups(site, of)
    yield _capacity(site, of)
    yield _servers(site, of)
    yield _next(site, of)


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


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def _command(site: Site, words: str) -> str:
    return chosen.same(samaops(site, words))


def _minutes(count: float) -> str:
    return duration(60 * count) if abs(count) >= 60 else number(f"{count:g}") + " min"


def _unread(of: MonthlyReport, part: str) -> str:
    return _("Not observed: {reason}").format(reason=of.missing[part])


def _worst(levels: Iterable[str]) -> str:
    order = [status.value for status in SEVERITY]
    return min((level for level in levels if level), key=order.index, default="")


# The objectives.


def _objectives(site: Site, of: MonthlyReport) -> Section:
    month = of.period.label
    rows = [_objective(each) for each in of.kpis]
    columns = (
        Column("title", _("objective")),
        Column("shown", _("measured"), True),
        Column("shown_target", _("target"), True),
        Column("shown_critical", _("critical"), True),
        Column("shown_status", _("result")),
        Column("shown_coverage", _("observed"), True),
        Column("basis", _("measured by")),
    )
    commands = dict.fromkeys(each.command for each in of.kpis if each.command)
    answer = _kpi_answer(of) if of.kpis else _("No objective was observed")
    table = Table(
        "objectives", columns, tuple(rows), answer, (), _unread(of, names.KPIS) if names.KPIS in of.missing else answer,
        commands=tuple(commands) or (_command(site, f"report kpi --month {month}"),),
    )  # fmt: skip
    charts = tuple(_trend(each) for each in of.kpis if any(m.value is not None for m in each.trend))
    status = _worst(_LEVELS.get(each.status, _UNKNOWN) for each in of.kpis) or _UNKNOWN
    return Section("objectives", _("Objectives"), table, charts, status, bool(of.kpis))


def _objective(kpi: Kpi) -> Row:
    sign = "≥" if kpi.is_least else "≤"
    return {
        "id": kpi.id,
        "title": kpi.title,
        "value": kpi.value,
        "value_at_least": kpi.value_at_least,
        "value_at_most": kpi.value_at_most,
        "target": kpi.target,
        "critical": kpi.critical,
        "unit": kpi.unit,
        "is_least": kpi.is_least,
        "status": kpi.status,
        "coverage": kpi.coverage,
        "reason": kpi.reason or None,
        "basis": "; ".join(each for each in (kpi.basis, kpi.reason if kpi.value is None else "") if each)
        or None,
        "trend": to_builtins(kpi.trend),
        "command": kpi.command or None,
        "level": _LEVELS.get(kpi.status, _UNKNOWN),
        "shown": _kpi_value(kpi),
        "shown_target": f"{sign} {_amount(kpi.target, kpi.unit)}",
        "shown_critical": f"{sign} {_amount(kpi.critical, kpi.unit)}",
        "shown_status": _(kpi_words.get(kpi.status, kpi.status)),
        "shown_coverage": percent(kpi.coverage),
    }


def _kpi_value(kpi: Kpi) -> str:
    low, high = kpi.value_at_least, kpi.value_at_most
    if low is not None and high is not None and low != high:
        first, last = _amount(low, kpi.unit), _amount(high, kpi.unit)
        if first != last:
            return _("{low} to {high}").format(low=first, high=last)
    return _("not observed") if kpi.value is None else _amount(kpi.value, kpi.unit)


def _amount(value: float, unit: str) -> str:
    """Return a value of an objective, with as many digits as tell it from its limits."""
    if unit == "%":
        return percent(value)
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
    return number(text) + (f" {unit}" if unit else "")


def _trend(kpi: Kpi) -> Chart:
    points = tuple(
        Point(
            each.month,
            each.value,
            _("not observed") if each.value is None else _amount(each.value, kpi.unit),
            _level_of(kpi, each.value),
        )
        for each in kpi.trend
    )
    limits = (
        Limit(_("target"), kpi.target, _amount(kpi.target, kpi.unit)),
        Limit(_("critical"), kpi.critical, _amount(kpi.critical, kpi.unit)),
    )
    return Chart("line", kpi.title, points, limits)


def _level_of(kpi: Kpi, value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    sign = 1 if kpi.is_least else -1
    if sign * value >= sign * kpi.target:
        return _OK
    return _WARNING if sign * value >= sign * kpi.critical else _BAD


def _kpi_answer(of: MonthlyReport) -> str:
    missed = [each.title for each in of.kpis if each.status in (MISSED, CRITICAL)]
    unseen = [each.title for each in of.kpis if each.status not in (MET, MISSED, CRITICAL)]
    met = len(of.kpis) - len(missed) - len(unseen)
    words = [ngettext("{count} objective met", "{count} objectives met", met).format(count=met)]
    if missed:
        words.append(_("missed: {names}").format(names=", ".join(missed)))
    if unseen:
        words.append(_("not known: {names}").format(names=", ".join(unseen)))
    return joined(words)


# Availability, day by day, and the budget of errors.


def _availability(site: Site, of: MonthlyReport) -> Section:
    rows = [_available(each) for each in of.availability[:_MOST_ROWS]]
    columns = (
        Column("subject", _("subject"), is_copied=True),
        Column("shown", _("without planned times"), True),
        Column("shown_all", _("with planned times"), True),
        Column("shown_down", _("down"), True),
        Column("shown_degraded", _("degraded"), True),
        Column("shown_planned", _("planned"), True),
        Column("shown_coverage", _("observed"), True),
    )
    service = next((each for each in of.availability if each.subject == SERVICE), None)
    notes = tuple(_planned_notes(site, service))
    answer = _budget_words(of, service)
    table = Table(
        "availability", columns, tuple(rows), answer, notes, answer,
        commands=(_command(site, f"report availability --month {of.period.label}"),),
        figures={"budget": to_builtins(of.budget) if of.budget else None},
    )  # fmt: skip
    return Section(
        "availability",
        _("Availability"),
        table,
        tuple(_availability_charts(site, of, service)),
        _availability_status(of, service),
        bool(of.availability),
    )


def _availability_status(of: MonthlyReport, service: Availability | None) -> str:
    budget = of.budget
    if service is None or not service.coverage or budget is None:
        return _UNKNOWN
    if budget.left_at_most < 0:
        return _BAD
    return _WARNING if budget.left_at_least < 0 else _OK


def _available(each: Availability) -> Row:
    is_seen = each.coverage > 0

    def shown(minutes: int) -> str:
        return _minutes(minutes) if is_seen else _("not observed")

    return {
        "subject": each.subject,
        "up_minutes": each.up_minutes,
        "degraded_minutes": each.degraded_minutes if is_seen else None,
        "down_minutes": each.down_minutes if is_seen else None,
        "unobserved_minutes": each.unobserved_minutes,
        "planned_minutes": each.planned_minutes,
        "coverage": each.coverage,
        "all_time": to_builtins(each.all_time) if is_seen else None,
        "outside_planned": to_builtins(each.outside_planned) if is_seen else None,
        "measured_by": each.measured_by,
        "shown": bounds(each.outside_planned) if is_seen else _("not observed"),
        "shown_all": bounds(each.all_time) if is_seen else _("not observed"),
        "shown_down": shown(each.down_minutes),
        "shown_degraded": shown(each.degraded_minutes),
        "shown_planned": _minutes(each.planned_minutes),
        "shown_coverage": percent(each.coverage),
    }


def _budget_words(of: MonthlyReport, service: Availability | None) -> str:
    if service is None or of.budget is None:
        reason = of.missing.get(names.AVAILABILITY)
        return (
            _("Not observed: {reason}").format(reason=reason) if reason else _("The service was not observed")
        )
    budget = of.budget
    text = _("{spent} of the {allowed} that {target} % allows were used; left: {left}")
    used = text.format(
        spent=_minutes(budget.spent),
        allowed=_minutes(round(budget.minutes, 1)),
        target=number(f"{budget.target:g}"),
        left=_minutes(round(budget.left_at_most, 1)),
    )
    if not service.unobserved_minutes:
        return used
    text = _("{time} were not observed: if the service was down then, {left} are left")
    dark = text.format(
        time=_minutes(service.unobserved_minutes), left=_minutes(round(budget.left_at_least, 1))
    )
    return joined([used, dark])


def _planned_notes(site: Site, service: Availability | None) -> Iterator[str]:
    for each in (service.planned if service else ())[:_MOST_LOST]:
        text = _("Planned: {what}, {since} to {until} ({source})")
        yield text.format(
            what=each.what, since=clock(site, each.since), until=clock(site, each.until), source=each.source
        )


def _availability_charts(site: Site, of: MonthlyReport, service: Availability | None) -> Iterator[Chart]:
    if service is not None and service.days:
        yield Chart("days", _("The service, day by day"), tuple(_day(each) for each in service.days))
    if of.budget is not None:
        yield Chart("bars", _("Where the allowed minutes went"), tuple(_eaten(site, of)))


def _eaten(site: Site, of: MonthlyReport) -> Iterator[Point]:
    assert of.budget is not None
    yield Point(_("allowed"), of.budget.minutes, _minutes(round(of.budget.minutes, 1)))
    for each in of.incidents:
        if each.spent_minutes:
            label = clock(site, each.since) + (f" {each.cause}" if each.cause else "")
            yield Point(label, float(each.spent_minutes), _minutes(each.spent_minutes), _BAD)
    left = of.budget.left_at_most
    yield Point(_("left at most"), max(0.0, left), _minutes(round(left, 1)), _OK if left >= 0 else _BAD)


def _day(each: Day) -> Point:
    minutes = each.up + each.degraded + each.down + each.unobserved
    seen = minutes - each.unobserved
    label = f"{each.day:%d/%m}"
    if not seen:
        return Point(label, None, _("not observed"), _UNKNOWN)
    words = [_("down {time}").format(time=_minutes(each.down))] if each.down else []
    words += [_("degraded {time}").format(time=_minutes(each.degraded))] if each.degraded else []
    is_dark = each.unobserved > _DARK_SHARE * minutes
    words += [_("not observed {time}").format(time=_minutes(each.unobserved))] if is_dark else []
    words += [_("planned {time}").format(time=_minutes(each.planned))] if each.planned and words else []
    # What was down in a planned time is no fault of the day.
    down = max(0, each.down - each.planned)
    level = _BAD if down > _BAD_SHARE * minutes else _WARNING if down or each.degraded else _OK
    if level == _OK and each.down:
        level = ""
    if level == _OK and is_dark:
        level = _UNKNOWN
    share = 100 * (seen - each.down) / seen
    return Point(label, round(share, 4), joined(words) or percent(share), level)


# What happened.


def counted_incidents(of: MonthlyReport) -> str:
    """Say how many incidents there were, and how long the service was down in them."""
    if names.AVAILABILITY in of.missing or not any(each.coverage for each in of.availability):
        return _("incidents: not observed")
    count = len(of.incidents)
    if not count:
        return _("no incident was seen")
    return ngettext("{count} incident", "{count} incidents", count).format(count=count)


def _incidents(site: Site, of: MonthlyReport) -> Section:
    rows = [_incident(site, each) for each in of.incidents[:_MOST_ROWS]]
    columns = (
        Column("shown_since", _("began"), is_copied=True),
        Column("shown_time", _("lasted"), True),
        Column("shown_spent", _("of the budget"), True),
        Column("shown_subjects", _("what was down")),
        Column("shown_cause", _("cause")),
        Column("shown_repair", _("repair")),
        Column("shown_who", _("who")),
        Column("shown_verified", _("verified")),
    )
    answer = counted_incidents(of)
    notes = _cut(len(of.incidents))
    commands = tuple(str(row["command"]) for row in rows[:3]) or (
        _command(site, f"report availability --month {of.period.label}"),
    )
    table = Table("incidents", columns, tuple(rows), answer, notes, answer, commands=commands)
    is_seen = any(each.coverage for each in of.availability)
    noticed = any(each.service_minutes for each in of.incidents)
    status = _UNKNOWN if not is_seen else _BAD if noticed else _WARNING if of.incidents else _OK
    return Section("incidents", _("Incidents"), table, (), status, is_seen)


def _incident(site: Site, each: Incident) -> Row:
    since, until = clock(site, each.since), clock(site, each.until)
    return {
        "since": _iso(each.since),
        "until": _iso(each.until) if each.is_over else None,
        "minutes": each.minutes,
        "service_minutes": each.service_minutes,
        "spent_minutes": each.spent_minutes,
        "subjects": list(each.subjects),
        "cause": each.cause or None,
        "repairs": list(each.repairs),
        "changes": list(each.changes),
        "who": list(each.who),
        "is_verified": each.is_verified,
        "command": _command(site, f"report incident --since '{since}' --until '{until}'"),
        "level": _BAD if each.service_minutes else _WARNING,
        "shown_since": since,
        "shown_time": _minutes(each.minutes)
        if each.is_over
        else _("{time}, goes on").format(time=_minutes(each.minutes)),
        "shown_spent": _minutes(each.spent_minutes),
        "shown_subjects": ", ".join(each.subjects),
        "shown_cause": each.cause or _("not known"),
        "shown_repair": joined(each.repairs) or _("none of samaops"),
        "shown_who": ", ".join(each.who) or None,
        "shown_verified": None if each.is_verified is None else _("yes") if each.is_verified else _("no"),
    }


def _cut(count: int, most: int = _MOST_ROWS) -> tuple[str, ...]:
    if count <= most:
        return ()
    text = _("{shown} of {count} are shown; the command below shows the others")
    return (text.format(shown=most, count=count),)


def _changes(site: Site, of: MonthlyReport) -> Section:
    newest = tuple(reversed(of.changes))
    rows = [_change(site, each) for each in newest[:_MOST_ROWS]]
    columns = (
        Column("when", _("when"), is_copied=True),
        Column("title", _("change")),
        Column("shown_status", _("how it ended")),
        Column("who", _("who")),
    )
    bad = [each for each in of.changes if each.status in ("failed", "interrupted", "unreadable")]
    if names.CHANGES in of.missing:
        answer = _unread(of, names.CHANGES)
    else:
        count = len(of.changes)
        answer = ngettext("{count} change", "{count} changes", count).format(count=count)
        if bad:
            text = ngettext("{count} did not end well", "{count} did not end well", len(bad))
            answer = joined([answer, text.format(count=len(bad))])
        if not count:
            answer = _("Nothing was changed through samaops")
    since, until = (each.astimezone(jobs.zone_of(site)) for each in (of.period.since, of.period.until))
    command = f"history list --since {since:%Y-%m-%d} --until '{until:%Y-%m-%d %H:%M}' --limit 2000"
    table = Table(
        "changes", columns, tuple(rows), answer, _cut(len(newest)), answer, commands=(_command(site, command),),
        figures={"changes": None if names.CHANGES in of.missing else len(of.changes), "bad": len(bad)},
    )  # fmt: skip
    is_seen = names.CHANGES not in of.missing
    status = _UNKNOWN if not is_seen else _WARNING if bad else _OK
    return Section("changes", _("Changes"), table, (), status, is_seen)


def _change(site: Site, each: PastChange) -> Row:
    words = _(STATUS_WORDS.get(each.status, each.status))
    if each.undone_by:
        words = joined([words, _("taken back later")])
    is_bad = each.status in ("failed", "interrupted", "unreadable")
    return {
        "when": clock(site, datetime.fromisoformat(each.at)),
        "at": each.at,
        "id": each.id,
        "title": each.title,
        "verb": each.verb,
        "status": each.status,
        "reason": each.reason or None,
        "undone_by": each.undone_by,
        "who": f"{each.user}@{each.host}",
        "command": _command(site, f"history show {each.id}"),
        "level": _WARNING if is_bad else None,
        "shown_status": f"{words}: {each.reason}" if each.reason and is_bad else words,
    }


# What ran by itself.


def lost_runs(of: MonthlyReport) -> tuple[Run, ...]:
    """Return the runs that failed, or were never begun though they were planned."""
    return tuple(
        run for run in of.runs if run.state in NEVER_BEGUN or (run.state in BEGUN and run.state not in DONE)
    )


def counted_lost(lost: Sequence[Run]) -> str:
    """Say how many runs were missed or failed."""
    count = sum(run.count for run in lost)
    text = ngettext("{count} run of a job missed or failed", "{count} runs of jobs missed or failed", count)
    return text.format(count=count)


def _maintenance(site: Site, of: MonthlyReport) -> Section:
    rows = [*_job_rows(of), *_routine_rows(of)]
    columns = (
        Column("job", _("job"), is_copied=True),
        Column("planned", _("planned"), True),
        Column("well", _("went well"), True),
        Column("warning", _("with warnings"), True),
        Column("failed", _("failed"), True),
        Column("never", _("never begun"), True),
        Column("shown_longest", _("longest"), True),
        Column("source", _("known from")),
    )
    lost = lost_runs(of)
    if names.RUNS in of.missing:
        answer = _unread(of, names.RUNS)
    elif not rows:
        answer = _("Not observed: no run of a job was kept for this month")
    else:
        answer = counted_lost(lost) if lost else _("Every run that is known went well")
    told = lost[-_MOST_LOST:]
    notes = [_lost_words(site, run) for run in reversed(told)] + list(_cut(len(lost), _MOST_LOST))
    commands = dict.fromkeys([f"schedule explain {run.job}" for run in reversed(told)][:8]) or (
        "schedule list",
    )
    table = Table(
        "maintenance", columns, tuple(rows), answer, tuple(notes), answer,
        commands=tuple(_command(site, words) for words in commands),
        figures={"lost": [to_builtins(run) for run in told]},
    )  # fmt: skip
    status = _UNKNOWN if not rows else _WARNING if lost else _OK
    return Section("maintenance", _("Maintenance"), table, (), status, bool(rows))


def _lost_words(site: Site, run: Run) -> str:
    words = STATE_WORDS[run.state]()
    text = _("{job}, {moment}: {how}: {reason}") if run.reason else _("{job}, {moment}: {how}")
    said = text.format(job=run.job, moment=clock(site, run.planned_at), how=words, reason=run.reason)
    return f"{said} (×{run.count})" if run.count > 1 else said


def _job_rows(of: MonthlyReport) -> Iterator[Row]:
    for name in dict.fromkeys(run.job for run in of.runs):
        runs = [run for run in of.runs if run.job == name]
        longest = max((run.seconds or 0.0 for run in runs if run.state in BEGUN), default=None)
        failed = _count(runs, [state for state in BEGUN if state not in DONE])
        never = _count(runs, NEVER_BEGUN)
        yield {
            "job": name,
            "planned": sum(run.count for run in runs),
            "well": _count(runs, ("ok",)),
            "warning": _count(runs, ("warning",)),
            "failed": failed,
            "never": never,
            "missed": _count(runs, (RUN_MISSED,)),
            "longest_seconds": longest,
            "shown_longest": None if longest is None else duration(longest),
            "source": _("the ledger"),
            "level": _BAD if failed and name == "backup" else _WARNING if failed or never else _OK,
        }


def _count(runs: Sequence[Run], states: Sequence[str]) -> int:
    return sum(run.count for run in runs if run.state in states)


def _routine_rows(of: MonthlyReport) -> Iterator[Row]:
    """Yield the routines that something else than our scheduler began: only what they kept at their end is known."""
    planned = {run.job for run in of.runs}
    for name in dict.fromkeys(run.command for run in of.routines):
        if name.removeprefix("maintain ") in planned:
            continue
        runs = [run for run in of.routines if run.command == name]
        failed = sum(run.is_failed for run in runs)
        bad = sum(not run.is_failed and run.result != Status.OK.value for run in runs)
        longest = max((run.seconds for run in runs if run.seconds is not None), default=None)
        yield {
            "job": name,
            "planned": None,
            "well": len(runs) - failed - bad,
            "warning": bad,
            "failed": failed,
            "never": None,
            "missed": None,
            "longest_seconds": longest,
            "shown_longest": None if longest is None else duration(longest),
            "source": _("what it kept"),
            "level": _WARNING if failed or bad else _OK,
        }


# The backups.


def _backups(site: Site, of: MonthlyReport) -> Section:
    told = _told_backups(of)
    rows = [_backup(site, each) for each in told]
    columns = (
        Column("id", _("backup"), is_copied=True),
        Column("when", _("when"), is_copied=True),
        Column("shown_size", _("size"), True),
        Column("shown_state", _("state")),
        Column("shown_grade", _("proved")),
        Column("shown_restore", _("time to recover"), True),
    )
    is_seen = names.BACKUPS not in of.missing
    whole = [each for each in of.backups if each.state == WHOLE]
    answer = _backup_words(site, of, whole) if is_seen else _unread(of, names.BACKUPS)
    points = tuple(
        Point(clock(site, _at(each)), float(each.bytes), size(each.bytes))
        for each in reversed(whole)
        if each.bytes is not None
    )
    charts = (Chart("line", _("Size of the backups"), points),) if len(points) > 2 else ()
    table = Table(
        "backups", columns, tuple(rows), answer, _cut(len(of.backups), len(told)), answer, commands=(_command(site, "backup list"),),
        figures=_drill_figures(of),
    )  # fmt: skip
    grade = of.drilled.grades.restored if of.drilled else None
    status = (
        _UNKNOWN
        if not is_seen
        else _BAD
        if not whole or (grade is not None and not grade.is_good)
        else _WARNING
        if grade is None or _at_of(grade.at) < of.period.since
        else _OK
    )
    return Section("backups", _("Backups"), table, charts, status, is_seen)


def _told_backups(of: MonthlyReport) -> tuple[BackupRun, ...]:
    """Return the newest backups, those that are no good, and that which was restored for a trial."""
    newest = of.backups[:_NEWEST_BACKUPS]
    tried = of.drilled.id if of.drilled else ""
    others = [each for each in of.backups[_NEWEST_BACKUPS:] if not _is_good(each) or each.id == tried]
    return (*newest, *others[: _MOST_ROWS - _NEWEST_BACKUPS])


def _is_good(run: BackupRun) -> bool:
    grades = (run.grades.stored, run.grades.readable, run.grades.restored)
    return run.state == WHOLE and all(grade is None or grade.is_good for grade in grades)


def _at(run: BackupRun) -> datetime:
    return _at_of(run.started_at)


def _at_of(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _drill_figures(of: MonthlyReport) -> Mapping[str, Any]:
    grade = of.drilled.grades.restored if of.drilled else None
    return {
        "drilled": of.drilled.id if of.drilled else None,
        "drilled_at": grade.at if grade else None,
        "is_drill_good": grade.is_good if grade else None,
        "seconds_to_recover": grade.seconds if grade else None,
    }


def _backup_words(site: Site, of: MonthlyReport, whole: Sequence[BackupRun]) -> str:
    count, failed = len(whole), len(of.backups) - len(whole)
    words = [ngettext("{count} whole backup", "{count} whole backups", count).format(count=count)]
    if failed:
        words.append(ngettext("{count} not whole", "{count} not whole", failed).format(count=failed))
    grade = of.drilled.grades.restored if of.drilled else None
    if grade is None:
        words.append(_("none was ever restored for a trial"))
    elif not grade.is_good:
        words.append(_("the last trial failed: {reason}").format(reason=grade.reason))
    elif grade.seconds is None:
        words.append(_("last restored for a trial: {moment}").format(moment=clock(site, _at_of(grade.at))))
    else:
        text = _("last restored for a trial: {moment}, in {time}")
        words.append(text.format(moment=clock(site, _at_of(grade.at)), time=duration(grade.seconds)))
    return joined(words)


def _backup(site: Site, each: BackupRun) -> Row:
    grades = each.grades
    name, grade = next(
        (
            (name, grade)
            for name, grade in (
                (_("restored"), grades.restored),
                (_("read"), grades.readable),
                (_("stored"), grades.stored),
            )
            if grade is not None
        ),
        (_("no"), None),
    )
    is_good = grade is None or grade.is_good
    seconds = grades.restored.seconds if grades.restored else None
    is_whole = each.state == WHOLE
    return {
        "id": each.id,
        "when": clock(site, _at(each)),
        "started_at": each.started_at,
        "engine": each.engine,
        "state": each.state,
        "reason": each.reason or None,
        "bytes": each.bytes,
        "grades": to_builtins(grades),
        "seconds_to_recover": seconds,
        "level": _OK if _is_good(each) else _BAD,
        "shown_size": None if each.bytes is None else size(each.bytes),
        "shown_state": each.state if is_whole or not each.reason else f"{each.state}: {each.reason}",
        "shown_grade": name if is_good else _("{grade}: bad").format(grade=name),
        "shown_restore": None if seconds is None else duration(seconds),
    }


# What grows.


def _capacity(site: Site, of: MonthlyReport) -> Section:
    rows = [_full(each) for each in of.capacity[:_MOST_ROWS]]
    columns = (
        Column("shown_subject", _("what")),
        Column("shown_now", _("now"), True),
        Column("shown_limit", _("limit"), True),
        Column("shown_growth", _("a day"), True),
        Column("shown_full", _("full on")),
        Column("reason", _("why there is no date")),
    )
    is_seen = names.CAPACITY not in of.missing and bool(of.capacity or of.growth)
    dated = [each for each in of.capacity if each.full_on is not None]
    grown = sorted(
        (each for each in of.growth if each.grown_bytes), key=lambda each: -(each.grown_bytes or 0)
    )[:_MOST_GROWN]
    if names.CAPACITY in of.missing:
        answer = _unread(of, names.CAPACITY)
    elif not is_seen:
        answer = _("Not observed: no day of growth was kept")
    elif dated:
        first = dated[0]
        answer = _("First full: {what}, on {day}").format(what=_place(first), day=_band(first))
    else:
        answer = _("For nothing a date can be told")
    points = tuple(
        Point(
            f"{disk_owners.word(each.owner)} ({each.server})",
            float(each.grown_bytes or 0),
            _signed(each.grown_bytes or 0),
        )
        for each in grown
    )
    charts = (Chart("bars", _("Who grew most"), points),) if points else ()
    table = Table(
        "capacity", columns, tuple(rows), answer, (), answer,
        commands=tuple(_command(site, words) for words in (f"report capacity --month {of.period.label}", "disk grew")),
        figures={"growth": [_grown(each) for each in of.growth]},
    )  # fmt: skip
    soon = [each for each in dated if _is_soon(each, of)]
    status = _UNKNOWN if not is_seen else _WARNING if soon else _OK
    return Section("capacity", _("Growth"), table, charts, status, is_seen)


def _is_soon(each: Capacity, of: MonthlyReport) -> bool:
    day = each.earliest or each.full_on
    return day is not None and (day - of.period.until.date()).days <= _AHEAD_DAYS


def _place(each: Capacity) -> str:
    return (
        f"{each.server}: {each.subject}" if each.server and each.server not in each.subject else each.subject
    )


def _band(each: Capacity) -> str:
    if each.full_on is None:
        return ""
    if each.earliest is None or each.earliest == each.latest == each.full_on:
        return each.full_on.isoformat()
    text = (
        _("{day} (from {earliest} to {latest})")
        if each.latest
        else _("{day} (from {earliest}, perhaps never)")
    )
    return text.format(day=each.full_on, earliest=each.earliest, latest=each.latest)


def _signed(count: float) -> str:
    return ("+" if count > 0 else "") + size(count)


_BYTES = ("B", "bytes", "byte")


def _of_unit(value: float | None, unit: str, *, is_signed: bool = False) -> str | None:
    if value is None:
        return None
    if unit in _BYTES:
        return _signed(value) if is_signed else size(value)
    text = number(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}")
    return ("+" if is_signed and value > 0 else "") + text + (f" {unit}" if unit else "")


def _full(each: Capacity) -> Row:
    return {
        **to_builtins(each),
        "level": None,
        "reason": each.reason or None,
        "shown_subject": _place(each),
        "shown_now": _of_unit(each.now, each.unit),
        "shown_limit": _of_unit(each.limit, each.unit),
        "shown_growth": _of_unit(each.growth_per_day, each.unit, is_signed=True),
        "shown_full": _band(each) or None,
    }


def _grown(each: Growth) -> Row:
    return {**to_builtins(each), "since": _iso(each.since)}


# The servers: updates, certificates, users.


def _servers(site: Site, of: MonthlyReport) -> Section:
    run = of.servers
    findings = [each for each in (run.findings if run else ()) if each.code.startswith(_OF_SERVERS)]
    rows = [_server_row(each) for each in findings] + [_access_row(each) for each in of.access or ()]
    count = len(rows)
    rows = rows[:_MOST_ROWS]
    columns = (
        Column("subject", _("subject")),
        Column("text", _("what is told")),
        Column("shown_status", _("status")),
    )
    notes = list(_cut(count))
    if run is None:
        answer = _("Not observed: no monthly maintenance ended in this month")
    else:
        bad = sum(each.status != _OK for each in findings)
        text = _("As monthly maintenance saw it at {moment}: {count} to look at")
        answer = text.format(moment=clock(site, run.at), count=bad)
    if of.access is None:
        notes.append(_("Users, rights and keys: nothing to compare with; two monthly runs are needed"))
    elif not of.access:
        notes.append(_("Users, rights and keys: the same as at the run before"))
    table = Table(
        "servers", columns, tuple(rows), answer, tuple(notes), answer,
        commands=(_command(site, "maintain monthly --only updates,access,certificates --dry-run"),),
        figures={"seen_at": _iso(run.at) if run else None},
    )  # fmt: skip
    status = _worst(str(row["level"]) for row in rows if row["level"]) if run else _UNKNOWN
    return Section("servers", _("Updates, certificates, users"), table, (), status, run is not None)


def _server_row(each: SeenFinding) -> Row:
    return {
        "subject": each.subject,
        "text": each.title or each.code,
        "code": each.code,
        "status": each.status,
        "value": each.value,
        "level": each.status if each.status in (_OK, _WARNING, _BAD, _UNKNOWN) else None,
        "shown_status": _(_STATUS_WORDS.get(each.status, each.status)),
    }


_STATUS_WORDS = {
    "ok": N_("ok"), "warning": N_("warning"), "critical": N_("critical"), "unknown": N_("unknown"),
    "skipped": N_("skipped"),
}  # fmt: skip


def _access_row(each: names.AccessChange) -> Row:
    text = _("new: {what}: {name}") if each.is_new else _("gone: {what}: {name}")
    return {
        "subject": each.server,
        "text": text.format(what=_(_ACCESS_WORDS.get(each.what, each.what)), name=each.name),
        "code": "maintenance.access",
        "status": _WARNING if each.is_new else _OK,
        "value": None,
        "level": _WARNING if each.is_new else _OK,
        "shown_status": _("new") if each.is_new else _("gone"),
    }


# What is to be done.


def _next(site: Site, of: MonthlyReport) -> Section:
    rows = [
        {"work": work, "why": why, "command": _command(site, command)} for work, why, command in _work(of)
    ][:_MOST_ROWS]
    columns = (
        Column("work", _("what")),
        Column("why", _("why")),
        Column("command", _("command"), is_copied=True),
    )
    count = len(rows)
    answer = ngettext("{count} thing to do", "{count} things to do", count).format(count=count)
    if not rows:
        answer = _("Nothing of this month asks for work")
    table = Table("next", columns, tuple(rows), answer, (), answer)
    return Section("next", _("Next month"), table, (), "")


def _work(of: MonthlyReport) -> Iterator[tuple[str, str, str]]:
    """Yield what this month leaves to do: what, why, and the command to begin with."""
    month = of.period.label
    for kpi in of.kpis:
        if kpi.status in (MISSED, CRITICAL):
            text = _("measured {value}, target {target}")
            why = text.format(value=_kpi_value(kpi), target=_amount(kpi.target, kpi.unit))
            yield (
                _("Reach the objective: {title}").format(title=kpi.title),
                why,
                f"report kpi --month {month}",
            )
    unseen = [kpi.title for kpi in of.kpis if kpi.status not in (MET, MISSED, CRITICAL)]
    if unseen or not of.kpis:
        yield _("Have the objectives observed"), ", ".join(unseen) or _("none was"), "schedule list"
    for incident in of.incidents:
        if not incident.cause and incident.spent_minutes:
            why = _("{time} of the service, and nothing says why").format(
                time=_minutes(incident.service_minutes)
            )
            since, until = (
                each.astimezone(timezone.utc).isoformat(timespec="minutes")
                for each in (incident.since, incident.until)
            )
            yield _("Find the cause of an incident"), why, f"report incident --since {since} --until {until}"
    for each in of.capacity:
        if each.full_on is not None and _is_soon(each, of):
            yield (
                _("Make room: {what}").format(what=_place(each)),
                _("full on {day}").format(day=_band(each)),
                "disk grew",
            )
    for name in dict.fromkeys(run.job for run in lost_runs(of)):
        count = sum(run.count for run in lost_runs(of) if run.job == name)
        why = ngettext("{count} run missed or failed", "{count} runs missed or failed", count)
        yield _("See that {job} runs").format(job=name), why.format(count=count), f"schedule explain {name}"
    grade = of.drilled.grades.restored if of.drilled else None
    if names.BACKUPS not in of.missing and (
        grade is None or not grade.is_good or _at_of(grade.at) < of.period.since
    ):
        yield _("Try a backup"), _("none was restored for a trial in this month"), "backup drill"
    for finding in of.servers.findings if of.servers else ():
        if finding.status in (_WARNING, _BAD) and finding.code.startswith(_OF_SERVERS):
            yield finding.title or finding.code, finding.subject, f"explain {finding.code}"
