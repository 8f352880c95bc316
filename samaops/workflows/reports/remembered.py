"""What the history and the ledger keep of a period: changes, runs of jobs, what maintenance found. Nothing is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from samaops.facts.availability import Period
from samaops.facts.maintenance_month import AccessSeen
from samaops.facts.month import AccessChange, RoutineRun, SeenCause, SeenFinding
from samaops.facts.night import MadeContainer
from samaops.facts.postgresql import SchemaVersion
from samaops.facts.schedule import Run
from samaops.journal.ledger import Ledger
from samaops.journal.records import Record, Records
from samaops.model import encoding
from samaops.model.history import PastChange
from samaops.site.site import Site
from samaops.workflows import change, history
from samaops.workflows.maintenance.daily import DAILY
from samaops.workflows.maintenance.monthly import MONTHLY
from samaops.workflows.maintenance.routines import ROUTINES
from samaops.workflows.reports.foreign import Kept

# A month of a busy site has some hundred.
_MOST_CHANGES = 2000
# What began so long before a period may go on in it: no job may take longer.
_LONGEST_RUN = timedelta(days=1)
# Between two daily runs, where one was missed; and the first one behind a time.
_BEFORE, _BEHIND = timedelta(days=40), timedelta(days=3)
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


def changes(site: Site, period: Period) -> tuple[PastChange, ...]:
    """Return the changes that were begun in a period, oldest first, with their events. Raises UnavailableError."""
    wanted = history.Wanted(since=period.since, until=period.until)
    return tuple(reversed(history.changes(site, _MOST_CHANGES, wanted, with_moments=True)))


def runs(site: Site, period: Period) -> tuple[Run, ...]:
    """Return the runs of jobs that were planned in a period, or went on in it, oldest first. Raises UnavailableError."""
    journal = change.journal_of(site)
    try:
        found = Ledger(journal, site.name).between(period.since - _LONGEST_RUN, period.until)
    finally:
        journal.close()
    return tuple(run for run in found if _touches(run, period))


def _touches(run: Run, period: Period) -> bool:
    ended = run.ended_at or (run.started_at if run.started_at is None else period.until)
    return run.last_planned_at >= period.since or (ended is not None and ended > period.since)


def routines(site: Site, since: datetime, until: datetime) -> tuple[RoutineRun, ...]:
    """Return what the runs of maintenance kept in that time, oldest first. Raises UnavailableError."""
    found = [
        _routine_run(routine.command, record)
        for routine in ROUTINES
        for record in _records(site, routine.command, since, until)
    ]
    return tuple(sorted(found, key=lambda run: run.at))


def kept(site: Site, since: datetime, until: datetime) -> tuple[Kept, ...]:
    """Return which containers ran, and where the database was, as the daily runs around a time kept it, oldest first.

    Raises UnavailableError.
    """
    records = _records(site, DAILY.command, since - _BEFORE, until + _BEHIND)
    return tuple(
        Kept(datetime.fromisoformat(record.at), _running(record), _revisions(record)) for record in records
    )


def _running(record: Record) -> Mapping[str, tuple[MadeContainer, ...]] | None:
    plain = record.details.get("running")
    if not isinstance(plain, Mapping) or not plain:
        return None
    return {str(server): tuple(_each(each, MadeContainer)) for server, each in plain.items()}


def _revisions(record: Record) -> tuple[str, ...] | None:
    plain = record.details.get("migration")
    for each in plain.values() if isinstance(plain, Mapping) else ():
        for version in _each([each], SchemaVersion):
            return tuple(version.revisions)
    return None


def _records(site: Site, command: str, since: datetime, until: datetime) -> tuple[Record, ...]:
    journal = change.journal_of(site)
    try:
        return Records(journal, site.name, command).between(since, until)
    finally:
        journal.close()


def _routine_run(command: str, record: Record) -> RoutineRun:
    details = record.details
    milliseconds = details.get("duration_ms")
    return RoutineRun(
        datetime.fromisoformat(record.at),
        command,
        str(details.get("status", "")),
        bool(details.get("is_failed")),
        milliseconds / 1000 if isinstance(milliseconds, (int, float)) else None,
        tuple(_each(details.get("findings"), SeenFinding)),
        tuple(_each(details.get("causes"), SeenCause)),
    )


def _each(kept: object, form: type[Any]) -> Iterable[Any]:
    """Yield what can be read of a list that was kept; earlier versions kept less."""
    for plain in kept if isinstance(kept, Sequence) else ():
        try:
            yield encoding.decode(plain, form)
        except _UNREADABLE:
            continue


def access(site: Site, since: datetime, until: datetime) -> tuple[AccessChange, ...] | None:
    """Return who may log in now and could not at the run before, and the other way round; None without two runs.

    ``since`` bounds how far back the runs are searched. Raises UnavailableError.
    """
    seen = [kept for record in _records(site, MONTHLY.command, since, until) if (kept := _access_of(record))]
    if len(seen) < 2:
        return None
    before, now = seen[-2], seen[-1]
    return tuple(
        change
        for server in sorted(now)
        if server in before
        for what in ("logins", "administrators", "keys")
        for change in _differences(server, what, before[server], now[server])
    )


def _access_of(record: Record) -> Mapping[str, AccessSeen]:
    try:
        kept = record.details.get("access") or {}
        return {server: encoding.decode(plain, AccessSeen) for server, plain in kept.items()}
    except _UNREADABLE:
        return {}


def _differences(server: str, what: str, before: AccessSeen, now: AccessSeen) -> Iterable[AccessChange]:
    had, has = set(getattr(before, what)), set(getattr(now, what))
    for name in sorted(has ^ had):
        yield AccessChange(server, what, name, name in has)
