"""What a month leaves to do."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.facts import month as names
from samaops.facts.availability import (
    CRITICAL,
    MET,
    MISSED,
)
from samaops.facts.month import MonthlyReport
from samaops.i18n import _, ngettext
from samaops.model.page import Section
from samaops.model.table import Column
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports.capacity import is_soon
from samaops.workflows.reports.parts.filling import band, place
from samaops.workflows.reports.parts.hosts import OF_SERVERS
from samaops.workflows.reports.parts.jobs import lost_runs
from samaops.workflows.reports.parts.objectives import amount, kpi_value
from samaops.workflows.reports.parts.saved import at_of
from samaops.workflows.reports.parts.words import BAD, MOST_ROWS, WARNING, in_minutes, listed, typed_moment


def following(site: Site, of: MonthlyReport) -> Section:
    rows = [
        {"work": work, "why": why, "command": typed(site, command)} for work, why, command in _work(site, of)
    ][:MOST_ROWS]
    columns = (
        Column("work", _("what")),
        Column("why", _("why")),
        Column("command", _("command"), is_copied=True, is_command=True),
    )
    count = len(rows)
    answer = ngettext("{count} thing to do", "{count} things to do", count).format(count=count)
    if not rows:
        answer = _("Nothing of this month asks for work")
    table = listed("next", columns, rows, answer)
    return Section("next", _("Next month"), table, (), "")


def _work(site: Site, of: MonthlyReport) -> Iterator[tuple[str, str, str]]:
    """Yield what this month leaves to do: what, why, and the command to begin with."""
    month = of.period.label
    for kpi in of.kpis:
        if kpi.status in (MISSED, CRITICAL):
            text = _("measured {value}, target {target}")
            why = text.format(value=kpi_value(kpi), target=amount(kpi.target, kpi.unit))
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
                time=in_minutes(incident.service_minutes)
            )
            since, until = (typed_moment(site, moment) for moment in (incident.since, incident.until))
            yield _("Find the cause of an incident"), why, f"report incident --since {since} --until {until}"
    for each in of.capacity:
        if each.full_on is not None and is_soon(each, of.period):
            yield (
                _("Make room: {what}").format(what=place(each)),
                _("full on {day}").format(day=band(each)),
                "disk grew",
            )
    for name in dict.fromkeys(run.job for run in lost_runs(of)):
        count = sum(run.count for run in lost_runs(of) if run.job == name)
        why = ngettext("{count} run missed or failed", "{count} runs missed or failed", count)
        yield _("See that {job} runs").format(job=name), why.format(count=count), f"schedule explain {name}"
    grade = of.drilled.grades.restored if of.drilled else None
    if names.BACKUPS not in of.missing and (
        grade is None or not grade.is_good or at_of(grade.at) < of.period.since
    ):
        yield _("Try a backup"), _("none was restored for a trial in this month"), "backup drill"
    for finding in of.servers.findings if of.servers else ():
        if finding.status in (WARNING, BAD) and finding.code.startswith(OF_SERVERS):
            yield finding.title or finding.code, finding.subject, f"explain {finding.code}"
