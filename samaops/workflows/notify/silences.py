"""Silences as people ask for them: what there is, what one would be about, and what of a report is silenced."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.config import consistency
from samaops.errors import UnavailableError, UsageError
from samaops.facts.selection import Selection
from samaops.facts.telling import BAD, Silence, seen_of
from samaops.i18n import _, ngettext
from samaops.journal.database import HistoryError
from samaops.model import encoding
from samaops.model.finding import Finding
from samaops.model.plan import Plan
from samaops.model.quantities import moment
from samaops.model.table import Column, Table
from samaops.site import jobs, redaction
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import change, explain
from samaops.workflows.notify.marking import with_history

# How long a look at one code may take before a silence is planned.
_LOOK_SECONDS = 15.0
# Of those that are over, the last ones are listed.
_MOST_OVER = 10


def plan(site: Site, code: str, subject: str, until: datetime, reason: str) -> Plan:
    """Look at what is to be silenced, so that what becomes worse is told, and plan it. Raises UsageError."""
    if "@" in code and not subject:
        code, _at, subject = code.partition("@")
    explain.require_known(Selection(only=(code,)))
    findings = _findings(site, code)
    subject = _subject(subject, findings, _jobs(site, code)) if subject else ""
    seen = {
        finding.key: encoding.encode(seen_of(finding))
        for finding in findings
        if finding.status in BAD and subject in ("", finding.subject)
    }
    text = until.astimezone(timezone.utc).isoformat(timespec="seconds")
    return change.prepare(site, "silence", (code, subject, text, reason, json.dumps(seen)))


def _findings(site: Site, code: str) -> tuple[Finding, ...]:
    """Return what is found of a code now; nothing where its system is not configured, or no look is made at it alone."""
    selection = Selection(only=(code,))
    collectors = registry.collectors(site, selection)
    if not collectors:
        return ()
    snapshot = redaction.redacted(engine.observe(collectors, site, selection, _LOOK_SECONDS), site)
    return tuple(
        finding for finding in checks.judge(snapshot, site, selection) if selection.includes(finding.code)
    )


def _jobs(site: Site, code: str) -> tuple[str, ...]:
    """Return the subjects of a code that has one for each job, also of those that have not run yet."""
    is_of_jobs = code.startswith("schedule.run")
    return tuple(f"schedule/{job.name}" for job in jobs.all_of(site)) if is_of_jobs else ()


def _subject(subject: str, findings: tuple[Finding, ...], more: tuple[str, ...] = ()) -> str:
    """Return a subject in full: what follows its system is enough where that is the only one. Raises UsageError."""
    known = tuple(dict.fromkeys((*(finding.subject for finding in findings), *more)))
    if not known or subject in known:
        return subject
    short = [each for each in known if each.partition("/")[2] == subject]
    if len(short) == 1:
        return short[0]
    raise UsageError(consistency.not_one_of(subject, known), hint="samaops diagnose")


def listed(site: Site) -> Table:
    """Return the silences that hold, then the last that are over. Raises UnavailableError."""
    now = datetime.now(timezone.utc)
    try:
        silences = with_history(site, lambda kept: kept.silences())
    except HistoryError as error:
        text = _("The silences cannot be read: {reason}")
        raise UnavailableError(text.format(reason=error.message), error.hint or "samaops doctor") from error
    holding = [silence for silence in silences if silence.is_active(now)]
    over = [silence for silence in silences if not silence.is_active(now)][:_MOST_OVER]
    columns = (
        Column("number", _("no."), is_number=True),
        Column("finding", _("finding"), is_copied=True),
        Column("left", _("until")),
        Column("by", _("by")),
        Column("why", _("why")),
    )
    rows = tuple(redaction.redacted([_row(silence, now) for silence in (*holding, *over)], site))
    count = len(holding)
    answer = ngettext("{count} silence holds", "{count} silences hold", count).format(count=count)
    commands = tuple(_end(site, silence) for silence in holding[:1])
    empty = _("Nothing is silenced, and nothing ever was")
    return Table("silences", columns, rows, empty, (), answer if silences else empty, commands=commands)


def _row(silence: Silence, now: datetime) -> dict[str, Any]:
    about = f"{silence.code} {silence.subject}" if silence.subject else silence.code
    return {
        "number": silence.number, "finding": about, "left": _holds(silence, now), "by": silence.by,
        "why": _why(silence), "reason": silence.reason, "code": silence.code, "subject": silence.subject or None,
        "is_active": silence.is_active(now), "at": _iso(silence.at), "until": _iso(silence.until),
        "ended_at": _iso(silence.ended_at) if silence.ended_at else None,
        "ended_by": silence.ended_by or None, "ended_why": silence.ended_why or None,
    }  # fmt: skip


def _holds(silence: Silence, now: datetime) -> str:
    """Say until when a silence holds, or since when it does not."""
    if silence.is_active(now):
        return moment(silence.until.timestamp())
    over_at = silence.ended_at or silence.until
    return _("over since {moment}").format(moment=moment(over_at.timestamp()))


def _why(silence: Silence) -> str:
    """Say why something was silenced, and why that ended before its time."""
    if silence.ended_at is None:
        return silence.reason
    text = _("{reason}; ended by {user}: {why}")
    return text.format(reason=silence.reason, user=silence.ended_by, why=silence.ended_why)


def _end(site: Site, silence: Silence) -> str:
    return typed(site, f"silence end {silence.number}")


def _iso(moment_: datetime) -> str:
    return moment_.astimezone(timezone.utc).isoformat(timespec="seconds")
