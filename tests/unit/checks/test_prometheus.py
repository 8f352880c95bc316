"""Every check of Prometheus and AlertManager on facts given as data."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.facts.alertmanager import AlertFacts, AlertmanagerFacts
from samaops.facts.prometheus import PrometheusFacts, RuleFacts, TargetFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields
from tests.unit.checks.test_api import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING

SETTINGS = Settings()
UP = TargetFacts("node", "10.101.0.1:9100", "up", "")
DOWN = TargetFacts("redis", "10.101.0.3:9121", "down", "connection refused")
NEW = TargetFacts("new", "10.101.0.3:9999", "unknown", "")
PROMETHEUS = PrometheusFacts("http://10.101.0.1:9090", (UP, NEW), 2, ())
ALERTMANAGER = AlertmanagerFacts("http://10.101.0.1:9093", ())
SUBJECTS = {"prometheus": "prometheus/main", "alertmanager": "alertmanager/main"}


def alert(severity: str) -> AlertFacts:
    return AlertFacts("[red]DiskFull", severity, "10.101.0.1:9100", "2026-01-31T03:12:00Z", "\x1b[31m")


CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("prometheus.service.unreachable", {}, OK),
    ("prometheus.target.down", {}, OK),
    ("prometheus.target.down", {"targets": (UP, DOWN)}, WARNING),
    ("prometheus.target.down", {"targets": (DOWN, DOWN)}, CRITICAL),
    ("prometheus.target.down", {"targets": ()}, WARNING),
    ("prometheus.rules.failing", {}, OK),
    (
        "prometheus.rules.failing",
        {"failing_rules": (RuleFacts("samaconso", "ApiDown", "many-to-many"),)},
        WARNING,
    ),
    ("alertmanager.service.unreachable", {}, OK),
    ("alertmanager.alerts.firing", {}, OK),
    ("alertmanager.alerts.firing", {"alerts": (alert("none"), alert("info"))}, OK),
    ("alertmanager.alerts.firing", {"alerts": (alert("warning"),)}, WARNING),
    ("alertmanager.alerts.firing", {"alerts": (alert(""),)}, WARNING),
    ("alertmanager.alerts.firing", {"alerts": (alert("warning"), alert("critical"))}, CRITICAL),
]


@pytest.mark.parametrize("system", SUBJECTS)
def test_every_check_has_its_cases(system: str) -> None:
    covered: dict[str, set[Status]] = {}
    for code, _changes, status in CASES:
        covered.setdefault(code, set()).add(status)
    assert uncovered(system, covered) == []


@pytest.mark.parametrize(("code", "changes", "status"), CASES)
def test_each_case_is_judged(code: str, changes: dict[str, Any], status: Status) -> None:
    system = code.partition(".")[0]
    healthy = PROMETHEUS if system == "prometheus" else ALERTMANAGER
    found = findings(SETTINGS, observed(with_fields(healthy, changes), SUBJECTS[system]))
    assert found[f"{code}@{SUBJECTS[system]}"].status is status


def test_rules_that_could_not_be_read_are_unknown() -> None:
    facts = with_fields(PROMETHEUS, {"failing_rules": None, "rule_count": None})
    found = findings(SETTINGS, observed(facts, "prometheus/main", missing=("rules",)))
    assert found["prometheus.rules.failing@prometheus/main"].status is UNKNOWN
    assert found["prometheus.target.down@prometheus/main"].status is OK


@pytest.mark.parametrize(
    ("kind", "status"), [(FailureKind.REFUSED, CRITICAL), (FailureKind.AUTHENTICATION, UNKNOWN)]
)
@pytest.mark.parametrize(
    ("facts_type", "system"), [(PrometheusFacts, "prometheus"), (AlertmanagerFacts, "alertmanager")]
)
def test_a_failed_look_is_told_by_the_access_check(
    facts_type: type, system: str, kind: FailureKind, status: Status
) -> None:
    found = findings(SETTINGS, failed(facts_type, SUBJECTS[system], kind))
    assert found[f"{system}.service.unreachable@{SUBJECTS[system]}"].status is status
    assert {one.status for key, one in found.items() if ".service." not in key} == {SKIPPED}
