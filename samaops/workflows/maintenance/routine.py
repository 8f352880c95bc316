"""Run a routine: look, remove what nothing uses, keep what was seen, and tell somebody when it is not well."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.config import consistency
from samaops.config.settings import Threshold
from samaops.errors import (
    REFUSED,
    ConfigurationError,
    LockedError,
    RefusedError,
    SamaopsError,
    UnavailableError,
    UsageError,
)
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.journal.lock import UNKNOWN, ChangeLock
from samaops.model.bulletin import Bulletin
from samaops.model.finding import Finding
from samaops.model.plan import Plan
from samaops.model.report import Report, ReportError, worst_first
from samaops.model.routine import Routine, Task
from samaops.model.status import Status
from samaops.site import redaction
from samaops.site.commands import samaops
from samaops.site.site import Site
from samaops.workflows import change, diagnose
from samaops.workflows.maintenance import announce, past
from samaops.workflows.maintenance.announce import DeadMansSwitch
from samaops.workflows.maintenance.past import Earlier

FAILED = 2
# What a look at everything takes, and some more.
_LEAST_SECONDS = 5.0
# How long to wait for the effect of a task's change.
WAIT_SECONDS = 20.0
_WELL = (Status.OK, Status.WARNING)
_UNWELL = (Status.WARNING, Status.CRITICAL)
ResultT = TypeVar("ResultT")


class Request(Struct, frozen=True):
    """What is asked for. ``consent`` raises RefusedError when a plan may not be run; ``compose`` words a report."""

    consent: Callable[[Plan], None]
    compose: Callable[[Report, str], Bulletin]
    only: tuple[str, ...] = ()
    dry_run: bool = False


class Outcome(Struct, frozen=True):
    """How a run ended: its report, its exit code where that is not told by the report, and what else to say."""

    report: Report
    exit_code: int | None = None
    notes: tuple[str, ...] = ()


class _Run(Struct, frozen=True):
    """One run of a routine on a site whose limits are the routine's: the tasks that were chosen, and its time."""

    site: Site
    routine: Routine
    tasks: tuple[Task, ...]
    request: Request
    limit: Limit


class _Seen(Struct, frozen=True):
    """What a run has so far: what was observed (None when it hung), its report, and whether a change was refused."""

    snapshot: Snapshot | None
    report: Report
    is_refused: bool = False


def run(site: Site, routine: Routine, request: Request) -> Outcome:
    """Do the chosen tasks, keep what was seen for the next run, and tell what is wrong.

    A dry run looks at the same and shows the plan; it keeps nothing and tells nobody. Raises LockedError when another
    run is under way, UsageError or ConfigurationError when what is asked for is not there.
    """
    tasks = choose(site, routine, request.only)
    limit = Limit(site.settings.maintenance.limit_seconds)
    this = _Run(with_limits(site, routine), routine, tasks, request, limit)
    if request.dry_run:
        return Outcome(_within_limit(this, past.read(site, routine)).report)
    with _alone(site, routine):
        switch = DeadMansSwitch(site)
        try:
            outcome = _announced(this, switch)
        except BaseException as error:
            switch.end(is_success=False, text=type(error).__name__)
            raise
        _keep_well_look(site, this, outcome)
        return outcome


def choose(site: Site, routine: Routine, only: Sequence[str] = ()) -> tuple[Task, ...]:
    """Return the tasks that are asked for and can be done with this configuration.

    Raises UsageError for a name that is no task, ConfigurationError when nothing of what is asked for is configured.
    """
    names = tuple(task.id for task in routine.tasks)
    for name in only:
        if name not in names:
            raise UsageError(
                _("There is no task {name!r}").format(name=name) + "; " + consistency.not_one_of(name, names),
                hint="samaops maintain list",
            )
    asked = tuple(task for task in routine.tasks if not only or task.id in only)
    possible = tuple(
        task
        for task in asked
        if any(site.section(section) for section in task.sections)
        and (task.on is None or task.on(site.settings))
    )
    if not possible or (only and len(possible) < len(asked)):
        missing = ", ".join(task.id for task in asked if task not in possible)
        raise ConfigurationError(
            _("Nothing of {names} is configured").format(names=missing), hint="samaops config show"
        )
    return possible


