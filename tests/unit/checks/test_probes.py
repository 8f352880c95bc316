"""What is found where a marked value was written on request: taken, refused, or not even tried."""

from __future__ import annotations

import pytest

from samaops.checks.registry import Rule, rules
from samaops.config.settings import Settings
from samaops.facts.probing import Written
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed

PROBES = [rule for rule in rules(SYSTEMS) if issubclass(rule.facts, Written)]
PROBED = pytest.mark.parametrize("rule", PROBES, ids=lambda rule: rule.code)


def test_four_systems_are_written_to() -> None:
    assert {rule.system for rule in PROBES} == {"redis", "pgbouncer", "rabbitmq", "minio"}
    assert all(rule.code.endswith(".probe") and rule.access for rule in PROBES)


@PROBED
def test_a_value_that_was_taken_is_ok_and_says_how_long_it_took(rule: Rule) -> None:
    subject = f"{rule.system}/there"
    found = findings(Settings(), observed(rule.facts("place", 3.5), subject))
    (finding,) = (finding for finding in found.values() if finding.code == rule.code)
    assert (finding.status, finding.value) == (Status.OK, 3.5)
    assert "3.5 ms" in finding.title


@PROBED
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FailureKind.UNAVAILABLE, Status.CRITICAL),
        (FailureKind.NO_ANSWER, Status.CRITICAL),
        (FailureKind.REFUSED, Status.CRITICAL),
        (FailureKind.MISSING, Status.UNKNOWN),
        (FailureKind.AUTHENTICATION, Status.UNKNOWN),
        (FailureKind.DEADLINE, Status.UNKNOWN),
    ],
)
def test_a_refusal_is_critical_and_what_was_not_tried_is_unknown(
    rule: Rule, kind: FailureKind, status: Status
) -> None:
    found = findings(Settings(), failed(rule.facts, f"{rule.system}/there", kind))
    (finding,) = (finding for finding in found.values() if finding.code == rule.code)
    assert finding.status is status


def test_looks_of_before_the_flag_are_selections_without_it() -> None:
    assert not Selection().probe
