"""What a mechanism can do to others, told from a finding's evidence: ``when`` of an effect.

A container that ended with exit code 0 did not die of a full disk, nor one that ended before the kernel killed
somebody. What the evidence does not hold speaks neither for nor against: a saved look may not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from samaops.causes.view import OUTAGE
from samaops.facts.docker import ON_REQUEST
from samaops.model.finding import Finding

SIGKILL = 137
# Docker notices the end of a container a moment after the kernel's kill; clocks are the same machine's.
_AFTER_KILL_SECONDS = 60.0


def is_outage(finding: Finding) -> bool:
    """Return whether a look failed as a service fails that does not serve, and not by our own fault."""
    return finding.evidence.get("kind") in (None, *OUTAGE)


def ended_with_error(finding: Finding) -> bool:
    """Return whether a container ended with an error of its own, as one that cannot write does."""
    return finding.evidence.get("exit_code") not in ON_REQUEST


def cannot_save(finding: Finding) -> bool:
    """Return whether Redis refuses writes because it cannot save, not because its memory is full."""
    return finding.evidence.get("reason") in (None, "MISCONF")


def killed_at(times: Iterable[float | None]) -> Callable[[Finding], bool]:
    """Return what tells whether a container ended by a kill of the kernel at one of these times."""
    known = tuple(times)

    def was_killed(finding: Finding) -> bool:
        if finding.evidence.get("exit_code") not in (None, SIGKILL):
            return False
        ended = finding.evidence.get("finished_at") or finding.evidence.get("started_at")
        if not isinstance(ended, (int, float)):
            return True
        return any(at is None or 0 <= ended - at + 1 <= _AFTER_KILL_SECONDS for at in known)

    return was_killed


# Of two times that were measured by two clocks of one site.
_CLOCKS_SECONDS = 5.0


def is_older(finding: Finding, decisive: Iterable[Finding]) -> bool:
    """Return whether a finding was there before what decides a cause: then it is of something else."""
    age = _age(finding)
    ages = [known for known in map(_age, decisive) if known is not None]
    return age is not None and bool(ages) and age > max(ages) + _CLOCKS_SECONDS


def _age(finding: Finding) -> float | None:
    """Return since how many seconds a finding holds, where the facts have it."""
    age = finding.evidence.get("age_seconds")
    return float(age) if isinstance(age, (int, float)) else None
