"""What people ask of what runs by itself: the jobs, and of one job what is next, what was last, and why it did not run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone, tzinfo
from itertools import islice
from typing import Any

from samaops.checks.schedule import STATE_WORDS
from samaops.collect import schedule as look
from samaops.errors import UnavailableError
from samaops.facts.schedule import NEVER_BEGUN, OPEN, JobFacts, Run, ScheduleFacts
from samaops.i18n import _, joined
from samaops.journal.database import HistoryError
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site import jobs, redaction
from samaops.site.commands import typed
from samaops.site.jobs import Job
from samaops.site.site import Site
from samaops.workflows.schedule.outcomes import paused

SHOWN = 5
Row = dict[str, Any]


def listed(site: Site) -> Table:
    """Return every job: when it is next, how its last run ended. Raises UnavailableError where the ledger cannot be read."""
    facts = _facts(site)
    zone = jobs.zone_of(site)
    planned = {job.name: job for job in jobs.all_of(site)}
    rows = [_job(planned[job.name], job, facts, zone) for job in facts.jobs]
    columns = (
        Column("job", _("job"), is_copied=True),
        Column("next", _("next")),
        Column("last", _("last")),
        Column("how", _("how it ended")),
        Column("took", _("took")),
    )
    notes = tuple(_notes(facts))
    shown: tuple[Row, ...] = tuple(redaction.redacted(rows, site))
    answer = _answer(facts, zone)
    is_led = facts.leader is not None and facts.leader.until > facts.taken_at
    is_begun_otherwise = facts.leader is None and any(job.runs for job in facts.jobs)
    commands = () if is_led or is_begun_otherwise else (typed(site, "schedule run"),)
    return Table("schedule", columns, shown, _("No job is planned"), notes, answer, commands=commands)


def explained(site: Site, name: str) -> Table:
    """Return the next and the last runs of a job, and why the last one did not happen or go well."""
    job = jobs.named(site, name)
    facts = _facts(site)
    seen = next(each for each in facts.jobs if each.name == name)
    zone = jobs.zone_of(site)
    coming = [_coming(job, moment, facts, zone) for moment in islice(job.after(facts.taken_at), SHOWN)]
    past = [_past(run, zone) for run in seen.runs[:SHOWN]]
    columns = (
        Column("when", _("when"), is_copied=True),
        Column("how", _("how it ended")),
        Column("took", _("took")),
        Column("reason", _("why")),
    )
    rows: tuple[Row, ...] = tuple(redaction.redacted([*reversed(coming), *past], site))
    return Table(
        "schedule_runs",
        columns,
        rows,
        _("{job} has no run").format(job=name),
        tuple(_of_job(job, seen)),
        joined(filter(None, (_paused_now(seen, facts), _last(seen, zone)))),
        commands=_next_commands(site, seen, facts),
    )


def row_of(run: Run, site: Site) -> Row:
    """Return one run as a row."""
    shown: Row = redaction.redacted(_past(run, jobs.zone_of(site)), site)
    return shown


def _facts(site: Site) -> ScheduleFacts:
    try:
        return look.observe(site)
    except HistoryError as error:
        text = _("The ledger cannot be read: {reason}")
        raise UnavailableError(text.format(reason=error.message), error.hint or "samaops doctor") from error


def _job(job: Job, seen: JobFacts, facts: ScheduleFacts, zone: tzinfo) -> Row:
    last = seen.runs[0] if seen.runs else None
    pause = paused(facts.pauses, job.name, facts.taken_at)
    # A pause that ends before it leaves the next run as it is.
    is_kept = pause and (seen.next_at is None or paused(facts.pauses, job.name, seen.next_at))
    return {
        "job": job.name, "line": job.line, "command": ["samaops", *job.words],
        "next": _("paused") if is_kept else _said(seen.next_at, zone), "next_at": _iso(seen.next_at), "paused": pause or None,
        "last": _said(last.planned_at, zone) if last else None, "last_at": _iso(last.planned_at) if last else None,
        "how": STATE_WORDS[last.state]() if last else _("never yet"), "state": last.state if last else None,
        "took": _took(last) if last else None, "seconds": last.seconds if last else None,
        "reason": (last.reason or None) if last else None,
    }  # fmt: skip


def _coming(job: Job, moment: datetime, facts: ScheduleFacts, zone: tzinfo) -> Row:
    why = paused(facts.pauses, job.name, moment) or job.kept_from(moment)
    return {**_EMPTY, "when": _said(moment, zone), "planned_at": _iso(moment),
            "how": _("left out") if why else _("planned"), "state": "planned", "reason": why or None}  # fmt: skip


_EMPTY: Row = dict.fromkeys(
    ("when", "planned_at", "how", "state", "took", "seconds", "reason", "trigger", "started_at", "ended_at",
     "exit_code", "log", "pid", "host", "count")
)  # fmt: skip


def _past(run: Run, zone: tzinfo) -> Row:
    text = _("{count} times, until {moment}")
    several = [text.format(count=run.count, moment=_said(run.until, zone))] if run.count > 1 else []
    return {
        "when": _said(run.planned_at, zone), "planned_at": _iso(run.planned_at), "how": STATE_WORDS[run.state](),
        "state": run.state, "took": _took(run), "seconds": run.seconds,
        "reason": joined([*([run.reason] if run.reason else []), *several]) or None,
        "trigger": run.trigger, "started_at": _iso(run.started_at), "ended_at": _iso(run.ended_at),
        "exit_code": run.exit_code, "log": run.log or None, "pid": run.pid or None, "host": run.host or None,
        "count": run.count,
    }  # fmt: skip


def _took(run: Run) -> str | None:
    return None if run.seconds is None else duration(run.seconds)


def _answer(facts: ScheduleFacts, zone: tzinfo) -> str:
    leader = facts.leader
    nexts = [
        (job.next_at, job.name)
        for job in facts.jobs
        if job.next_at and not paused(facts.pauses, job.name, job.next_at)
    ]
    is_planned = any(job.next_at for job in facts.jobs)
    newest = max(
        (job.runs[0] for job in facts.jobs if job.runs), key=lambda run: run.planned_at, default=None
    )
    if leader is None and newest is not None:  # cron or timers begin them, or somebody does
        text = _("No scheduler was ever run; the last run that was begun otherwise is {job}, {moment}")
        return text.format(job=newest.job, moment=_said(newest.planned_at, zone))
    if leader is None:
        return _("No scheduler was ever run: nothing is begun")
    if leader.until <= facts.taken_at:
        text = _("No scheduler runs; that of {host} was last heard of at {moment}")
        return text.format(host=leader.host, moment=_said(leader.until, zone))
    if not nexts and is_planned:
        return _("The scheduler runs on {host}; all that is planned next is paused").format(host=leader.host)
    if not nexts:
        return _("The scheduler runs on {host}; no job is planned").format(host=leader.host)
    moment, name = min(nexts)
    text = _("The scheduler runs on {host}; next is {job}, {moment}")
    return text.format(host=leader.host, job=name, moment=_said(moment, zone))


def _notes(facts: ScheduleFacts) -> Iterator[str]:
    for pause in facts.pauses:
        reason = paused([pause], pause.job, facts.taken_at)
        if reason:
            yield _("{word}: {text}").format(word=pause.job, text=reason)


def _last(seen: JobFacts, zone: tzinfo) -> str:
    """Say how the last run ended, or why it did not happen."""
    if not seen.runs:
        return _("{job} has never run yet").format(job=seen.name)
    run = seen.runs[0]
    words = STATE_WORDS[run.state]()
    text = _("{job}, {moment}: {how}").format(job=seen.name, moment=_said(run.planned_at, zone), how=words)
    return _("{word}: {text}").format(word=text, text=run.reason) if run.reason else text


def _of_job(job: Job, seen: JobFacts) -> Iterator[str]:
    limit = job.limit([run for run in seen.runs if run.state not in OPEN])
    text = _("samaops {command}, at {line} ({zone}), at most {limit}")
    yield text.format(command=" ".join(job.words), line=job.line, zone=job.zone, limit=duration(limit))
    begun = next((run for run in seen.runs if run.log and run.state not in NEVER_BEGUN), None)
    if begun is not None:
        yield _("output of the last run: {path} on {host}").format(path=begun.log, host=begun.host)


def _paused_now(seen: JobFacts, facts: ScheduleFacts) -> str:
    """Say that a job is paused, until when and why; "" when it is not."""
    reason = paused(facts.pauses, seen.name, facts.taken_at)
    return _("{word}: {text}").format(word=seen.name, text=reason) if reason else ""


def _next_commands(site: Site, seen: JobFacts, facts: ScheduleFacts) -> tuple[str, ...]:
    # Who paused it did not want it to run now.
    pausing = [pause for pause in facts.pauses if paused([pause], seen.name, facts.taken_at)]
    if pausing:
        return tuple(typed(site, f"schedule resume {pause.job}") for pause in pausing)
    is_well = bool(seen.runs) and seen.runs[0].state in ("ok", "running", "waiting")
    return () if is_well else (typed(site, f"schedule run-now {seen.name}"),)


def _said(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="seconds")
