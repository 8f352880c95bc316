"""Judge made-up observations, one rule at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from samaops.checks.engine import judge
from samaops.config.settings import Settings
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.site.site import Site

TAKEN_AT = datetime(2026, 1, 31, 3, 12, tzinfo=timezone.utc)
NOT_ALLOWED = Failure(FailureKind.PERMISSION, "a password is required", "sudo", 12)
REFUSED = Failure(FailureKind.REFUSED, "Connection refused", "connect", 3)
WAY_BROKEN = Failure(FailureKind.DEPENDENCY, "Connection refused", "ssh", 3)


def seen(
    subject: str, facts: object, server: str | None = None, missing: Mapping[str, Failure] | None = None
) -> Observation:
    """Return an observation that succeeded."""
    system = subject.partition("/")[0]
    return Observation(system, subject, server, type(facts).__name__, facts, missing=missing or {})


def failed(subject: str, facts_type: type, failure: Failure, server: str | None = None) -> Observation:
    """Return an observation that failed."""
    system = subject.partition("/")[0]
    return Observation(system, subject, server, facts_type.__name__, failure=failure)


def findings(code: str, *observations: Observation, settings: Settings | None = None) -> dict[str, Finding]:
    """Return what one rule finds, by subject; every subject must be there once.

    The access rule of a failed observation speaks beside it; that is left out.
    """
    snapshot = Snapshot(TAKEN_AT, observations)
    found = judge(snapshot, Site(settings or Settings()), Selection(only=(code,)))
    mine = [one for one in found if one.code == code]
    by_subject = {one.subject: one for one in mine}
    assert len(by_subject) == len(mine)
    return by_subject


def statuses(code: str, *observations: Observation, settings: Settings | None = None) -> dict[str, str]:
    """Return the status of each subject, as one rule judges it."""
    return {
        subject: one.status.value for subject, one in findings(code, *observations, settings=settings).items()
    }
