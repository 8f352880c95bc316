"""The exit code of a command: what failed altogether (``errors.py``), else the worst status (``NAGIOS_CODE``).

What each command may end with is told by its help (``help_text.py``); what becomes of an exception, by the boundary (``main.py``).
"""

from __future__ import annotations

from enum import Enum

from samaops.model.report import Report
from samaops.model.status import NAGIOS_CODE, Status


class FailOn(str, Enum):
    """The statuses that make the exit code other than 0."""

    WARNING = "warning"
    CRITICAL = "critical"


class Answered(int):
    """The exit code of a command that has given its answer, also when it was interrupted: nothing is added to it."""


def of_report(report: Report, fail_on: FailOn = FailOn.WARNING) -> int:
    """Return the exit code of the contract: what failed altogether, else the worst status."""
    if report.errors:
        return report.errors[0].exit_code
    if report.status is Status.WARNING and fail_on is FailOn.CRITICAL:
        return 0
    return NAGIOS_CODE[report.status]
