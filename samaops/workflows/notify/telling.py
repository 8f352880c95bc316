"""What a run tells: read what was told before and what is silenced, decide what is news, and keep what was told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from msgspec import Struct
from msgspec.structs import replace

from samaops.config import cron
from samaops.errors import ConfigurationError
from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.journal.silences import Telling
from samaops.model.report import Report
from samaops.site import jobs, redaction
from samaops.site.site import Site
from samaops.workflows.notify import deciding, marking
from samaops.workflows.notify.deciding import Decision, Manner

HOUR_SECONDS = 3600.0


class Settled(Struct, frozen=True):
    """A report that knows what of it is silenced and what is news; ``decision`` is what to keep, None where it is not known.

    ``failure`` says why it is not known: then all of the report is told.
    """

    report: Report
    decision: Decision | None = None
    failure: str = ""


def settle(site: Site, report: Report, now: datetime | None = None) -> Settled:
    """Decide what of a report is news; what cannot be read is no reason not to tell."""
    manner = manner_of(site, now or datetime.now(timezone.utc))
    try:
        silences, known = marking.with_history(site, lambda kept: (kept.silences(), kept.troubles()))
    except HistoryError as error:
        return Settled(report, failure=error.message)
    report = marking.marked(report, silences, manner.now)
    decision = deciding.decide(report, known, silences, manner)
    return Settled(replace(report, news=decision.news), decision)


def manner_of(site: Site, now: datetime) -> Manner:
    """Return when it is, and how this site wants to be told."""
    notify = site.settings.notify
    return Manner(
        now,
        notify.remind_hours * HOUR_SECONDS,
        notify.remind_warning_hours * HOUR_SECONDS,
        is_quiet=_is_quiet(site, now),
    )


def _is_quiet(site: Site, now: datetime) -> bool:
    """Return whether it is within the quiet hours; what of them cannot be used (config check) silences nothing."""
    hours = site.settings.notify.quiet_hours
    bounds = cron.window(hours) if hours else None
    if bounds is None:
        return False
    try:
        zone = jobs.zone_of(site)
    except ConfigurationError:
        return False
    return cron.is_within(bounds, now.astimezone(zone).time())


def keep(site: Site, settled: Settled, used: Sequence[str], failed: Sequence[str]) -> str:
    """Keep what was told by the channels that were used; return why it could not be kept, "" when it was."""
    if settled.decision is None:
        return settled.failure
    decision = deciding.after_telling(
        settled.decision, failed, is_anybody_told=any(name not in failed for name in used)
    )
    decision = redaction.redacted(decision, site)
    try:
        marking.with_history(site, lambda kept: _keep(kept, decision))
    except HistoryError as error:
        return error.message
    return ""


def _keep(kept: Telling, decision: Decision) -> None:
    kept.keep_troubles(decision.troubles, decision.over, decision.at)
    for number, seen in decision.seen.items():
        kept.saw(number, dict(seen))
    for number, why in decision.ended.items():
        kept.end(number, "samaops", why, decision.at)


def unkept(reason: str) -> str:
    """Say that what was told could not be kept, and what that means."""
    return _("What was told could not be kept, so it is told again: {reason}").format(reason=reason)