def with_limits(site: Site, routine: Routine) -> Site:
    """Return the site with the routine's limits where it has none of its own."""
    limits = {
        code: Threshold(warning=value) for task in routine.tasks for code, value in task.warning.items()
    }
    thresholds = {**limits, **site.settings.thresholds}
    return Site(site.settings.model_copy(update={"thresholds": thresholds}))


def _announced(this: _Run, switch: DeadMansSwitch) -> Outcome:
    """Look, then keep and tell what was seen: here nothing hangs any more."""
    site, routine = this.site, this.routine
    earlier = past.read(site, routine)
    seen = _within_limit(this, earlier)
    bulletin: Bulletin = redaction.redacted(this.request.compose(seen.report, site.name), site)
    news = announce.prepare(site, seen.report, bulletin, earlier.alerts)
    unkept = past.keep(site, routine, seen.snapshot, seen.report, news.alerts)
    notes = [_("What was seen could not be kept: {reason}").format(reason=unkept)] if unkept else []
    notes += announce.send(site, news)
    is_success = seen.report.status in _WELL and not seen.report.errors
    notes += switch.end(is_success=is_success, text=bulletin.subject)
    notes += announce.log(site.settings.maintenance.log, bulletin, notes)
    return Outcome(seen.report, REFUSED if seen.is_refused and is_success else None, tuple(notes))


def _keep_well_look(site: Site, this: _Run, outcome: Outcome) -> None:
    """Look at everything after a run that found its tasks well: what is different later is told by this look."""
    is_whole = not this.request.only and outcome.report.status is Status.OK
    seconds = min(diagnose.DEFAULT_DEADLINE_SECONDS, this.limit.remaining())
    if is_whole and seconds >= _LEAST_SECONDS:
        diagnose.keep_well_look(site, seconds)


@contextmanager
def _alone(site: Site, routine: Routine) -> Iterator[None]:
    """Hold the lock of a routine, which is not that of changes. Raises LockedError, naming who has it."""
    journal = change.journal_of(site)
    held = change.lock_of(site, journal, f"{site.name} {routine.command}")
    try:
        _acquire(held, routine)
        yield
    finally:
        held.release()
        journal.close()


def _acquire(held: ChangeLock, routine: Routine) -> None:
    try:
        held.take()
    except LockedError as error:
        owner = held.holder()
        if owner in (None, UNKNOWN):
            raise
        text = _("{routine} is being done by {user} on {host}, process {pid}, since {since}").format(
            routine=_(routine.title), user=owner.user, host=owner.host, pid=owner.pid, since=owner.since
        )
        raise LockedError(text) from error


def _within_limit(this: _Run, earlier: Earlier) -> _Seen:
    """Look and change; when that hangs, return a report that says so."""
    started_at, limit = datetime.now(timezone.utc), this.limit
    try:
        return limit.run(lambda: _look(this, earlier))
    except OverdueError:
        text = _("Maintenance was ended at its limit of {seconds:g} s")
        error = ReportError(text.format(seconds=limit.seconds), "[maintenance] limit_seconds", FAILED)
        milliseconds = round(limit.seconds * 1000)
        report = Report(this.routine.command, started_at, milliseconds, deadline_hit=True, errors=(error,))
        return _Seen(None, report)


def _look(this: _Run, earlier: Earlier) -> _Seen:
    """Look at what the tasks ask for, judge it, and change what they change."""
    started, site = time.monotonic(), this.site
    codes = (*(code for task in this.tasks for code in task.codes), past.CODE)
    selection = Selection(only=codes, probe=site.settings.maintenance.probe)
    seconds = this.limit.remaining() * (1 - this.routine.spare)
    collectors = registry.collectors(site, selection)
    snapshot = engine.observe(collectors, site, selection, seconds, earlier.past)
    snapshot = replace(snapshot, observations=(*snapshot.observations, past.observation(earlier)))
    snapshot = redaction.redacted(snapshot, site)
    findings = _with_words(this.tasks, checks.judge(snapshot, site, selection), snapshot)
    findings, causes = graph.explain(findings, site)
    report = Report(
        command=this.routine.command,
        started_at=snapshot.taken_at,
        deadline_hit=snapshot.deadline_hit,
        findings=findings,
        causes=causes,
        footprint=snapshot.footprint,
        timings_ms={observation.subject: observation.duration_ms for observation in snapshot.observations},
    )
    is_refused = False
    for task in this.tasks:
        if task.change is not None:
            report, was_refused = _change(this, task, snapshot, report)
            is_refused = is_refused or was_refused
    duration_ms = round((time.monotonic() - started) * 1000)
    return _Seen(snapshot, replace(report, duration_ms=duration_ms), is_refused)


