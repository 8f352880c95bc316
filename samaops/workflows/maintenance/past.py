"""What a run of a routine keeps for the next ones, and what it takes from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from msgspec import Struct

from samaops.facts.maintenance import HistoryFacts, Past
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.journal.records import Record, Records
from samaops.model import encoding
from samaops.model.failure import Failure, FailureKind
from samaops.model.report import Report
from samaops.model.routine import Kept, Routine, Task
from samaops.model.status import SEVERITY, Status
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.maintenance.announce import Labels

CODE = "maintenance.history"
# Runs that are searched for what this one compares with: a month, and those made by hand.
_LOOKED_BACK = 60
_LONGEST_TITLE = 300
_STATUSES = tuple(status.value for status in Status)


class Earlier(Struct, frozen=True):
    """What earlier runs left: what to compare with, and the alerts of the last one."""

    past: Past
    alerts: tuple[Labels, ...] = ()


def read(site: Site, routine: Routine) -> Earlier:
    """Return what earlier runs left; when that cannot be read, the reason is in it."""
    try:
        records = _with_records(site, routine, lambda records: records.last(_LOOKED_BACK))
        return _earlier(records, routine)
    except HistoryError as error:
        return Earlier(Past(failure=error.message))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Earlier(Past(failure=_("not readable: {reason}").format(reason=str(error)[:200])))


def _with_records(site: Site, routine: Routine, work: Any) -> Any:
    journal = change.journal_of(site)
    try:
        return work(Records(journal, site.name, routine.command))
    finally:
        journal.close()


def _earlier(records: Sequence[Record], routine: Routine) -> Earlier:
    if not records:
        return Earlier(Past())
    kept: dict[str, Any] = {keeps.name: _compared_with(records, keeps) for keeps in routine.keeps}
    return Earlier(Past(last_run_at=records[0].at, **kept), tuple(records[0].details.get("alerts", ())))


def _compared_with(records: Sequence[Record], keeps: Kept) -> dict[str, Any]:
    """Return for each server what the newest run that is old enough kept, else what the oldest one did."""
    chosen: dict[str, Any] = {}
    for record in (*_old_enough(records, keeps), *reversed(records)):
        for server, value in record.details.get(keeps.name, {}).items():
            chosen.setdefault(server, value)
    return {server: encoding.decode(value, keeps.form) for server, value in chosen.items()}


def _old_enough(records: Sequence[Record], keeps: Kept) -> Sequence[Record]:
    if keeps.hours is None:
        return records
    latest = datetime.now(timezone.utc) - timedelta(hours=keeps.hours)
    return [record for record in records if record.at <= latest.isoformat(timespec="milliseconds")]


def observation(earlier: Earlier) -> Observation:
    """Return what earlier runs left as something that was observed, to be judged with all else."""
    past = earlier.past
    facts = None if past.failure else HistoryFacts(past.last_run_at)
    failure = Failure(FailureKind.DEPENDENCY, past.failure, "history") if past.failure else None
    return Observation("maintenance", "maintenance/history", None, HistoryFacts.__name__, facts, failure)


def keep(
    site: Site,
    routine: Routine,
    snapshot: Snapshot | None,
    report: Report,
    alerts: Sequence[Labels],
    tasks: Sequence[Task] = (),
) -> str:
    """Keep what the next runs need, and which tasks were done; return why it could not be kept, "" when it was."""
    details = {
        "status": report.status.value,
        "tasks": [task.id for task in tasks],
        "is_failed": bool(report.errors),
        "duration_ms": report.duration_ms,
        "findings": list(_findings(report)),
        "causes": list(_causes(report)),
        "alerts": list(alerts),
        **{keeps.name: _kept(snapshot, keeps) for keeps in routine.keeps},
    }
    try:
        _with_records(site, routine, lambda records: records.add(details))
    except HistoryError as error:
        return error.message
    return ""


class LastRun(Struct, frozen=True):
    """When a task was done last (ISO 8601 in UTC), and the worst that it found; "failed" where the run did not end well."""

    at: str
    result: str


def last_runs(site: Site, routine: Routine) -> Mapping[str, LastRun]:
    """Return of each task that was done how it was last, by its name. Raises HistoryError."""
    records = _with_records(site, routine, lambda records: records.last(_LOOKED_BACK))
    found: dict[str, LastRun] = {}
    for record in records:
        # What was kept before tasks were was of all of them.
        done = record.details.get("tasks") or [task.id for task in routine.tasks]
        for task in routine.tasks:
            if task.id in done and task.id not in found:
                found[task.id] = LastRun(record.at, _result(record, task))
    return found


def _result(record: Record, task: Task) -> str:
    own = Selection(only=task.codes)
    findings = record.details.get("findings")
    statuses = [
        Status(each["status"])
        for each in (findings if isinstance(findings, list) else ())
        if own.includes(str(each.get("code"))) and each.get("status") in _STATUSES
    ]
    if record.details.get("is_failed") and not statuses:
        return "failed"
    return min(statuses, key=SEVERITY.index, default=Status.OK).value


def _kept(snapshot: Snapshot | None, keeps: Kept) -> dict[str, Any]:
    seen: Iterable[tuple[Observation, Any]] = snapshot.facts_of(keeps.facts) if snapshot else ()
    return {
        observation.server: encoding.encode(getattr(facts, keeps.kept_field))
        for observation, facts in seen
        if observation.server is not None
    }


def _findings(report: Report) -> Iterator[Mapping[str, Any]]:
    for finding in report.findings:
        status = finding.status
        if status not in (Status.OK, Status.SKIPPED) or finding.value is not None:
            yield {
                "code": finding.code,
                "subject": finding.subject,
                "status": status.value,
                "value": finding.value,
                "title": finding.title[:_LONGEST_TITLE],
            }


def _causes(report: Report) -> Iterator[Mapping[str, Any]]:
    for cause in report.causes:
        yield {
            "id": cause.id,
            "subject": cause.subject,
            "title": cause.title[:_LONGEST_TITLE],
            "verdict": cause.verdict.value,
        }
