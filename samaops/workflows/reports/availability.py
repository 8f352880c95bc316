"""Availability of a period: an interval with its coverage, planned times shown both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from samaops.facts.availability import Availability, Bounds, Budget, Day, Period, Planned
from samaops.facts.sample import DOWN, REDIS, WHOLE
from samaops.i18n import _, ngettext, number
from samaops.model.quantities import duration
from samaops.model.status import Status
from samaops.model.table import Column, Table
from samaops.site import jobs
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.reports import period as periods
from samaops.workflows.reports import planned, seen
from samaops.workflows.reports.seen import Counts, Interval, Seen, Subject

# The guide's objective, in percent.
TARGET, CRITICAL = 99.9, 99.5
_MEMORY = f"{REDIS}/memory"
_SHOWN_OUTAGES = 5
# One look a minute: an outage began after the last look that saw it up, and ended after the last one that saw it down.
OUTAGE_ACCURACY_MINUTES = 1


def observed(site: Site, period: Period, behind: int = 0) -> tuple[Availability, ...]:
    """Return each subject's availability, the whole service first. Raises UnavailableError where the history cannot be read.

    Outages are told up to so many minutes ``behind`` the period, at most the one in which we are: it counts nowhere else.
    """
    times, _reason = planned.read(site, period)
    return of_seen(seen.read(site, period.since, period.until), site, period, times, behind)


def of_seen(
    of: Seen, site: Site, period: Period, times: Sequence[Planned] = (), behind: int = 0
) -> tuple[Availability, ...]:
    """Return each subject's availability by what was seen. Pure."""
    subjects = dict(seen.by_subject(of, seen.WITH_STATES))
    subjects.pop(_MEMORY, None)
    if subjects and WHOLE not in subjects:
        subjects = {WHOLE: Subject(), **subjects}
    days = periods.days(site, period)
    return tuple(
        _availability(
            name, subject, period, days, [each for each in times if each.what in (name, planned.ALL)], behind
        )
        for name, subject in subjects.items()
    )


def _availability(
    name: str,
    subject: Subject,
    period: Period,
    days: Sequence[tuple[Any, Any, Any]],
    times: Sequence[Planned],
    behind: int,
) -> Availability:
    first, end = seen.number(period.since), seen.number(period.until)
    inside_of = windows(times, first, end)
    whole, inside = subject.count(first, end), seen.counted(subject, inside_of)
    return Availability(
        name, period.since, period.until, whole.up, whole.degraded, whole.down, whole.unobserved, inside.minutes,
        coverage=share(whole.observed, whole.minutes) or 0.0,
        all_time=bounds(whole),
        outside_planned=bounds(whole.less(inside)),
        outages=subject.spans(first, end + behind, DOWN),
        days=tuple(_day(subject, inside_of, *day) for day in days),
        planned=tuple(times),
    )  # fmt: skip


