"""Run a routine: look, remove what nothing uses, keep what was seen, and tell somebody when it is not well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.config import consistency
from samaops.config.settings import Threshold
from samaops.errors import (
    BUG,
    INTERRUPTED,
    REFUSED,
    ConfigurationError,
    LockedError,
    RefusedError,
    SamaopsError,
    UnavailableError,
    UsageError,
)
from samaops.facts.maintenance import Past
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.journal.lock import UNKNOWN, ChangeLock
from samaops.model.bulletin import Bulletin
from samaops.model.finding import Finding
from samaops.model.history import local
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
from samaops.workflows.maintenance.limit import PART_SECONDS, Limit, OverdueError, bounded
from samaops.workflows.maintenance.past import Earlier
from samaops.workflows.notify import telling
from samaops.workflows.notify.telling import Settled

FAILED = 2
# What a look at everything takes, and some more.
_LEAST_SECONDS = 5.0
# Of the time of a run, beside what telling takes: for keeping what was seen.
_KEEPING_SECONDS = 5.0
# For what comes last: a report reads six months, looks at the backups and is mailed.
_LAST_SECONDS = 120.0
_WELL = (Status.OK, Status.WARNING)
_UNWELL = (Status.WARNING, Status.CRITICAL)


class Request(Struct, frozen=True):
    """What is asked for. ``consent`` raises RefusedError when a plan may not be run; ``compose`` words a report.

    ``note`` says what else there is to say of a run that fails. ``is_watched``: somebody sits there, and sees how the run
    itself ends. ``last`` does the tasks that come last, and returns what of that failed.
    """

    consent: Callable[[Plan], None]
    compose: Callable[[Report, str], Bulletin]
    only: tuple[str, ...] = ()
    dry_run: bool = False
    note: Callable[[str], None] = lambda _note: None
    is_watched: bool = False
    last: Callable[[Site], tuple[str, ...]] | None = None


class Outcome(Struct, frozen=True):
    """How a run ended: its report, its exit code where that is not told by the report, and what else to say.

    ``end`` is to be called when the answer was given, or with why it could not be: it tells the dead man's switch, and
    returns what else there is to say then.
    """

    report: Report
    exit_code: int | None = None
    notes: tuple[str, ...] = ()
    end: Callable[[str], tuple[str, ...]] = lambda _failure: ()


class _Run(Struct, frozen=True):
    """One run of a routine on a site whose limits are the routine's: the tasks that were chosen, and its time.

    ``limit`` is that of all that is done; ``whole`` has the time in which somebody is told, besides.
    """

    site: Site
    routine: Routine
    tasks: tuple[Task, ...]
    request: Request
    limit: Limit
    whole: Limit


class _Seen(Struct, frozen=True):
    """What a run has so far: what was observed (None when it hung), its report, and why a change was refused."""

    snapshot: Snapshot | None
    report: Report
    refusal: str = ""


def run(site: Site, routine: Routine, request: Request) -> Outcome:
    """Do the chosen tasks, keep what was seen for the next run, and tell what is wrong.

    A dry run looks at the same and shows the plan; it keeps nothing and tells nobody. Raises LockedError when another
    run is under way, UsageError or ConfigurationError when what is asked for is not there.
    """
    whole = Limit(routine.limit_seconds(site.settings))
    if request.dry_run:
        this = _Run(
            with_limits(site, routine), routine, choose(site, routine, request.only), request, whole, whole
        )
        return Outcome(_within_limit(this, past.read(site, routine)).report)
    switch = DeadMansSwitch(site)
    try:
        tasks = choose(site, routine, request.only)
        needed = announce.seconds_needed(site.settings.notify) + _KEEPING_SECONDS
        limit = Limit(max(whole.seconds - needed, whole.seconds / 2))
        with _alone(site, routine, limit):
            switch.begin()
            this = _Run(with_limits(site, routine), routine, tasks, request, limit, whole)
            return _announced(this, switch)
    except BaseException as error:
        _tell_failure(site, routine, request, error, whole, switch)
        raise


def tell_failure(site: Site, routine: Routine, request: Request, error: BaseException) -> None:
    """Tell somebody that a run could not even begin; ``site`` is what is known of who is told."""
    if not request.dry_run:
        whole = Limit(routine.limit_seconds(site.settings))
        _tell_failure(site, routine, request, error, whole, DeadMansSwitch(site))


def _tell_failure(
    site: Site,
    routine: Routine,
    request: Request,
    error: BaseException,
    whole: Limit,
    switch: DeadMansSwitch,
) -> None:
    """Tell how a run ended that has no report: as its findings would be told, the dead man's switch last."""
    if isinstance(error, LockedError) and not _lasts(error, whole.seconds):
        return  # who has the lock tells how that run ends
    reason = _as_error(error)
    report = Report(routine.command, datetime.now(timezone.utc), errors=(reason,))
    notes: tuple[str, ...] = ()
    try:
        if not request.is_watched:
            notes = _tell(site, routine, report, request, whole)
    except Exception as second:  # noqa: BLE001 - the first error is the one that is raised
        notes = (_("Nobody could be told: {reason}").format(reason=type(second).__name__),)
    finally:
        notes += switch.end(is_success=False, text=reason.message, most_seconds=whole.remaining())
        for note in notes:
            request.note(note)


