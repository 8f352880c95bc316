"""Availability, day by day, and where the minutes went that the target allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import to_builtins

from samaops.facts import month as names
from samaops.facts.availability import (
    Availability,
    Day,
)
from samaops.facts.month import MonthlyReport
from samaops.facts.sample import WHOLE as SERVICE
from samaops.i18n import _, joined, number
from samaops.model.page import Chart, Point, Section
from samaops.model.table import Column
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports import availability as measured
from samaops.workflows.reports.parts.words import (
    BAD,
    MOST_ROWS,
    OK,
    UNKNOWN,
    WARNING,
    clock,
    in_minutes,
    listed,
    percent,
)

Row = dict[str, Any]
# Of a day: a minute in two hundred, the guide's critical 99.5 %; and so much that nobody saw is told.
_BAD_SHARE, _DARK_SHARE = 0.005, 0.05
_MOST_PLANNED = 40


def availability(site: Site, of: MonthlyReport) -> Section:
    rows = [_available(each) for each in of.availability[:MOST_ROWS]]
    columns = (
        Column("subject", _("subject"), is_copied=True),
        Column("shown", _("without planned"), True),
        Column("shown_all", _("available"), True),
        Column("shown_down", _("down"), True),
        Column("shown_planned", _("planned"), True),
        Column("shown_coverage", _("observed"), True),
    )
    service = next((each for each in of.availability if each.subject == SERVICE), None)
    notes = tuple(_planned_notes(site, service))
    answer = _budget_words(of, service)
    table = listed(
        "availability",
        columns,
        rows,
        answer,
        notes=notes,
        commands=(typed(site, f"report availability --month {of.period.label}"),),
        figures={"budget": to_builtins(of.budget) if of.budget else None},
    )
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
        return UNKNOWN
    if budget.left_at_most < 0:
        return BAD
    return WARNING if budget.left_at_least < 0 else OK


def _available(each: Availability) -> Row:
    is_seen = each.coverage > 0

    def shown(minutes: int) -> str:
        return in_minutes(minutes) if is_seen else _("not observed")

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
        "shown": measured.interval(each.outside_planned) if is_seen else _("not observed"),
        "shown_all": measured.interval(each.all_time) if is_seen else _("not observed"),
        "shown_down": shown(each.down_minutes),
        "shown_degraded": shown(each.degraded_minutes),
        "shown_planned": in_minutes(each.planned_minutes),
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
        spent=in_minutes(budget.spent),
        allowed=in_minutes(round(budget.minutes, 1)),
        target=number(f"{budget.target:g}"),
        left=in_minutes(round(budget.left_at_most, 1)),
    )
    if not service.unobserved_minutes:
        return used
    text = _("{time} not observed: if the service was down then, {left} are left")
    if budget.left_at_least < 0:
        text = _("{time} not observed: if the service was down then, the target is missed by {left}")
    dark = text.format(
        time=in_minutes(service.unobserved_minutes), left=in_minutes(abs(round(budget.left_at_least, 1)))
    )
    return joined([used, dark])


def _planned_notes(site: Site, service: Availability | None) -> Iterator[str]:
    for each in (service.planned if service else ())[:_MOST_PLANNED]:
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
    yield Point(_("allowed"), of.budget.minutes, in_minutes(round(of.budget.minutes, 1)))
    for each in of.incidents:
        if each.spent_minutes:
            label = clock(site, each.since) + (f" {each.cause}" if each.cause else "")
            yield Point(label, float(each.spent_minutes), in_minutes(each.spent_minutes), BAD)
    left = of.budget.left_at_most
    yield Point(_("left at most"), max(0.0, left), in_minutes(round(left, 1)), OK if left >= 0 else BAD)


def _day(each: Day) -> Point:
    minutes = each.up + each.degraded + each.down + each.unobserved
    seen = minutes - each.unobserved
    label = f"{each.day:%d/%m}"
    if not seen:
        return Point(label, None, _("not observed"), UNKNOWN)
    words = [_("down {time}").format(time=in_minutes(each.down))] if each.down else []
    words += [_("degraded {time}").format(time=in_minutes(each.degraded))] if each.degraded else []
    is_dark = each.unobserved > _DARK_SHARE * minutes
    words += [_("not observed {time}").format(time=in_minutes(each.unobserved))] if is_dark else []
    words += [_("planned {time}").format(time=in_minutes(each.planned))] if each.planned and words else []
    # What was down in a planned time is no fault of the day.
    down = max(0, each.down - each.planned)
    level = BAD if down > _BAD_SHARE * minutes else WARNING if down or each.degraded else OK
    if level == OK and each.down:
        level = ""
    if level == OK and is_dark:
        level = UNKNOWN
    share = 100 * (seen - each.down) / seen
    return Point(label, round(share, 4), joined(words) or percent(share), level)
