"""The timeline of a short time, for a post-mortem: what was down, what was found and named, what ran, what was changed, by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from samaops.checks.schedule import STATE_WORDS
from samaops.errors import SamaopsError
from samaops.facts.availability import Availability, Period
from samaops.facts.month import Incident, RoutineRun
from samaops.facts.sample import WHOLE
from samaops.facts.schedule import DONE, NEVER_BEGUN, OPEN, Run
from samaops.i18n import N_, _, joined, ngettext
from samaops.model.history import STATUS_WORDS, PastChange, local
from samaops.model.quantities import duration
from samaops.model.status import Status
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.reports import availability, foreign, incidents, night, period, remembered
from samaops.workflows.reports.foreign import Kept
from samaops.workflows.reports.happening import (
    CAUSE,
    CHANGE,
    CRITICAL,
    FINDING,
    JOB,
    KIND_WORDS,
    OK,
    ORDER,
    RELEASE,
    STATE,
    WARNING,
    Event,
)
from samaops.workflows.reports.night import Night

PartT = TypeVar("PartT")
_STATUS_WORDS = {
    "ok": N_("ok"),
    "warning": N_("warning"),
    "critical": N_("critical"),
    "unknown": N_("unknown"),
}
_BAD_CHANGES = ("failed", "interrupted", "unreadable")
_MOST_ROWS = 400
# With less of the time observed, that nothing bad was seen says nothing.
_LEAST_COVERAGE = 95.0


class _Seen(Struct):
    """What could be read of the period, and what nobody can say of it."""

    availability: tuple[Availability, ...] = ()
    changes: tuple[PastChange, ...] = ()
    runs: tuple[Run, ...] = ()
    routines: tuple[RoutineRun, ...] = ()
    kept: tuple[Kept, ...] = ()
    night: Night = Night()
    missing: list[str] = []
    is_whole: bool = True


def timeline(site: Site, since: datetime, until: datetime) -> Table:
    """Return what happened between two moments, oldest first, and what nobody looked at. Raises UsageError."""
    # What is sampled is known by the minute, all else to the second.
    whole_minutes = period.between(site, since, until)
    asked = replace(whole_minutes, since=since, until=until)
    seen = _gathered(site, asked, whole_minutes)
    events = sorted(_events(seen, asked), key=lambda each: (each.at, ORDER.index(each.kind)))
    shown = events[:_MOST_ROWS]
    rows: list[dict[str, Any]] = [_row(each, site, asked) for each in shown]
    answer = _answer(asked, seen, events)
    notes = [*_unseen(seen), *seen.night.notes]
    if site.settings.docker is not None:
        notes += foreign.unknown(seen.kept, seen.night.silent, asked.since, asked.until)
    if len(shown) < len(events):
        text = _("{shown} of {count} are shown: ask for a shorter time")
        notes.append(text.format(shown=len(shown), count=len(events)))
    columns = (
        Column("when", _("when"), is_copied=True),
        Column("shown_kind", _("what")),
        Column("text", _("what happened")),
        Column("who", _("who")),
    )
    figures = {
        "since": _iso(asked.since),
        "until": _iso(asked.until),
        "minutes": asked.minutes,
        **_totals(events),
        "service_down_minutes": _down(seen),
        "service_coverage": _coverage(seen),
        "outage_accuracy_minutes": availability.OUTAGE_ACCURACY_MINUTES,
    }
    return Table(
        "incident",
        columns,
        tuple(redaction.redacted(rows, site)),
        answer,
        tuple(redaction.redacted(notes, site)),
        answer,
        is_whole=seen.is_whole,
        commands=_commands(site, asked, seen.night),
        figures=figures,
        status=_status(seen, events),
    )


def _gathered(site: Site, asked: Period, whole_minutes: Period) -> _Seen:
    seen = _Seen(missing=[])

    def read(part: Callable[[], tuple[PartT, ...]], name: str) -> tuple[PartT, ...]:
        try:
            return part()
        except SamaopsError as error:
            seen.is_whole = False
            text = _("{part}: could not be read: {reason}")
            seen.missing.append(text.format(part=name, reason=error.message))
            return ()

    seen.availability = read(
        # What was seen in the minute in which we are is told, though it counts when it is over.
        lambda: availability.observed(site, whole_minutes, int(asked.until > whole_minutes.until)),
        _("samples"),
    )
    seen.changes = read(lambda: remembered.changes(site, asked), _("changes"))
    seen.runs = read(lambda: remembered.runs(site, asked), _("jobs"))
    seen.routines = read(lambda: remembered.routines(site, asked.since, asked.until), _("maintenance"))
    if site.settings.docker is not None:
        seen.kept = read(lambda: remembered.kept(site, asked.since, asked.until), _("releases"))
    seen.night = night.look(site, asked.since, asked.until)
    return seen


def _events(seen: _Seen, asked: Period) -> Iterator[Event]:
    for each in seen.availability:
        yield from _states(each)
    for routine in seen.routines:
        yield from _findings(routine, _run_of(routine, seen.runs))
    for run in seen.runs:
        yield from _job(run, asked)
    for made in seen.changes:
        yield from _change(made, asked)
    yield from seen.night.events
    yield from foreign.releases(seen.kept, seen.night.containers, seen.changes, asked.since, asked.until)


def _states(of_: Availability) -> Iterator[Event]:
    for span in of_.outages:
        text = _("{subject} is down, for {time} ± {off} min")
        if not span.is_over:
            text = _("{subject} is down, seen so until {moment}; what follows nobody saw")
        yield Event(
            span.since,
            STATE,
            of_.subject,
            text.format(
                subject=of_.subject,
                time=duration(60 * span.minutes),
                off=availability.OUTAGE_ACCURACY_MINUTES,
                moment=_clock(span.until)[11:16],
            ),
            CRITICAL,
            command="report availability",
        )
        if span.is_over:
            yield Event(
                span.until, STATE, of_.subject, _("{subject} answers again").format(subject=of_.subject), OK
            )


def _run_of(routine: RoutineRun, runs: Sequence[Run]) -> str:
    """Return which run this was: that of the scheduler in which it ended, else one of its own."""
    name = routine.command.removeprefix("maintain ")
    for run in runs:
        began = run.started_at
        if run.job == name and began is not None and began <= routine.at <= (run.ended_at or routine.at):
            return _key(run)
    return f"{routine.command} {_iso(routine.at)}"


def _key(run: Run) -> str:
    return f"{run.job} {_iso(run.planned_at)}"


def _findings(run: RoutineRun, key: str) -> Iterator[Event]:
    text, words = _("{job} ended: {status}"), _(_STATUS_WORDS.get(run.result, run.result))
    status = _("failed") if run.is_failed else words
    level = CRITICAL if run.is_failed else run.result if run.result in _STATUS_WORDS else WARNING
    shown = text.format(job=run.command, status=status)
    yield Event(run.at, JOB, run.command, shown, level, command="maintain list", run=key)
    for cause in run.causes:
        yield Event(
            run.at, CAUSE, cause.subject, cause.title, CRITICAL, run.command, command=f"explain {cause.id}"
        )
    for finding in run.findings:
        if finding.status in (WARNING, CRITICAL, Status.UNKNOWN.value):
            title = _("{what}: {words}").format(what=finding.subject, words=finding.title or finding.code)
            yield Event(
                run.at,
                FINDING,
                finding.subject,
                title,
                finding.status,
                run.command,
                f"explain {finding.code}",
            )


def _job(run: Run, asked: Period) -> Iterator[Event]:
    words, command = STATE_WORDS[run.state](), f"schedule explain {run.job}"
    if run.state in NEVER_BEGUN:
        text = _("{job} {how}: {reason}") if run.reason else _("{job} {how}")
        yield Event(
            run.planned_at,
            JOB,
            run.job,
            text.format(job=run.job, how=words, reason=run.reason),
            WARNING,
            run.host,
            command,
            _key(run),
        )
        return
    began = run.started_at or run.planned_at
    if asked.since <= began < asked.until:
        yield Event(
            began, JOB, run.job, _("{job} begins").format(job=run.job), OK, run.host, command, _key(run)
        )
    if run.ended_at is not None and asked.since <= run.ended_at < asked.until:
        is_well, took = run.state in DONE, duration(run.seconds or 0.0)
        text = _("{job} {how} after {time}: {reason}") if run.reason else _("{job} {how} after {time}")
        shown = text.format(job=run.job, how=words, time=took, reason=run.reason)
        level = OK if run.state == "ok" else WARNING if is_well else CRITICAL
        yield Event(run.ended_at, JOB, run.job, shown, level, run.host, command, _key(run))


def _change(made: PastChange, asked: Period) -> Iterator[Event]:
    who, command = f"{made.user}@{made.host}", f"history show {made.id}"
    yield Event(datetime.fromisoformat(made.at), CHANGE, made.id, made.title, OK, who, command)
    ended = next((each for each in made.moments if each.kind == "ended"), None)
    if ended is None and made.status != "unreadable":
        text = _("{title}: never ended: {status}")
        at = datetime.fromisoformat(made.moments[-1].at if made.moments else made.at)
        shown = text.format(title=made.title, status=_(STATUS_WORDS.get(made.status, made.status)))
        yield Event(at, CHANGE, made.id, shown, WARNING, who, command)
    if ended is None or datetime.fromisoformat(ended.at) >= asked.until:
        return
    level = CRITICAL if made.status in _BAD_CHANGES else WARNING if made.reason else OK
    text = _("{title}: {status}: {reason}") if made.reason else _("{title}: {status}")
    status = _(STATUS_WORDS.get(made.status, made.status))
    shown = text.format(title=made.title, status=status, reason=made.reason)
    yield Event(datetime.fromisoformat(ended.at), CHANGE, made.id, shown, level, who, command)


def _row(event: Event, site: Site, asked: Period) -> dict[str, Any]:
    return {
        "when": _of_day(event.at, asked),
        "at": _iso(event.at),
        "kind": event.kind,
        "shown_kind": _(KIND_WORDS[event.kind]),
        "subject": event.subject,
        "text": event.text,
        "level": event.level,
        "who": event.who or None,
        "command": typed(site, event.command) if event.command else None,
    }


def _answer(asked: Period, seen: _Seen, events: Sequence[Event]) -> str:
    whole = next((each for each in seen.availability if each.subject == WHOLE), None)
    found = incidents.of(seen.availability, seen.changes, seen.routines)
    return joined([*_state_words(whole, asked), *_incident_words(found), *_counts(events)])


def _state_words(whole: Availability | None, asked: Period) -> Iterator[str]:
    span = _("{since} to {until}").format(
        since=_clock(asked.since)[:16], until=_of_day(asked.until, asked)[:-3]
    )
    if whole is None or not whole.coverage:
        yield _("{span}: nobody watched the service").format(span=span)
    elif not whole.outages:
        text = _("{span}: the service was not seen down, observed for {coverage:.0f} % of the time")
        yield text.format(span=span, coverage=whole.coverage)
    else:
        text = _(
            "{span}: the service was down for {time} ± {off} min, observed for {coverage:.0f} % of the time"
        )
        yield text.format(
            span=span,
            off=availability.down_accuracy_minutes(whole),
            time=duration(60 * sum(span.minutes for span in whole.outages)),
            coverage=whole.coverage,
        )


def _incident_words(found: Sequence[Incident]) -> Iterator[str]:
    for each in found[:1]:
        if each.cause:
            yield _("cause: {cause}").format(cause=each.cause)
        if each.who and each.is_over:
            yield _("repaired by {who}").format(who=", ".join(each.who))


def _counts(events: Sequence[Event]) -> Iterator[str]:
    totals = _totals(events)
    changed, ran, found, released = totals[CHANGE], totals[JOB], totals[FINDING], totals[RELEASE]
    yield ngettext("{count} change", "{count} changes", changed).format(count=changed)
    yield ngettext("{count} run of a job", "{count} runs of jobs", ran).format(count=ran)
    if released:
        text = ngettext("{count} release of others", "{count} releases of others", released)
        yield text.format(count=released)
    if found:
        yield ngettext("{count} finding", "{count} findings", found).format(count=found)


def _status(seen: _Seen, events: Sequence[Event]) -> Status:
    """Return unknown where nothing was observed, ok where the service was watched; of what was seen in between no judgement."""
    if not events and not any(each.coverage for each in seen.availability):
        return Status.UNKNOWN
    return Status.OK if (_coverage(seen) or 0.0) >= _LEAST_COVERAGE else Status.SKIPPED


def _totals(events: Sequence[Event]) -> dict[str, int]:
    """Count what the rows are of: a change or a run has one when it begins and one when it ends, and is counted once."""
    totals = {kind: sum(each.kind == kind for each in events) for kind in ORDER}
    totals[CHANGE] = len({each.subject for each in events if each.kind == CHANGE})
    totals[JOB] = len({each.run for each in events if each.kind == JOB})
    return totals


def _unseen(seen: _Seen) -> Iterator[str]:
    """Say of each source what it cannot tell of this time."""
    yield from seen.missing
    dark = [each.subject for each in seen.availability if not each.coverage]
    if not seen.availability or len(dark) == len(seen.availability):
        yield _("Not observed: no sample was taken in this time, so nobody knows what was up or down")
    elif dark:
        yield _("Not observed in this time: {subjects}").format(subjects=", ".join(dark))
    for each in seen.availability:
        if each.subject == WHOLE and 0 < each.coverage < 100:
            text = _("Of the service, {minutes} of {all} minutes were not observed")
            yield text.format(minutes=each.unobserved_minutes, all=each.minutes)
    if not seen.routines:
        yield _("No maintenance run ended in this time: no findings were kept; diagnose keeps none by itself")
    if not seen.runs and seen.routines:
        yield _("The scheduler began nothing in this time: these runs were begun by hand or by cron")
    elif not seen.runs:
        yield _("The ledger has no run of a job in this time")
    if any(run.state in OPEN for run in seen.runs):
        yield _("A job of this time still goes on")


def _commands(site: Site, asked: Period, seen: Night) -> tuple[str, ...]:
    """Return what to type for what could not be read, or not whole."""
    since, until = (f"@{each.timestamp():.0f}" for each in (asked.since, asked.until))
    reading = f"journalctl -o short-iso --since {since} --until {until} _COMM=sshd + _COMM=sudo"
    servers = [name for name, server in site.settings.servers.items() if server.ssh not in ("local", "none")]
    looks = [f"ssh {name} -- {reading}" for name in servers if name in seen.unread]
    if site.settings.docker is not None:
        looks.append("release list")
    return tuple(typed(site, words) for words in looks)


def _down(seen: _Seen) -> int | None:
    return next(
        (each.down_minutes for each in seen.availability if each.subject == WHOLE and each.coverage), None
    )


def _coverage(seen: _Seen) -> float | None:
    return next((each.coverage for each in seen.availability if each.subject == WHOLE), None)


def _clock(moment: datetime) -> str:
    """Return a moment by the clock of whoever reads it, to the second."""
    return local(moment.isoformat())[:19]


def _of_day(moment: datetime, asked: Period) -> str:
    """Return the time of a moment alone, where the whole period lies within a day."""
    text = _clock(moment)
    return text[11:] if _clock(asked.since)[:10] == _clock(asked.until)[:10] else text


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")
