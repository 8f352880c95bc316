"""Run a routine: look, remove what nothing uses, keep what was seen, and tell somebody when it is not well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from samaops.config import consistency
from samaops.config.settings import Threshold
from samaops.errors import (
    REFUSED,
    ConfigurationError,
    LockedError,
    RefusedError,
    UsageError,
)
from samaops.facts.maintenance import Past
from samaops.i18n import _
from samaops.journal.lock import UNKNOWN, ChangeLock
from samaops.model.bulletin import Bulletin
from samaops.model.history import local
from samaops.model.report import Report, ReportError
from samaops.model.routine import Routine, Task
from samaops.model.status import Status
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows import change, diagnose
from samaops.workflows.maintenance import announce, ending, past, tasks
from samaops.workflows.maintenance.announce import DeadMansSwitch
from samaops.workflows.maintenance.limit import Limit, OverdueError, bounded, no_answer
from samaops.workflows.maintenance.past import Earlier
from samaops.workflows.maintenance.request import Outcome, Request, Run

# What a look at everything takes, and some more.
_LEAST_SECONDS = 5.0
# Of the time of a run, beside what telling takes: for keeping what was seen.
_KEEPING_SECONDS = 5.0
# For what comes last: a report reads six months, looks at the backups and is mailed.
_LAST_SECONDS = 120.0
_WELL = (Status.OK, Status.WARNING)


def run(site: Site, routine: Routine, request: Request) -> Outcome:
    """Do the chosen tasks, keep what was seen for the next run, and tell what is wrong.

    A dry run looks at the same and shows the plan; it keeps nothing and tells nobody. Raises LockedError when another
    run is under way, UsageError or ConfigurationError when what is asked for is not there.
    """
    whole = Limit(routine.limit_seconds(site.settings))
    if request.dry_run:
        this = Run(
            with_limits(site, routine), routine, choose(site, routine, request.only), request, whole, whole
        )
        return Outcome(tasks.do(this, past.read(site, routine)).report)
    switch = DeadMansSwitch(site)
    try:
        chosen = choose(site, routine, request.only)
        needed = announce.seconds_needed(site.settings.notify) + _KEEPING_SECONDS
        limit = Limit(max(whole.seconds - needed, whole.seconds / 2))
        with _alone(site, routine, limit):
            switch.begin()
            this = Run(with_limits(site, routine), routine, chosen, request, limit, whole)
            return _announced(this, switch)
    except BaseException as error:
        ending.tell_failure(site, routine, request, error, whole, switch)
        raise


def tell_failure(site: Site, routine: Routine, request: Request, error: BaseException) -> None:
    """Tell somebody that a run could not even begin; ``site`` is what is known of who is told."""
    if not request.dry_run:
        whole = Limit(routine.limit_seconds(site.settings))
        ending.tell_failure(site, routine, request, error, whole, DeadMansSwitch(site))


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


def _announced(this: Run, switch: DeadMansSwitch) -> Outcome:
    """Look, then keep and tell what was seen: each has its time, and what hangs is left behind."""
    site, routine, whole = this.site, this.routine, this.whole
    earlier = bounded(lambda: past.read(site, routine), this.limit, Earlier(Past(failure=no_answer())))
    seen = tasks.do(this, earlier)
    is_success = seen.report.status in _WELL and not seen.report.errors
    is_refused = bool(seen.refusal) and is_success
    _keep_well_look(site, this, seen.report)
    announced = seen.report
    if is_refused:
        announced = replace(announced, errors=(ReportError(seen.refusal, exit_code=REFUSED),))
    settled = ending.settle(site, announced, whole)
    announced = settled.report
    report = replace(seen.report, findings=announced.findings)
    bulletin: Bulletin = redaction.redacted(this.request.compose(announced, site.name), site)
    news = announce.prepare(site, announced, bulletin, earlier.alerts, routine.hours)
    news = announce.with_messages(site, news, this.request.compose)
    unkept = bounded(
        lambda: past.keep(site, routine, seen.snapshot, seen.report, news.alerts, this.tasks),
        ending.before_telling(site, whole),
        no_answer(),
    )
    notes = [_("What was seen could not be kept: {reason}").format(reason=unkept)] if unkept else []
    notes += ending.tell_news(site, settled, news, whole)
    notes += ending.write_log(site, routine, bulletin, notes, whole)
    notes += _last(this)

    def end(failure: str) -> tuple[str, ...]:
        is_well = is_success and not is_refused and not failure
        unsaid = switch.end(
            is_success=is_well, text=failure or bulletin.subject, most_seconds=whole.remaining()
        )
        if unsaid:
            ending.write_log(site, routine, replace(bulletin, log=""), unsaid, whole)
        return unsaid

    return Outcome(report, REFUSED if is_refused else None, tuple(notes), end)


def _last(this: Run) -> tuple[str, ...]:
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


def _keep_well_look(site: Site, this: Run, report: Report) -> None:
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
