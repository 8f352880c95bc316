"""Look at real servers and judge what was seen, as `samaops diagnose` does: for tests of one system."""

from __future__ import annotations

from dataclasses import dataclass

from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.config.settings import Settings
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site


@dataclass(frozen=True)
class Look:
    """One snapshot and its findings."""

    snapshot: Snapshot
    findings: tuple[Finding, ...]

    def one(self, code: str, subject: str | None = None) -> Finding:
        """Return the one finding with this code (and subject)."""
        found = [one for one in self.findings if one.code == code and subject in (None, one.subject)]
        assert len(found) == 1, (code, subject, self.summary())
        return found[0]

    def status(self, code: str, subject: str | None = None) -> Status:
        """Return the status of the one finding with this code (and subject)."""
        return self.one(code, subject).status

    def bad(self) -> set[str]:
        """Return the keys of all findings that are neither ok nor skipped."""
        return {one.key for one in self.findings if one.status not in (Status.OK, Status.SKIPPED)}

    def summary(self) -> list[str]:
        """Return one line a finding, for messages of failed tests."""
        return [f"{one.status} {one.key} {one.title} {one.detail}" for one in self.findings]


def look(settings: Settings, *only: str, deadline_seconds: float = 15.0, probe: bool = False) -> Look:
    """Observe and judge these systems or codes."""
    selection = Selection(only, probe=probe)
    snapshot = engine.observe(
        registry.collectors(Site(settings), selection), Site(settings), selection, deadline_seconds
    )
    return Look(snapshot, checks.judge(snapshot, Site(settings), selection))
