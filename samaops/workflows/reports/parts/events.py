"""What happened: incidents, and what was changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from samaops.facts import month as names
from samaops.facts.month import Incident, MonthlyReport
from samaops.facts.sample import WHOLE as SERVICE
from samaops.i18n import _, joined, ngettext
from samaops.model.history import STATUS_WORDS, PastChange
from samaops.model.page import Section
from samaops.model.table import Column
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports import availability
from samaops.workflows.reports.parts.words import (
    BAD,
    MOST_ROWS,
    OK,
    UNKNOWN,
    WARNING,
    clock,
    in_minutes,
    iso,
    listed,
    percent,
    typed_moment,
    unread,
)

Row = dict[str, Any]


# With less of the time observed, that no incident was seen says nothing.
_LEAST_COVERAGE = 95.0


def counted_incidents(of: MonthlyReport) -> str:
    """Say how many incidents were seen, and where little was observed, that this is not all."""
    coverage = _coverage(of)
    if not coverage:
        return _("incidents: not observed")
    count = len(of.incidents)
    if count:
        return ngettext("{count} incident", "{count} incidents", count).format(count=count)
    if coverage < _LEAST_COVERAGE:
        return _("no incident was seen in the {coverage} of the time that were observed").format(
            coverage=percent(coverage)
        )
    return _("no incident was seen")


def _coverage(of: MonthlyReport) -> float:
    """Return how much of the time the service was observed; of the best observed part where it never was."""
    service = [each.coverage for each in of.availability if each.subject == SERVICE]
    return max(service, default=0.0) or max((each.coverage for each in of.availability), default=0.0)


def incidents(site: Site, of: MonthlyReport) -> Section:
    rows = [_incident(site, each) for each in of.incidents[:MOST_ROWS]]
    columns = (
        Column("shown_since", _("onset"), is_copied=True),
        Column("shown_time", _("lasted"), True),
        Column("shown_spent", _("of the budget"), True),
        Column("shown_subjects", _("what was down")),
        Column("shown_cause", _("cause")),
        Column("shown_repair", _("repair")),
    )
    answer = counted_incidents(of)
    notes = (*cut(len(of.incidents)), *((availability.accuracy(1),) if rows else ()))
    commands = tuple(str(row["command"]) for row in rows[:3]) or (
        typed(site, f"report availability --month {of.period.label}"),
    )
    table = listed("incidents", columns, rows, answer, notes=notes, commands=commands)
    is_seen = any(each.coverage for each in of.availability)
    status = _incident_status(of)
    return Section("incidents", _("Incidents"), table, (), status, is_seen)


def _incident_status(of: MonthlyReport) -> str:
    if of.incidents:
        return BAD if any(each.service_minutes for each in of.incidents) else WARNING
    return OK if _coverage(of) >= _LEAST_COVERAGE else UNKNOWN


def _incident(site: Site, each: Incident) -> Row:
    since, until = (typed_moment(site, moment) for moment in (each.since, each.until))
    return {
        "since": iso(each.since),
        "until": iso(each.until) if each.is_over else None,
        "minutes": each.minutes,
        "service_minutes": each.service_minutes,
        "spent_minutes": each.spent_minutes,
        "subjects": list(each.subjects),
        "cause": each.cause or None,
        "repairs": list(each.repairs),
        "changes": list(each.changes),
        "who": list(each.who),
        "is_verified": each.is_verified,
        "command": typed(site, f"report incident --since {since} --until {until}"),
        "level": BAD if each.service_minutes else WARNING,
        "shown_since": clock(site, each.since),
        "shown_time": in_minutes(each.minutes)
        if each.is_over
        else _("{time}, until it was seen last").format(time=in_minutes(each.minutes)),
        "shown_spent": in_minutes(each.spent_minutes),
        "shown_subjects": ", ".join(each.subjects),
        "shown_cause": each.cause or _("not known"),
        "shown_repair": _repair_words(each),
    }


def _repair_words(each: Incident) -> str:
    """Say what was done, by whom, and whether it was seen to help."""
    if not each.repairs:
        return _("none of samaops")
    if not each.is_over:
        text = _("not repaired; tried: {what} ({who})")
        return text.format(what=joined(each.repairs), who=", ".join(each.who))
    text = _("{what} ({who}, verified)") if each.is_verified else _("{what} ({who}, not verified)")
    return text.format(what=joined(each.repairs), who=", ".join(each.who))


def cut(count: int, most: int = MOST_ROWS) -> tuple[str, ...]:
    if count <= most:
        return ()
    text = _("{shown} of {count} are shown; the command below shows the others")
    return (text.format(shown=most, count=count),)


def changes(site: Site, of: MonthlyReport) -> Section:
    newest = tuple(reversed(of.changes))
    rows = [_change(site, each) for each in newest[:MOST_ROWS]]
    columns = (
        Column("when", _("when"), is_copied=True),
        Column("title", _("change")),
        Column("shown_status", _("how it ended")),
        Column("who", _("who")),
    )
    bad = [each for each in of.changes if each.status in ("failed", "interrupted", "unreadable")]
    if names.CHANGES in of.missing:
        answer = unread(of, names.CHANGES)
    else:
        count = len(of.changes)
        answer = ngettext("{count} change", "{count} changes", count).format(count=count)
        if bad:
            text = ngettext("{count} did not end well", "{count} did not end well", len(bad))
            answer = joined([answer, text.format(count=len(bad))])
        if not count:
            answer = _("Nothing was changed through samaops")
    since, until = (typed_moment(site, moment) for moment in (of.period.since, of.period.until))
    command = f"history list --since {since} --until {until} --limit 2000"
    table = listed(
        "changes",
        columns,
        rows,
        answer,
        notes=cut(len(newest)),
        commands=(typed(site, command),),
        figures={"changes": None if names.CHANGES in of.missing else len(of.changes), "bad": len(bad)},
    )
    is_seen = names.CHANGES not in of.missing
    status = UNKNOWN if not is_seen else WARNING if bad else OK
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
        "command": typed(site, f"history show {each.id}"),
        "level": WARNING if is_bad else None,
        "shown_status": f"{words}: {each.reason}" if each.reason and is_bad else words,
    }
