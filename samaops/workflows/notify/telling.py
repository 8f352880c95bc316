"""What a run tells: read what was told before and what is silenced, decide what is news, and keep what was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from samaops.config import cron
from samaops.facts.telling import Silence
from samaops.i18n import _
from samaops.journal.history import HistoryError
from samaops.journal.silences import Telling
from samaops.model.report import Report
from samaops.site import jobs, redaction
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.notify import deciding
from samaops.workflows.notify.deciding import Decision, Manner

HOUR_SECONDS = 3600.0
ValueT = TypeVar("ValueT")


class Settled(Struct, frozen=True):
    """A report that knows what of it is silenced and what is news; ``decision`` is what to keep, None where it is not known.

    ``failure`` says why it is not known: then all of the report is told.
    """

    report: Report
    decision: Decision | None = None
    failure: str = ""


def with_history(site: Site, work: Callable[[Telling], ValueT]) -> ValueT:
    """Do something with what the history keeps of silences and troubles. Raises HistoryError."""
    journal = change.journal_of(site)
    try:
        return work(Telling(journal, site.name))
    finally:
        journal.close()


def settle(site: Site, report: Report, now: datetime | None = None) -> Settled:
    """Decide what of a report is news; what cannot be read is no reason not to tell."""
    manner = manner_of(site, now or datetime.now(timezone.utc))
    try:
        silences, known = with_history(site, lambda kept: (kept.silences(), kept.troubles()))
    except HistoryError as error:
        return Settled(report, failure=error.message)
    report = deciding.marked(report, silences, manner.now)
    decision = deciding.decide(report, known, silences, manner)
    return Settled(replace(report, news=decision.news), decision)


def manner_of(site: Site, now: datetime) -> Manner:
    """Return when it is, and how this site wants to be told."""
    notify = site.settings.notify
    bounds = cron.window(notify.quiet_hours) if notify.quiet_hours else None
    is_quiet = bounds is not None and cron.is_within(bounds, now.astimezone(jobs.zone_of(site)).time())
    return Manner(
        now,
        notify.remind_hours * HOUR_SECONDS,
        notify.remind_warning_hours * HOUR_SECONDS,
        is_quiet=is_quiet,
    )


def keep(site: Site, settled: Settled, used: Sequence[str], failed: Sequence[str]) -> str:
    """Keep what was told by the channels that were used; return why it could not be kept, "" when it was."""
    if settled.decision is None:
        return settled.failure
    decision = deciding.after_telling(
        settled.decision, failed, is_anybody_told=any(name not in failed for name in used)
    )
    decision = redaction.redacted(decision, site)
    try:
        with_history(site, lambda kept: _keep(kept, decision))
    except HistoryError as error:
        return error.message
    return ""


def _keep(kept: Telling, decision: Decision) -> None:
    kept.keep_troubles(decision.troubles, decision.over)
    for number, seen in decision.seen.items():
        kept.saw(number, dict(seen))
    for number, why in decision.ended.items():
        kept.end(number, "samaops", why, decision.at)


def unkept(reason: str) -> str:
    """Say that what was told could not be kept, and what that means."""
    return _("What was told could not be kept, so it is told again: {reason}").format(reason=reason)


def active(silences: Sequence[Silence], now: datetime) -> tuple[Silence, ...]:
    """Return the silences that hold now."""
    return tuple(silence for silence in silences if silence.is_active(now))
