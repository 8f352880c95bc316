"""The answer of every command that reports: one result, many faces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from samaops.model.cause import Cause
from samaops.model.difference import Comparison
from samaops.model.finding import Finding
from samaops.model.news import News
from samaops.model.plan import Action, ActionStatus
from samaops.model.status import SEVERITY, Status, worst

SCHEMA = "samaops/report/1"
# How a step ends when its change did not do what it was to do, whether it could be taken back or not.
_NOT_DONE = (ActionStatus.FAILED, ActionStatus.REVERTED)


class Footprint(Struct, frozen=True):
    """What looking cost the observed systems."""

    connections: int = 0
    bytes_read: int = 0
    commands: int = 0
    writes: int = 0


class ReportError(Struct, frozen=True):
    """Why a command could not do its work: the message, what to do, and its exit code."""

    message: str
    hint: str = ""
    exit_code: int = 70


class Report(Struct, frozen=True):
    """What was asked, what was found, why, and what was done about it.

    ``deep`` says that costly looks were taken too. ``timings_ms`` holds how long each system's slowest look took.
    ``answer`` is the answer in one sentence, where findings and causes do not say it: that of a change.
    ``since_well`` is None where nothing was compared with the last well look, ``news`` where it is not known what was told
    before: then all of it is told.
    """

    command: str
    started_at: datetime
    duration_ms: int = 0
    deadline_hit: bool = False
    findings: tuple[Finding, ...] = ()
    causes: tuple[Cause, ...] = ()
    actions: tuple[Action, ...] = ()
    footprint: Footprint = field(default_factory=Footprint)
    errors: tuple[ReportError, ...] = ()
    deep: bool = False
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    answer: str = ""
    since_well: Comparison | None = None
    news: News | None = None

    @property
    def status(self) -> Status:
        """The worst status of all findings; unknown when the command itself failed, critical when a change did."""
        if any(action.status in _NOT_DONE for action in self.actions):
            return Status.CRITICAL
        if self.errors and not self.findings:
            return Status.UNKNOWN
        return worst(finding.status for finding in self.findings)

    @property
    def is_plan(self) -> bool:
        """Whether this is what would be done, and nothing of it has been."""
        statuses = {action.status for action in self.actions}
        return statuses == {ActionStatus.PLANNED} and not self.errors

    @property
    def is_well(self) -> bool:
        """Whether there is nothing that anybody must read: all is well, or done."""
        return self.status is Status.OK and not (self.errors or self.is_plan)

    def counts(self) -> dict[Status, int]:
        """Return how many findings have each status, all five present."""
        counted = Counter(finding.status for finding in self.findings)
        return {status: counted[status] for status in Status}


def worst_first(findings: tuple[Finding, ...] | list[Finding]) -> tuple[Finding, ...]:
    """Return the findings sorted worst first, then by system and subject."""
    return tuple(
        sorted(findings, key=lambda finding: (SEVERITY.index(finding.status), finding.code, finding.subject))
    )