def _with_words(
    tasks: Sequence[Task], findings: Sequence[Finding], snapshot: Snapshot
) -> tuple[Finding, ...]:
    for task in tasks:
        if task.with_words is not None:
            findings = [task.with_words(finding, snapshot) for finding in findings]
    return tuple(findings)


def _change(this: _Run, task: Task, snapshot: Snapshot, report: Report) -> tuple[Report, bool]:
    """Return the report with a task's change in it, and whether it was refused; a dry run only plans it."""
    assert task.change is not None
    site = this.site
    try:
        plan = change.prepare(site, task.change.verb, ())
    except UnavailableError:
        return report, False  # the finding of what could not be looked at says so
    except RefusedError as error:
        return _still(this, task, report, error), True
    if not plan.steps:
        return report, False
    if this.request.dry_run:
        return replace(report, actions=(*report.actions, *change.report_of(site, plan).actions)), False
    try:
        this.request.consent(plan)
        done = change.apply(site, plan, WAIT_SECONDS)
    except (RefusedError, LockedError) as error:
        actions = (*report.actions, *change.refused(site, plan, error).actions)
        return replace(_still(this, task, report, error), actions=actions), isinstance(error, RefusedError)
    failure = done.errors[0].message if done.errors else ""
    findings = _looked_again(this, task, snapshot, failure)
    return replace(
        report, findings=_replaced(report, task, findings), actions=(*report.actions, *done.actions)
    ), False


def _still(this: _Run, task: Task, report: Report, error: SamaopsError) -> Report:
    """Say in the task's findings why what they found is still there."""
    own = Selection(only=task.codes)
    findings = [
        _with_reason(this, task, finding, error.message)
        for finding in report.findings
        if own.includes(finding.code)
    ]
    return replace(report, findings=_replaced(report, task, findings))


def _with_reason(this: _Run, task: Task, finding: Finding, reason: str) -> Finding:
    if finding.status not in _UNWELL:
        return finding
    return replace(
        finding, detail=reason, hint=samaops(this.site, f"{this.routine.command} --only {task.id} --yes")
    )


def _looked_again(this: _Run, task: Task, before: Snapshot, failure: str) -> list[Finding]:
    """Return the task's findings as they are after its change, with what that achieved."""
    assert task.change is not None
    selection = Selection(only=task.codes)
    after = diagnose.observe(this.site, selection)
    findings = list(checks.judge(after, this.site, selection))
    if failure:
        findings = [_with_reason(this, task, finding, failure) for finding in findings]
    return [task.change.achieved(finding, before, after) for finding in findings]


def _replaced(report: Report, task: Task, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    own = Selection(only=task.codes)
    others = [finding for finding in report.findings if not own.includes(finding.code)]
    return worst_first([*others, *findings])


class OverdueError(Exception):
    """The time of the whole run is over."""


class Limit:
    """The time that a run may take in all. Work that hangs is left behind on a thread of its own when it is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, never less than a moment."""
        return max(0.05, self._ends_at - time.monotonic())

    def run(self, work: Callable[[], ResultT]) -> ResultT:
        """Return what the work returns, raise what it raises, or OverdueError when time is over."""
        results: list[ResultT] = []
        errors: list[BaseException] = []

        def attempt() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
                errors.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(attempt,), daemon=True)
        thread.start()
        thread.join(self.remaining())
        if errors:
            raise errors[0]
        if not results:
            raise OverdueError
        return results[0]
