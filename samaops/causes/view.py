"""The findings of a run, easy to ask, and how a cause names those that show it."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site

_BAD = (Status.WARNING, Status.CRITICAL)
_NOT_OK = (*_BAD, Status.UNKNOWN)
# How a look at a service fails when the service is what is wrong, and not our own way to it (see FailureKind).
OUTAGE = ("refused", "silent", "no_answer", "closed", "garbage", "tls", "unavailable")


class Trigger(Struct, frozen=True):
    """Findings that may show a cause: a pattern of codes, their statuses, how the look failed where it must have."""

    pattern: str
    statuses: tuple[Status, ...] = _BAD
    kinds: tuple[str, ...] = ()

    def holds(self, finding: Finding) -> bool:
        """Return whether a finding is one of them."""
        return (
            finding.status in self.statuses
            and fnmatchcase(finding.code, self.pattern)
            and (not self.kinds or finding.evidence.get("kind") in self.kinds)
        )


def not_ok(pattern: str) -> Trigger:
    """Return the trigger for warnings, criticals and unknowns."""
    return Trigger(pattern, _NOT_OK)


def failed(pattern: str, *kinds: str) -> Trigger:
    """Return the trigger for looks that failed in one of these ways; as an outage when none is named."""
    return Trigger(pattern, _NOT_OK, kinds or OUTAGE)


def _renamed(findings: Iterable[Finding]) -> dict[tuple[str, str], str]:
    """Return the names that containers have now, by server and configured name."""
    return {
        (str(finding.server), str(finding.evidence.get("name"))): str(finding.evidence.get("runs_as"))
        for finding in findings
        if finding.code == "docker.container.renamed" and finding.evidence.get("runs_as")
    }


class View:
    """The findings of a run, easy to ask, and the site that says what depends on what."""

    def __init__(self, findings: Iterable[Finding], site: Site) -> None:
        self.findings = tuple(findings)
        self.site = replace(site, renamed=_renamed(self.findings))

    def bad(self, pattern: str, server: str | None = None) -> tuple[Finding, ...]:
        """Return warnings and criticals whose code matches, on one server when given."""
        return self._on(server, Trigger(pattern))

    def not_ok(self, pattern: str, server: str | None = None) -> tuple[Finding, ...]:
        """Return warnings, criticals and unknowns whose code matches."""
        return self._on(server, not_ok(pattern))

    def ok(self, pattern: str, server: str | None = None) -> tuple[Finding, ...]:
        """Return what was looked at and found well."""
        return self._on(server, Trigger(pattern, (Status.OK,)))

    def findings_of(self, pattern: str) -> tuple[Finding, ...]:
        """Return the findings whose code matches, whatever their status."""
        return self.matching(Trigger(pattern, tuple(Status)))

    def matching(self, *triggers: Trigger) -> tuple[Finding, ...]:
        """Return what each of the triggers names, in their order."""
        return tuple(finding for trigger in triggers for finding in self.findings if trigger.holds(finding))

    def _on(self, server: str | None, trigger: Trigger) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.matching(trigger) if server in (None, finding.server))