def _tell(site: Site, routine: Routine, report: Report, request: Request, whole: Limit) -> tuple[str, ...]:
    """Tell of a run that has no findings; return what of that failed."""
    settled = _settled(site, report, whole)
    report = settled.report
    bulletin: Bulletin = redaction.redacted(request.compose(report, site.name), site)
    earlier = bounded(lambda: past.read(site, routine), _before_telling(site, whole), None)
    news = announce.prepare(site, report, bulletin, earlier.alerts if earlier else (), routine.hours)
    news = announce.with_messages(site, news, request.compose)
    notes = _told(site, settled, news, whole)
    if earlier:  # else the alerts that it does not know would be forgotten
        bounded(lambda: past.keep(site, routine, None, report, news.alerts), whole, "")
    return notes + _logged(site, routine, bulletin, notes, whole)


def _settled(site: Site, report: Report, limit: Limit) -> Settled:
    """Decide what of a report is news; where the history hangs, all of it is."""
    hung = _("no answer within {seconds:g} s").format(seconds=PART_SECONDS)
    return bounded(
        lambda: telling.settle(site, report), _before_telling(site, limit), Settled(report, failure=hung)
    )


def _told(site: Site, settled: Settled, news: announce.Announcement, whole: Limit) -> tuple[str, ...]:
    """Tell the news, and keep who was told; return what of that failed."""
    used, failures = announce.use(site, news, whole.remaining())
    hung = _("no answer within {seconds:g} s").format(seconds=PART_SECONDS)
    reason = bounded(lambda: telling.keep(site, settled, used, tuple(failures)), whole, hung)
    unkept = (telling.unkept(reason),) if reason and used else ()
    return announce.sentences(failures) + unkept


def _logged(
    site: Site, routine: Routine, bulletin: Bulletin, notes: Sequence[str], whole: Limit
) -> tuple[str, ...]:
    """Append to the log of maintenance; return a sentence when that failed."""
    path = log_of(site, routine)
    reason = _("no answer within {seconds:g} s").format(seconds=PART_SECONDS)
    unwritten = (_("The log {path} cannot be written: {reason}").format(path=path, reason=reason),)
    return bounded(lambda: announce.log(path, bulletin, notes), whole, unwritten)


def log_of(site: Site, routine: Routine) -> Path:
    """Return where the runs of a routine are logged: the configured file, or one of its own beside it, as in the guide."""
    path = site.settings.maintenance.log
    return path.with_name(path.name.replace("daily", routine.name))


def _lasts(error: LockedError, limit_seconds: float) -> bool:
    """Return whether who has the lock should have ended long ago; where he does not say since when, he may have."""
    try:
        seconds = (datetime.now(timezone.utc) - datetime.fromisoformat(error.since)).total_seconds()
    except (ValueError, TypeError):
        return True
    return not 0 <= seconds <= limit_seconds


