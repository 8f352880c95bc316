"""Daily maintenance: look, remove what nothing uses, keep what was seen, and tell somebody when it is not well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

from msgspec import Struct
from msgspec.structs import replace

from samaops.causes import graph
from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.collect.maintenance import past as maintenance
from samaops.errors import REFUSED, LockedError
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.journal.lock import UNKNOWN, ChangeLock
from samaops.model.bulletin import Bulletin
from samaops.model.plan import Plan
from samaops.model.report import Report, ReportError
from samaops.model.status import Status
from samaops.model.task import Task
from samaops.site.site import Site
from samaops.workflows import announce, change, diagnose, maintenance_images, maintenance_past
from samaops.workflows import maintenance_log as log
from samaops.workflows.announce import DeadMansSwitch
from samaops.workflows.limit import Limit, OverdueError
from samaops.workflows.maintenance_growth import with_growth
from samaops.workflows.maintenance_past import Earlier
from samaops.workflows.maintenance_tasks import choose, codes, with_limits

COMMAND = "maintain daily"
FAILED = 2
# What is left of the limit when everything has been looked at: to remove, to keep, to tell.
_SPARE_SHARE = 0.3
_WELL = (Status.OK, Status.WARNING)


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


class _Seen(Struct, frozen=True):
    """What a run has so far: what was observed (None when it hung), its report, and whether it was refused."""

    snapshot: Snapshot | None
    report: Report
    is_refused: bool = False


def daily(site: Site, request: Request) -> Outcome:
    """Do the chosen tasks, keep what was seen for the next run, and tell what is wrong.

    A dry run looks at the same and shows the plan; it keeps nothing and tells nobody. Raises LockedError when another
    run is under way, UsageError or ConfigurationError when what is asked for is not there.
    """
    tasks, limit = choose(site, request.only), Limit(site.settings.maintenance.limit_seconds)
    if request.dry_run:
        earlier = maintenance_past.read(site)
        return Outcome(_within(limit, lambda: _look(site, tasks, earlier, limit, request)).report)
    with _alone(site):
        switch = DeadMansSwitch(site)
        try:
            return _run(site, tasks, limit, request, switch)
        except BaseException as error:
            switch.end(is_success=False, text=type(error).__name__)
            raise


def _run(
    site: Site, tasks: Sequence[Task], limit: Limit, request: Request, switch: DeadMansSwitch
) -> Outcome:
    earlier = maintenance_past.read(site)
    seen = _within(limit, lambda: _look(site, tasks, earlier, limit, request))
    bulletin = _composed(site, request, seen.report)
    told = announce.announcement(site, seen.report, bulletin, earlier.alerts)
    unkept = maintenance_past.keep(site, seen.snapshot, seen.report, told.alerts)
    notes = [_("What was seen could not be kept: {reason}").format(reason=unkept)] if unkept else []
    notes += announce.tell(site, told)
    is_success = seen.report.status in _WELL and not seen.report.errors
    notes += switch.end(is_success=is_success, text=bulletin.subject)
    notes += log.append(site.settings.maintenance.log, _logged(bulletin, notes))
    return Outcome(seen.report, REFUSED if seen.is_refused and is_success else None, tuple(notes))


def _logged(bulletin: Bulletin, notes: Sequence[str]) -> str:
    return bulletin.log + "".join(f"  ! {one}\n" for one in notes) + "---\n"


def _composed(site: Site, request: Request, report: Report) -> Bulletin:
    bulletin: Bulletin = diagnose.redacted(request.compose(report, site.settings.site), site)
    return bulletin


@contextmanager
def _alone(site: Site) -> Iterator[None]:
    """Hold the lock of maintenance, which is not that of changes. Raises LockedError, naming who has it."""
    journal = change.journal_of(site)
    held = change.lock_of(site, journal, f"{site.name} {COMMAND}")
    try:
        _acquire(held)
        yield
    finally:
        held.release()
        journal.close()


def _acquire(held: ChangeLock) -> None:
    try:
        held.take()
    except LockedError as error:
        owner = held.holder()
        if owner in (None, UNKNOWN):
            raise
        text = _("Daily maintenance is being done by {user} on {host}, process {pid}, since {since}")
        raise LockedError(
            text.format(user=owner.user, host=owner.host, pid=owner.pid, since=owner.since)
        ) from error


def _within(limit: Limit, work: Callable[[], _Seen]) -> _Seen:
    """Return what the work returns; when it hangs, a report that says so."""
    started_at = datetime.now(timezone.utc)
    try:
        return limit.run(work)
    except OverdueError:
        text = _("Maintenance was ended at its limit of {seconds:g} s")
        error = ReportError(text.format(seconds=limit.seconds), "[maintenance] limit_seconds", FAILED)
        duration_ms = round(limit.seconds * 1000)
        return _Seen(None, Report(COMMAND, started_at, duration_ms, deadline_hit=True, errors=(error,)))


def _look(site: Site, tasks: Sequence[Task], earlier: Earlier, limit: Limit, request: Request) -> _Seen:
    """Look at everything, judge it, and remove what nothing uses."""
    started = time.monotonic()
    judged = with_limits(site)
    selection = Selection(only=codes(tasks))
    snapshot = _observe(site, selection, earlier, limit.remaining() * (1 - _SPARE_SHARE))
    findings = with_growth(checks.judge(snapshot, judged, selection), snapshot)
    findings, causes = graph.explain(findings, judged)
    report = Report(
        command=COMMAND,
        started_at=snapshot.taken_at,
        deadline_hit=snapshot.deadline_hit,
        findings=findings,
        causes=causes,
        footprint=snapshot.footprint,
        timings_ms={one.subject: one.duration_ms for one in snapshot.observations},
    )
    is_refused = False
    if any(task.changes for task in tasks):
        report, is_refused = maintenance_images.clean(
            judged, snapshot, report, None if request.dry_run else request.consent
        )
    return _Seen(
        snapshot, replace(report, duration_ms=round((time.monotonic() - started) * 1000)), is_refused
    )


def _observe(site: Site, selection: Selection, earlier: Earlier, seconds: float) -> Snapshot:
    collectors = [one for one in registry.collectors(site, selection) if one.system != maintenance.SYSTEM]
    mine = maintenance.collectors(site, earlier.past)
    collectors += [one for one in mine if one.is_wanted(selection)]
    snapshot = engine.observe(collectors, site, selection, seconds)
    masked: Snapshot = diagnose.redacted(snapshot, site)
    return masked