def windows(times: Sequence[Planned], first: int, end: int) -> tuple[Interval, ...]:
    """Return whole minutes: one that is planned in a part of it is planned."""
    return seen.union(
        (max(first, seen.number(each.since)), min(end, -(-int(each.until.timestamp()) // 60)))
        for each in times
    )


def _day(subject: Subject, planned_times: Sequence[Interval], day: Any, since: Any, until: Any) -> Day:
    first, end = seen.number(since), seen.number(until)
    counts = subject.count(first, end)
    inside = sum(max(0, min(high, end) - max(low, first)) for low, high in planned_times)
    return Day(day, counts.up, counts.degraded, counts.down, counts.unobserved, inside)


def bounds(counts: Counts) -> Bounds:
    """Return availability at least and at most."""
    return Bounds(
        share(counts.there, counts.minutes), share(counts.there + counts.unobserved, counts.minutes)
    )


def share(part: int, whole: int) -> float | None:
    """Return a share in percent, to three digits: 0.002 % are a minute of a month. Never rounded up to all of it."""
    if not whole:
        return None
    percent = round(100 * part / whole, 3)
    return min(percent, 99.999) if part < whole else percent


def budget(availability: Availability, target: float = TARGET) -> Budget:
    """Return how long it may be down in its period by a target in percent, and what is left of that.

    Planned times cost nothing, and give nothing.
    """
    inside = seen.union(
        (seen.number(each.since), -(-int(each.until.timestamp()) // 60)) for each in availability.planned
    )
    outages = [(seen.number(span.since), seen.number(span.until)) for span in availability.outages]
    planned_down = sum(
        max(0, min(high, end) - max(low, first)) for low, high in inside for first, end in outages
    )
    counted_minutes = availability.minutes - availability.planned_minutes
    minutes = round(counted_minutes * (100 - target) / 100, 1)
    spent = availability.down_minutes - planned_down
    lower = availability.outside_planned.lower
    # Of a percentage with three digits whole minutes can be told.
    unseen = 0 if lower is None else round(counted_minutes * (1 - lower / 100))
    return Budget(target, minutes, spent, round(minutes - spent, 1), round(minutes - max(spent, unseen), 1))


def table(site: Site, period: Period) -> Table:
    """Return the same as a list for people. Raises UnavailableError."""
    times, reason = planned.read(site, period)
    found = of_seen(seen.read(site, period.since, period.until), site, period, times)
    columns = (
        Column("subject", _("subject"), is_copied=True),
        Column("between", _("available"), True),
        Column("outside", _("without planned"), True),
        Column("coverage_words", _("observed"), True),
        Column("down", _("down"), True),
        Column("planned_words", _("planned"), True),
    )
    rows = [_row(each) for each in found]
    notes = [*_notes(site, found, period), *([planned_unknown(reason)] if reason else [])]
    answer = _answer(site, found, period)
    made = lists.table(site, "availability", columns, rows, answer, notes, is_whole=not reason)
    commands = () if found else (typed(site, "schedule list"),)
    left = to_builtins(budget(found[0])) if found else None
    figures = {"period": to_builtins(period), "target": TARGET, "critical": CRITICAL, "budget": left}
    figures["outage_accuracy_minutes"] = OUTAGE_ACCURACY_MINUTES
    return replace(made, figures=figures, commands=commands, status=status(found))


def status(found: Sequence[Availability]) -> Status:
    """Return how the service stands to the target, without planned times; unknown where what was observed decides nothing."""
    within = found[0].outside_planned if found else Bounds(None, None)
    if within.lower is None or within.upper is None:
        return Status.UNKNOWN
    if within.upper < TARGET:
        return Status.CRITICAL if within.upper < CRITICAL else Status.WARNING
    return Status.OK if within.lower >= TARGET else Status.UNKNOWN


def planned_unknown(reason: str) -> str:
    """Return what a report says where it does not know which times were planned."""
    return _("planned times are not known: {reason}").format(reason=reason)


def _row(each: Availability) -> dict[str, Any]:
    row: dict[str, Any] = to_builtins(each)
    return {
        **row,
        "between": interval(each.all_time),
        "outside": interval(each.outside_planned),
        "coverage_words": percent(each.coverage),
        "down": duration(60 * each.down_minutes) if each.down_minutes else "0",
        "planned_words": duration(60 * each.planned_minutes) if each.planned_minutes else "0",
        "down_accuracy_minutes": down_accuracy_minutes(each),
        "outages": [{**to_builtins(span), "minutes": span.minutes} for span in each.outages],
    }


def down_accuracy_minutes(of: Availability) -> int:
    """Return by how many minutes the time that it was down may be off, more or less: each outage by one."""
    return OUTAGE_ACCURACY_MINUTES * len(of.outages)


def accuracy(outages: int) -> str:
    """Say how exact the times of so many outages are."""
    text = ngettext(
        "outages are known by one look a minute: ± {each} min",
        "outages are known by one look a minute: each ± {each} min, all {count} together ± {all} min at most",
        outages,
    )
    return text.format(each=OUTAGE_ACCURACY_MINUTES, count=outages, all=OUTAGE_ACCURACY_MINUTES * outages)


def interval(of: Bounds) -> str:
    """Return bounds in words: one number where both are the same."""
    if of.lower is None or of.upper is None:
        return "?"
    if of.lower == of.upper:
        return percent(of.lower)
    return f"{number(f'{of.lower:g}')}-{percent(of.upper)}"


def percent(value: float) -> str:
    """Return a percentage with as many digits as it has."""
    return number(f"{value:g}") + " %"


def _answer(site: Site, found: Sequence[Availability], period: Period) -> str:
    when = periods.words(site, period)
    if not found:
        return _("Nothing was observed {when}: no sample was taken").format(when=when)
    service = found[0]
    text = _("The service was available {interval} of the time {when}; {coverage} of it was observed")
    return text.format(interval=interval(service.all_time), when=when, coverage=percent(service.coverage))


def _notes(site: Site, found: Sequence[Availability], period: Period) -> Iterator[str]:
    if not found:
        return
    service = found[0]
    left = budget(service)
    if left.left_at_most < 0:
        text = _("The target of {target} allows {minutes} min down: it is overspent by {over} min")
        over = number(f"{-left.left_at_most:g}")
        yield text.format(target=percent(left.target), minutes=number(f"{left.minutes:g}"), over=over)
    else:
        text = _(
            "The target of {target} allows {minutes} min down: {left} min are left at most, {least} at least"
        )
        if left.left_at_least < 0:
            text = _(
                "The target of {target} allows {minutes} min down: {left} min are left at most; if the service was "
                "down while nobody looked it is overspent by {least} min"
            )
        yield text.format(
            target=percent(left.target),
            minutes=number(f"{left.minutes:g}"),
            left=number(f"{left.left_at_most:g}"),
            least=number(f"{abs(left.left_at_least):g}"),
        )
    zone = jobs.zone_of(site)
    for span in sorted(service.outages, key=lambda span: -span.minutes)[:_SHOWN_OUTAGES]:
        since, until = (each.astimezone(zone).strftime("%Y-%m-%d %H:%M") for each in (span.since, span.until))
        text = _("down from {since} to {until}")
        if not span.is_over:
            text = _("down from {since}, seen so until {until}")
        yield text.format(since=since, until=until)
    if service.outages:
        yield accuracy(len(service.outages))
    if service.unobserved_minutes:
        text = _("{time} were not observed: the lower bound takes them for down, the upper one for up")
        yield text.format(time=duration(60 * service.unobserved_minutes))
    if not period.is_whole:
        yield _("This time is not over yet: {when}").format(when=periods.words(site, period))
