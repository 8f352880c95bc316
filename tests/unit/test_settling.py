"""After a fix: what the repaired cause explained is waited for, and named when it is not quiet by then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from msgspec.structs import replace

from samaops.causes.unknown import UNKNOWN_FAULT
from samaops.config.playbooks import all_of
from samaops.config.settings import Settings
from samaops.facts.observation import Snapshot
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Action, ActionStatus, Risk
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting import troubleshoot
from samaops.workflows.troubleshooting.troubleshoot import Diagnosis

NOW = datetime.now(timezone.utc)
SITE = Site(Settings())
PLAYBOOK = all_of(SITE.settings)["notifications"]
BROKER, QUEUE, DISK = "rabbitmq/broker", "rabbitmq/low", "servers/db"
DOWN = Cause(
    "broker-down",
    None,
    Verdict.CONFIRMED,
    BROKER,
    "Down",
    explains=(f"service.down@{BROKER}", f"backlog@{QUEUE}"),
)


def finding(code: str, subject: str, status: Status) -> Finding:
    return Finding(code, status, subject, f"{code} of {subject}")


def report(*findings: Finding, causes: tuple[Cause, ...] = ()) -> Report:
    return Report("troubleshoot notifications", NOW, findings=findings, causes=causes)


BEFORE = report(
    finding("service.down", BROKER, Status.CRITICAL),
    finding("backlog", QUEUE, Status.WARNING),
    causes=(DOWN,),
)
NOTHING = Snapshot(NOW)
LEFT_OVER = report(finding("service.down", BROKER, Status.OK), finding("backlog", QUEUE, Status.WARNING))
QUIET = report(finding("service.down", BROKER, Status.OK), finding("backlog", QUEUE, Status.OK))


def after(monkeypatch: pytest.MonkeyPatch, *looks: Report, journal: str | None = "1") -> tuple[Report, int]:
    """Return the report of a change after which these looks are seen, and how many pauses were made."""
    seen: Iterator[Report] = iter(looks)
    monkeypatch.setattr(
        troubleshoot, "run", lambda _site, _name: Diagnosis(PLAYBOOK, next(seen), (), NOTHING)
    )
    action = Action("docker.restart", "Restart", Risk.DISRUPTIVE, ActionStatus.VERIFIED, journal=journal)
    done = Report("docker restart", NOW, actions=(action,), answer="Done")
    pauses: list[float] = []
    made = troubleshoot.with_change(SITE, Diagnosis(PLAYBOOK, BEFORE, (), NOTHING), done, pauses.append)
    assert next(seen, None) is None, "no look too few"
    return made, len(pauses)


def test_what_the_repaired_cause_explained_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made, pauses = after(monkeypatch, LEFT_OVER, LEFT_OVER, QUIET)
    assert (made.status, made.answer, pauses) == (Status.OK, "Done", 2)


def test_what_is_not_quiet_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made, pauses = after(monkeypatch, *[LEFT_OVER] * 4)
    assert (made.status, pauses) == (Status.WARNING, 3)
    assert f"not quiet yet: backlog of {QUEUE}. Look again: samaops diagnose --wait 60" in made.answer


def test_what_is_critical_for_a_moment_more_is_no_fault_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backlog = replace(finding("backlog", QUEUE, Status.CRITICAL), cause=UNKNOWN_FAULT)
    unknown = Cause(UNKNOWN_FAULT, None, Verdict.INCONCLUSIVE, QUEUE, "Backlog", explains=(backlog.key,))
    made, pauses = after(monkeypatch, *[report(backlog, causes=(unknown,))] * 4)
    assert pauses == 3
    assert [cause.id for cause in made.causes] == ["broker-down"]
    assert [left.cause for left in made.findings] == [None]
    assert "not quiet yet" in made.answer


def test_what_has_a_cause_of_its_own_or_is_of_another_fault_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Cause("worker-slow", None, Verdict.PROBABLE, QUEUE, "Slow", explains=(f"backlog@{QUEUE}",))
    full = finding("disk", DISK, Status.WARNING)
    for look in (
        report(*LEFT_OVER.findings, causes=(slow,)),
        report(*QUIET.findings, full),
        BEFORE,
    ):
        made, pauses = after(monkeypatch, look)
        assert (made.findings, made.answer, pauses) == (look.findings, "Done", 0)


def test_without_a_change_nothing_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made, pauses = after(monkeypatch, journal=None)
    assert (made.findings, pauses) == (BEFORE.findings, 0)
