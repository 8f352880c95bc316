"""What is told and written when a run ends: with a report of its own, or without one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from samaops.errors import (
    BUG,
    INTERRUPTED,
    LockedError,
    SamaopsError,
)
from samaops.i18n import _
from samaops.model.bulletin import Bulletin
from samaops.model.report import Report, ReportError
from samaops.model.routine import Routine
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows.maintenance import announce, past
from samaops.workflows.maintenance.announce import DeadMansSwitch
from samaops.workflows.maintenance.limit import Limit, bounded, no_answer
from samaops.workflows.maintenance.request import Request
from samaops.workflows.notify import telling
from samaops.workflows.notify.telling import Settled


def tell_failure(
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
    settled = settle(site, report, whole)
    report = settled.report
    bulletin: Bulletin = redaction.redacted(request.compose(report, site.name), site)
    earlier = bounded(lambda: past.read(site, routine), before_telling(site, whole), None)
    news = announce.prepare(site, report, bulletin, earlier.alerts if earlier else (), routine.hours)
    news = announce.with_messages(site, news, request.compose)
    notes = tell_news(site, settled, news, whole)
    if earlier:  # else the alerts that it does not know would be forgotten
        bounded(lambda: past.keep(site, routine, None, report, news.alerts), whole, "")
    return notes + write_log(site, routine, bulletin, notes, whole)


def settle(site: Site, report: Report, limit: Limit) -> Settled:
    """Decide what of a report is news; where the history hangs, all of it is."""
    return bounded(
        lambda: telling.settle(site, report),
        before_telling(site, limit),
        Settled(report, failure=no_answer()),
    )


def tell_news(site: Site, settled: Settled, news: announce.Announcement, whole: Limit) -> tuple[str, ...]:
    """Tell the news, and keep who was told; return what of that failed."""
    used, failures = announce.use(site, news, whole.remaining())
    reason = bounded(lambda: telling.keep(site, settled, used, tuple(failures)), whole, no_answer())
    unkept = (telling.unkept(reason),) if reason and used else ()
    return announce.sentences(failures) + unkept


def write_log(
    site: Site, routine: Routine, bulletin: Bulletin, notes: Sequence[str], whole: Limit
) -> tuple[str, ...]:
    """Append to the log of maintenance; return a sentence when that failed."""
    path = log_of(site, routine)
    unwritten = (_("The log {path} cannot be written: {reason}").format(path=path, reason=no_answer()),)
    return bounded(lambda: announce.log(path, bulletin, notes), whole, unwritten)


def log_of(site: Site, routine: Routine) -> Path:
    """Return where the runs of a routine are logged: the configured file, or one of its own beside it, as in the guide."""
    path = site.settings.maintenance.log
    return path.with_name(path.name.replace("daily", routine.name))


def before_telling(site: Site, whole: Limit) -> Limit:
    """Return the time that is left when somebody must still be told."""
    return Limit(whole.remaining() - announce.seconds_needed(site.settings.notify))


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
