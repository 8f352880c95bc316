"""Say of a disk that is nearly full who grew on it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from samaops.checks.maintenance import who_grew
from samaops.facts.maintenance import DirectoriesFacts
from samaops.facts.observation import Snapshot
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.workflows.maintenance_tasks import DISK_CODE


def with_growth(findings: Sequence[Finding], snapshot: Snapshot) -> tuple[Finding, ...]:
    """Return the findings; those of a full disk name the directories that grew since the earlier run."""
    grown = {
        (observation.server, one.mount): who_grew(growth)
        for observation, facts in snapshot.facts_of(DirectoriesFacts)
        for one in facts.mounts
        if (growth := facts.growth(one.mount)) is not None
    }
    return tuple(_with(one, grown.get((one.server, str(one.evidence.get("mount"))), "")) for one in findings)


def _with(finding: Finding, grew: str) -> Finding:
    if finding.code != DISK_CODE or finding.status is Status.OK or not grew:
        return finding
    detail = "; ".join(part for part in (grew, finding.detail) if part)
    return replace(finding, detail=detail, evidence={**finding.evidence, "grew": grew})
