"""What a run of maintenance keeps for the next ones, and what it takes from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from msgspec import Struct

from samaops.facts.maintenance import DirectoriesFacts, LogFacts, LogMarks, MountUse, Past
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.journal.history import HistoryError
from samaops.journal.records import Record, Records
from samaops.model import encoding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.announce import Labels

KIND = "maintain daily"
# Runs that are searched for what this one compares with: a month, and those made by hand.
_LOOKED_BACK = 60
# Growth is told since yesterday, also when somebody ran it by hand an hour ago.
_A_DAY = timedelta(hours=20)


class Earlier(Struct, frozen=True):
    """What earlier runs left: what to compare with, and the alerts of the last one."""

    past: Past
    alerts: tuple[Labels, ...] = ()


def read(site: Site, kind: str = KIND) -> Earlier:
    """Return what earlier runs left; when that cannot be read, the reason is in it."""
    try:
        found = _records(site, kind, lambda records: records.last(_LOOKED_BACK))
        return _earlier(found)
    except HistoryError as error:
        return Earlier(Past(failure=error.message))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Earlier(Past(failure=_("not readable: {reason}").format(reason=str(error)[:200])))


def _records(site: Site, kind: str, work: Any) -> Any:
    journal = change.journal_of(site)
    try:
        return work(Records(journal, site.settings.site, kind))
    finally:
        journal.close()


def _earlier(found: Sequence[Record]) -> Earlier:
    if not found:
        return Earlier(Past())
    marks: dict[str, LogMarks] = {}
    for record in found:
        for server, one in record.details.get("marks", {}).items():
            marks.setdefault(server, encoding.decode(one, LogMarks))
    past = Past(last_run_at=found[0].at, marks=marks, mounts=_a_day_ago(found))
    return Earlier(past, tuple(found[0].details.get("alerts", ())))


def _a_day_ago(found: Sequence[Record]) -> dict[str, tuple[MountUse, ...]]:
    """Return for each server the disks as the newest run that is a day old saw them, else as the oldest did."""
    latest = (datetime.now(timezone.utc) - _A_DAY).isoformat(timespec="milliseconds")
    chosen: dict[str, Any] = {}
    for record in (one for one in found if one.at <= latest):
        for server, mounts in record.details.get("mounts", {}).items():
            chosen.setdefault(server, mounts)
    for record in reversed(found):
        for server, mounts in record.details.get("mounts", {}).items():
            chosen.setdefault(server, mounts)
    return {server: encoding.decode(mounts, tuple[MountUse, ...]) for server, mounts in chosen.items()}


def keep(
    site: Site, snapshot: Snapshot | None, report: Report, alerts: Sequence[Labels], kind: str = KIND
) -> str:
    """Keep what the next runs need; return why it could not be kept, "" when it was."""
    details = {
        "status": report.status.value,
        "duration_ms": report.duration_ms,
        "findings": list(_kept(report)),
        "marks": {name: encoding.encode(one.marks) for name, one in _of(snapshot, LogFacts)},
        "mounts": {name: encoding.encode(one.mounts) for name, one in _of(snapshot, DirectoriesFacts)},
        "alerts": list(alerts),
    }
    try:
        _records(site, kind, lambda records: records.add(details))
    except HistoryError as error:
        return error.message
    return ""


def _of(snapshot: Snapshot | None, facts_type: Any) -> Iterator[tuple[str, Any]]:
    for observation, facts in snapshot.facts_of(facts_type) if snapshot else ():
        if observation.server is not None:
            yield observation.server, facts


def _kept(report: Report) -> Iterator[Mapping[str, Any]]:
    for one in report.findings:
        if one.status not in (Status.OK, Status.SKIPPED) or one.value is not None:
            yield {"code": one.code, "subject": one.subject, "status": one.status.value, "value": one.value}
