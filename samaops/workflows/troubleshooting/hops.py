"""The hops of a way, and how each is: from counts (``message_counts``, ``query_counts``), or from one canary (``trace``).

A hop becomes a finding of its own. Its status from counts is the worst of what other findings tell of it and of
what its count says; without any, nobody looked and it is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from samaops.config.playbooks import Hop
from samaops.i18n import joined
from samaops.model.finding import NO_EVIDENCE, Finding
from samaops.model.report import worst_first
from samaops.model.status import Status, worst
from samaops.site.commands import samaops
from samaops.site.site import Site

_BAD = (Status.CRITICAL, Status.UNKNOWN, Status.WARNING)


class SeenHop(Struct, frozen=True):
    """One hop: how it is, with a count or the milliseconds after which it was reached as ``value``.

    Without a ``status`` nothing of its own is known against it: it is as those findings say that tell of it.
    """

    id: str
    status: Status | None
    value: float | None = None
    detail: str = ""
    evidence: Mapping[str, Any] = field(default_factory=lambda: NO_EVIDENCE)
    unit: str = "milliseconds"
    hint: str | None = None
    cause: str | None = None


def prefix(playbook: str) -> str:
    """Return how the codes of a playbook's hops begin."""
    return f"{playbook}.hop."


def findings(playbook: str, hops: Iterable[SeenHop], titles: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return one finding for each hop, in the order of the way; a hint only where it does not go on."""
    return tuple(
        Finding(
            code=f"{prefix(playbook)}{hop.id}",
            status=hop.status or Status.SKIPPED,
            subject=f"{playbook}/{hop.id}",
            title=titles.get(hop.id, hop.id),
            detail=hop.detail,
            value=hop.value,
            unit=hop.unit,
            evidence=hop.evidence,
            hint=hop.hint if hop.status in _BAD else None,
            cause=hop.cause,
        )
        for hop in hops
    )


def counted(
    declared: Sequence[Hop], checked: Sequence[Finding], count: Callable[[str], SeenHop]
) -> tuple[SeenHop, ...]:
    """Return every hop with its count, and with what the findings of checks tell of it."""
    return tuple(_with_findings(count(each.id), each, checked) for each in declared)


def _with_findings(hop: SeenHop, declared: Hop, checked: Sequence[Finding]) -> SeenHop:
    """Return a hop as the worst of the findings that tell of it has it, where that is worse than its count."""
    telling = worst_first(
        [
            finding
            for finding in checked
            if any(fnmatchcase(finding.code, pattern) for pattern in declared.findings)
        ]
    )
    decisive = next((finding for finding in telling if finding.status is not Status.SKIPPED), None)
    if decisive is None:
        return hop
    hop = replace(hop, status=_worse(decisive.status, hop.status))
    if decisive.status not in _BAD:
        return hop
    because = [finding.key for finding in telling if finding.status in _BAD]
    is_said = decisive.title.startswith(hop.detail)  # by the count, in the same words
    return replace(
        hop,
        detail=decisive.title if is_said else joined((hop.detail, decisive.title)),
        evidence={**hop.evidence, "because": because},
        hint=decisive.hint,
        cause=decisive.cause,
    )


def _worse(checked: Status, count: Status | None) -> Status:
    """Return the worse of what checks and what its count say of a hop; a count that nobody takes proves nothing."""
    if count is None:
        return checked
    if count is Status.SKIPPED:
        return checked if checked in _BAD else Status.SKIPPED
    return worst((checked, count))


def uncounted(hop: str, unit: str, reason: str, look: str, site: Site) -> SeenHop:
    """Return a hop whose count could not be taken; ``look`` names what to diagnose to know why."""
    hint = samaops(site, f"diagnose --only {look}")
    return SeenHop(hop, Status.UNKNOWN, detail=reason, unit=unit, hint=hint)
