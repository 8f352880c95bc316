"""How something is, and which status is worse."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Status(str, Enum):
    """The state of one finding, or of a whole report."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return self.value


# Worst first, as in the contract: critical, unknown, warning, ok. Skipped says nothing about health.
SEVERITY = (Status.CRITICAL, Status.UNKNOWN, Status.WARNING, Status.OK, Status.SKIPPED)
NAGIOS_CODE = {
    Status.OK: 0,
    Status.SKIPPED: 0,
    Status.WARNING: 1,
    Status.CRITICAL: 2,
    Status.UNKNOWN: 3,
}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of several statuses; ok when there are none."""
    status = min(statuses, key=SEVERITY.index, default=Status.OK)
    return Status.OK if status is Status.SKIPPED else status