def _as_error(error: BaseException) -> ReportError:
    if isinstance(error, SamaopsError):
        return ReportError(error.message, error.hint, error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return ReportError(_("interrupted"), exit_code=INTERRUPTED)
    text = _("this is a bug in samaops ({kind})").format(kind=type(error).__name__)
    return ReportError(text, hint="samaops.log", exit_code=BUG)


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
    """Look, then keep and tell what was seen: each has its time, and what hangs is left behind."""
    site, routine, whole = this.site, this.routine, this.whole
    hung = _("no answer within {seconds:g} s").format(seconds=PART_SECONDS)
    earlier = bounded(lambda: past.read(site, routine), this.limit, Earlier(Past(failure=hung)))
    seen = _within_limit(this, earlier)
    is_success = seen.report.status in _WELL and not seen.report.errors
    is_refused = bool(seen.refusal) and is_success
    _keep_well_look(site, this, seen.report)
    announced = seen.report
    if is_refused:
        announced = replace(announced, errors=(ReportError(seen.refusal, exit_code=REFUSED),))
    settled = _settled(site, announced, whole)
    announced = settled.report
    report = replace(seen.report, findings=announced.findings)
    bulletin: Bulletin = redaction.redacted(this.request.compose(announced, site.name), site)
    news = announce.prepare(site, announced, bulletin, earlier.alerts, routine.hours)
    news = announce.with_messages(site, news, this.request.compose)
    unkept = bounded(
        lambda: past.keep(site, routine, seen.snapshot, seen.report, news.alerts, this.tasks),
        _before_telling(site, whole),
        hung,
    )
    notes = [_("What was seen could not be kept: {reason}").format(reason=unkept)] if unkept else []
    notes += _told(site, settled, news, whole)
    notes += _logged(site, routine, bulletin, notes, whole)
    notes += _last(this)

    def end(failure: str) -> tuple[str, ...]:
        is_well = is_success and not is_refused and not failure
        unsaid = switch.end(
            is_success=is_well, text=failure or bulletin.subject, most_seconds=whole.remaining()
        )
        if unsaid:
            _logged(site, routine, replace(bulletin, log=""), unsaid, whole)
        return unsaid

    return Outcome(report, REFUSED if is_refused else None, tuple(notes), end)


def _last(this: _Run) -> tuple[str, ...]:
    """Do what comes when all else was kept and told; return what of that failed."""
    last = this.request.last
    if last is None or not any(task.is_last for task in this.tasks):
        return ()
    try:
        return this.whole.run(lambda: last(this.site), _LAST_SECONDS)
    except OverdueError:
        return (
            _("The report was not written: no answer within {seconds:g} s").format(seconds=_LAST_SECONDS),
        )


def _before_telling(site: Site, whole: Limit) -> Limit:
    """Return the time that is left when somebody must still be told."""
    return Limit(whole.remaining() - announce.seconds_needed(site.settings.notify))


def _keep_well_look(site: Site, this: _Run, report: Report) -> None:
    """Look at everything after a run that found its tasks well: what is different later is told by this look."""
    is_whole = not this.request.only and report.status is Status.OK and not report.errors
    seconds = min(diagnose.DEFAULT_DEADLINE_SECONDS, this.limit.remaining())
    if is_whole and seconds >= _LEAST_SECONDS:
        bounded(lambda: diagnose.keep_well_look(site, seconds), this.limit, None)


@contextmanager
def _alone(site: Site, routine: Routine, limit: Limit) -> Iterator[None]:
    """Hold the lock of a routine, which is not that of changes. Raises LockedError, naming who has it."""
    journal = change.journal_of(site)
    held = change.lock_of(site, journal, f"{site.name} {routine.command}")
    try:
        try:
            limit.run(lambda: _acquire(held, routine))
        except OverdueError as error:
            text = _("The lock could not be taken within {seconds:g} s; nothing was changed")
            raise RefusedError(text.format(seconds=limit.seconds), "[maintenance] limit_seconds") from error
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
            routine=_(routine.title),
            user=owner.user,
            host=owner.host,
            pid=owner.pid,
            since=local(owner.since),
        )
        raise LockedError(text, since=owner.since) from error


