"""Judge what runs by itself: does a scheduler run, did every job come to its run, how did it end, how long did it take."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import timedelta

from samaops.checks.registry import Context, access_check, check
from samaops.facts.schedule import (
    BY_HAND,
    DONE,
    INTERRUPTED,
    LEASE_SECONDS,
    MISSED,
    OPEN,
    RUNNING,
    WATCHING,
    JobFacts,
    Leader,
    Pause,
    Run,
    ScheduleFacts,
)
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.quantities import duration, moment
from samaops.site.commands import typed

# What is missed is told for a day, and until the job has gone well since.
_TOLD_SECONDS = 86_400.0
# Between two moments and a half of a job nothing is late yet.
_INTERVALS, _SPARE_SECONDS = 2.5, 900.0
# How many runs tell what is usual, and what is never worth a word.
_LEAST_RUNS, _LEAST_SECONDS = 5, 120.0


def _command(context: Context, words: str) -> str:
    return typed(context.site, f"schedule {words}")


@access_check("schedule.ledger.unreadable", ScheduleFacts)
def ledger(facts: ScheduleFacts, context: Context) -> Iterator[Finding]:
    count = sum(len(job.runs) for job in facts.jobs)
    yield context.ok(_("The ledger of what runs by itself can be read"), evidence={"runs": count})


@check("schedule.leader.missing", ScheduleFacts, warning=300, critical=3600, unit="s")
def leader(facts: ScheduleFacts, context: Context) -> Iterator[Finding]:
    known = facts.leader
    if known is None:
        if any(job.runs for job in facts.jobs):
            yield context.ok(_("The jobs are begun from outside: no scheduler runs"))
        return
    seconds = round(max(0.0, (facts.taken_at - known.until).total_seconds() + LEASE_SECONDS), 1)
    who = {"host": known.host, "pid": known.pid, "since": known.since.isoformat(), "epoch": known.epoch}
    if known.until > facts.taken_at:
        text = _("The scheduler runs on {host} since {since}")
        title = text.format(host=known.host, since=moment(known.since.timestamp()))
        yield context.ok(title, value=0, evidence=who)
        return
    if _is_begun_from_outside(facts, known):
        yield context.ok(_("The jobs are begun from outside: no scheduler runs"), evidence=who)
        return
    text = _("No scheduler runs: that of {host} was last heard of {age} ago")
    title = text.format(host=known.host, age=duration(seconds))
    yield context.above(seconds, title, evidence=who, hint=_command(context, "list"))


def _is_begun_from_outside(facts: ScheduleFacts, last: Leader) -> bool:
    """Return whether every job has been run since without a scheduler, as cron or timers do."""
    newest = [next((run for run in job.runs if run.trigger == BY_HAND), None) for job in facts.jobs]
    return bool(newest) and all(
        run is not None
        and run.planned_at > last.until
        and (facts.taken_at - run.planned_at).total_seconds() <= job.interval_seconds
        for job, run in zip(facts.jobs, newest, strict=True)
    )


@check("schedule.run.missed", ScheduleFacts)
def missed(facts: ScheduleFacts, context: Context) -> Iterator[Finding]:
    for job in facts.jobs:
        about = context.about(f"schedule/{job.name}")
        since = facts.taken_at - timedelta(seconds=_TOLD_SECONDS)
        lost = [
            run for run in _since_it_went_well(job) if run.state == MISSED and run.last_planned_at >= since
        ]
        count = sum(run.count for run in lost)
        if not lost:
            if job.runs:
                yield about.ok(_("{job} missed no run").format(job=job.name))
            continue
        text = ngettext(
            "{count} run of {job} was missed: {reason}", "{count} runs of {job} were missed: {reason}", count
        )
        title = text.format(count=count, job=job.name, reason=lost[0].reason)
        evidence = {"moments": [run.planned_at.isoformat() for run in lost], "reason": lost[0].reason}
        yield about.warn(title, value=count, evidence=evidence, hint=_command(context, f"explain {job.name}"))


@check("schedule.run.failed", ScheduleFacts)
def failed(facts: ScheduleFacts, context: Context) -> Iterator[Finding]:
    for job in facts.jobs:
        ended = next((run for run in job.runs if run.started_at and run.state not in OPEN), None)
        if ended is None or _is_begun_anew(job, ended):
            continue
        about = context.about(f"schedule/{job.name}")
        at = moment(ended.planned_at.timestamp())
        evidence = {
            "state": ended.state,
            "reason": ended.reason,
            "exit_code": ended.exit_code,
            "log": ended.log,
        }
        if ended.state in DONE:
            text = _("The last run of {job} ended well, at {moment}")
            yield about.ok(text.format(job=job.name, moment=at), evidence=evidence)
            continue
        text = _("The last run of {job}, at {moment}: {state}")
        title = text.format(job=job.name, moment=at, state=STATE_WORDS[ended.state]())
        judge = about.crit if job.name == "backup" else about.warn
        hint = _command(context, f"explain {job.name}")
        yield judge(title, detail=ended.reason, evidence=evidence, hint=hint)


def _is_begun_anew(job: JobFacts, ended: Run) -> bool:
    """Return whether what looks each minute was ended with its scheduler, and the next process does so by now."""
    goes_on = any(run.state == RUNNING and run.planned_at > ended.planned_at for run in job.runs)
    return job.name in WATCHING and ended.state == INTERRUPTED and goes_on


@check("schedule.run.late", ScheduleFacts)
def late(facts: ScheduleFacts, context: Context) -> Iterator[Finding]:
    for job in facts.jobs:
        went_well = next((run for run in job.runs if run.is_well and run.started_at), None)
        since = went_well.started_at if went_well else job.known_since
        if went_well and since and went_well.until:
            since = max(since, went_well.until)
        if since is None:
            continue
        about = context.about(f"schedule/{job.name}")
        seconds = (facts.taken_at - since).total_seconds()
        text = _("{job} last went well {age} ago") if went_well else _("{job} never went well, in {age}")
        title = text.format(job=job.name, age=duration(max(0.0, seconds)))
        evidence = {"since": since.isoformat(), "interval_seconds": job.interval_seconds}
        pause = _pause_of(facts, job.name)
        if seconds <= job.interval_seconds * _INTERVALS + _SPARE_SECONDS:
            yield about.ok(title, value=round(seconds), evidence=evidence)
            continue
        detail = _paused(pause) if pause else ""
        hint = _command(context, f"explain {job.name}")
        yield about.warn(title, value=round(seconds), detail=detail, evidence=evidence, hint=hint)


# Thrice the usual is no noise of a busy night.
@check("schedule.run.slow", ScheduleFacts, warning=3, unit="times")
def slow(facts: ScheduleFacts, context: Context) -> Iterator[Finding]:
    for job in facts.jobs:
        # One that stands for many moments takes as long as it is told to.
        alone = [run for run in job.runs if run.count == 1]
        took = [(run, run.seconds) for run in alone if run.state in DONE and run.seconds is not None]
        going = next((run for run in alone if run.state == RUNNING and run.started_at), None)
        if going is not None and going.started_at is not None:
            took.insert(0, (going, (facts.taken_at - going.started_at).total_seconds()))
        if len(took) <= _LEAST_RUNS:
            continue
        (newest, seconds), *earlier = took
        usual = statistics.median(each for _run, each in earlier)
        about = context.about(f"schedule/{job.name}")
        text = (
            _("{job} takes {time} by now, usually {usual}")
            if newest is going
            else _("{job} took {time}, usually {usual}")
        )
        title = text.format(job=job.name, time=duration(seconds), usual=duration(usual))
        times = round(seconds / max(usual, 1.0), 1)
        evidence = {"seconds": round(seconds, 1), "usual_seconds": round(usual, 1), "runs": len(earlier)}
        if seconds < _LEAST_SECONDS:
            yield about.ok(title, value=times, evidence=evidence)
        else:
            yield about.above(times, title, evidence=evidence, hint=_command(context, f"explain {job.name}"))


# More than a day, and a backup is missing.
@check("schedule.job.paused", ScheduleFacts, warning=1.01, unit="d")
def paused(facts: ScheduleFacts, context: Context) -> Iterator[Finding]:
    for pause in facts.pauses:
        if pause.until > facts.taken_at:
            about = context.about(f"schedule/{pause.job}")
            days = round((pause.until - pause.at).total_seconds() / _TOLD_SECONDS, 2)
            title = _("{job} is paused").format(job=pause.job)
            evidence = {"until": pause.until.isoformat(), "by": pause.by}
            hint = _command(context, f"resume {pause.job}")
            yield about.above(days, title, detail=_paused(pause), evidence=evidence, hint=hint)


def _paused(pause: Pause) -> str:
    text = _("paused by {user} until {moment}: {reason}")
    return text.format(user=pause.by, moment=moment(pause.until.timestamp()), reason=pause.reason)


def _pause_of(facts: ScheduleFacts, job: str) -> Pause | None:
    found = (pause for pause in facts.pauses if pause.job in ("all", job) and pause.until > facts.taken_at)
    return next(found, None)


def _since_it_went_well(job: JobFacts) -> Iterator[Run]:
    """Yield the runs after the last one that went well, newest first; one begun by hand makes up for others too."""
    for run in job.runs:
        if run.is_well:
            return
        yield run


STATE_WORDS = {
    "ok": lambda: _("went well"),
    "warning": lambda: _("ended with warnings"),
    "failed": lambda: _("failed"),
    "timed_out": lambda: _("took too long and was ended"),
    "killed": lambda: _("was ended from outside"),
    "interrupted": lambda: _("was interrupted"),
    "missed": lambda: _("missed"),
    "skipped": lambda: _("left out"),
    "overlapped": lambda: _("left out: the one before still went on"),
    "waiting": lambda: _("waits"),
    "running": lambda: _("goes on"),
}
