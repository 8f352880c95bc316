"""The stations of a way, and how each is: from counts (``message_counts``, ``query_counts``), or from one canary (``trace``).

A station becomes a finding of its own. Its status from counts is the worst of what other findings tell of it and of
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


class Station(Struct, frozen=True):
    """One station: how it is, with a count or the milliseconds after which it was reached as ``value``.

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
    """Return how the codes of a playbook's stations begin."""
    return f"{playbook}.hop."


def findings(playbook: str, stations: Iterable[Station], titles: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return one finding for each station, in the order of the way; a hint only where it does not go on."""
    return tuple(
        Finding(
            code=f"{prefix(playbook)}{station.id}",
            status=station.status or Status.SKIPPED,
            subject=f"{playbook}/{station.id}",
            title=titles.get(station.id, station.id),
            detail=station.detail,
            value=station.value,
            unit=station.unit,
            evidence=station.evidence,
            hint=station.hint if station.status in _BAD else None,
            cause=station.cause,
        )
        for station in stations
    )


def counted(
    hops: Sequence[Hop], checked: Sequence[Finding], count: Callable[[str], Station]
) -> tuple[Station, ...]:
    """Return every station with its count, and with what the findings of checks tell of it."""
    return tuple(_with_findings(count(hop.id), hop, checked) for hop in hops)


def _with_findings(station: Station, hop: Hop, checked: Sequence[Finding]) -> Station:
    """Return a station as the worst of the findings that tell of it has it, where that is worse than its count."""
    telling = worst_first(
        [
            finding
            for finding in checked
            if any(fnmatchcase(finding.code, pattern) for pattern in hop.findings)
        ]
    )
    decisive = next((finding for finding in telling if finding.status is not Status.SKIPPED), None)
    if decisive is None:
        return station
    station = replace(station, status=_worse(decisive.status, station.status))
    if decisive.status not in _BAD:
        return station
    because = [finding.key for finding in telling if finding.status in _BAD]
    is_said = decisive.title.startswith(station.detail)  # by the count, in the same words
    return replace(
        station,
        detail=decisive.title if is_said else joined((station.detail, decisive.title)),
        evidence={**station.evidence, "because": because},
        hint=decisive.hint,
        cause=decisive.cause,
    )


def _worse(checked: Status, count: Status | None) -> Status:
    """Return the worse of what checks and what its count say of a station; a count that nobody takes proves nothing."""
    if count is None:
        return checked
    if count is Status.SKIPPED:
        return checked if checked in _BAD else Status.SKIPPED
    return worst((checked, count))


def uncounted(station: str, unit: str, reason: str, look: str, site: Site) -> Station:
    """Return a station whose count could not be taken; ``look`` names what to diagnose to know why."""
    hint = samaops(site, f"diagnose --only {look}")
    return Station(station, Status.UNKNOWN, detail=reason, unit=unit, hint=hint)