def _within_limit(this: _Run, earlier: Earlier) -> _Seen:
    """Look and change; when that hangs, return a report that says so."""
    started_at, limit = datetime.now(timezone.utc), this.limit
    try:
        return limit.run(lambda: _look(this, earlier))
    except OverdueError:
        text = _("Maintenance was ended at its limit of {seconds:g} s")
        seconds = this.whole.seconds
        error = ReportError(text.format(seconds=seconds), "[maintenance] limit_seconds", FAILED)
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
    findings, causes = graph.explain(findings, site, snapshot.own_load)
    report = Report(
        command=this.routine.command,
        started_at=snapshot.taken_at,
        deadline_hit=snapshot.deadline_hit,
        findings=findings,
        causes=causes,
        footprint=snapshot.footprint,
        timings_ms={observation.subject: observation.duration_ms for observation in snapshot.observations},
    )
    refusal = ""
    for task in this.tasks:
        if task.change is not None and (task.change.on is None or task.change.on(site.settings)):
            report, reason = _change(this, task, snapshot, report)
            refusal = refusal or reason
    duration_ms = round((time.monotonic() - started) * 1000)
    return _Seen(snapshot, replace(report, duration_ms=duration_ms), refusal)


def _with_words(
    tasks: Sequence[Task], findings: Sequence[Finding], snapshot: Snapshot
) -> tuple[Finding, ...]:
    for task in tasks:
        if task.with_words is not None:
            findings = [task.with_words(finding, snapshot) for finding in findings]
    return tuple(findings)


def _change(this: _Run, task: Task, snapshot: Snapshot, report: Report) -> tuple[Report, str]:
    """Return the report with a task's change in it, and why it was refused; a dry run only plans it."""
    assert task.change is not None
    site = this.site
    try:
        planner = task.change.prepare
        plan = planner(site) if planner else change.prepare(site, task.change.verb, task.change.arguments)
    except UnavailableError as error:
        return _unplanned(task, report, error), ""
    except (RefusedError, LockedError, UsageError) as error:
        return _still(this, task, report, error), error.message
    if not plan.steps:
        return _with_findings(report, change.report_of(site, plan).findings), ""
    if this.request.dry_run:
        planned = change.report_of(site, plan)
        report = _with_findings(report, planned.findings)
        return replace(report, actions=(*report.actions, *planned.actions)), ""
    try:
        this.request.consent(plan)
        done = change.apply(site, plan, task.change.wait_seconds)
    except (RefusedError, LockedError) as error:
        actions = (*report.actions, *change.refused(site, plan, error).actions)
        refusal = error.message if isinstance(error, RefusedError) else ""
        return replace(_still(this, task, report, error), actions=actions), refusal
    failure = done.errors[0].message if done.errors else ""
    findings = _looked_again(this, task, snapshot, failure)
    report = replace(
        report, findings=_replaced(report, task, findings), actions=(*report.actions, *done.actions)
    )
    if failure and not any(finding.status in _UNWELL for finding in findings):
        report = replace(report, errors=(*report.errors, *done.errors))  # nothing else would say it
    return _with_findings(report, (each for each in done.findings if each.code.endswith(".left_out"))), ""


def _unplanned(task: Task, report: Report, error: UnavailableError) -> Report:
    """Say why a change was not planned, where no finding says that what it needs to know could not be looked at."""
    own = Selection(only=task.codes)
    is_said = any(
        finding.status is Status.UNKNOWN for finding in report.findings if own.includes(finding.code)
    )
    is_said = is_said or any(finding.status is Status.CRITICAL for finding in report.findings)
    if is_said:
        return report
    return replace(report, errors=(*report.errors, ReportError(error.message, error.hint, error.exit_code)))


def _with_findings(report: Report, more: Iterable[Finding]) -> Report:
    """Return a report with what a change left out: that is never taken for done."""
    return replace(report, findings=worst_first([*report.findings, *more]))


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
