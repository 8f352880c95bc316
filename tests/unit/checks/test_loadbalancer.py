"""Every check of the load balancer on facts given as data."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.facts.loadbalancer import BigIpFacts, MemberFacts, MonitorFacts, VipFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields
from tests.unit.checks.test_api import ANSWER, CRITICAL, OK, SKIPPED, UNKNOWN, WARNING

SETTINGS = Settings.model_validate({"loadbalancer": {"url": "http://10.101.0.10:8080"}})
VIP = VipFacts(ANSWER)
MEMBER = MemberFacts(
    "10.101.0.2:8001", "available", "enabled", "Pool member is available", "up", "enabled", 3
)
SECOND = with_fields(MEMBER, {"name": "10.101.0.2:8002"})
DOWN = with_fields(
    MEMBER, {"availability": "offline", "reason": "Pool member has been marked down by a monitor"}
)
FORCED = with_fields(MEMBER, {"availability": "offline", "enabled": "disabled", "reason": "Forced down"})
BY_NODE = with_fields(MEMBER, {"enabled": "disabled-by-parent"})
F5 = BigIpFacts(
    pool="samaconso_api_pool",
    virtual_server="samaconso_api_vip",
    members=(MEMBER, SECOND),
    monitors=(MonitorFacts("/Common/http_health_samaconso", "running", "GET /health"),),
    virtual_availability="available",
    virtual_enabled="enabled",
    virtual_reason="The virtual server is available",
)
MEMBER_SUBJECT = "loadbalancer/10.101.0.2:8001"

VIP_CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("loadbalancer.vip.unreachable", {}, OK),
    ("loadbalancer.vip.failing", {}, OK),
    ("loadbalancer.vip.failing", {"answer.status": 502}, CRITICAL),
    ("loadbalancer.vip.wrong_body", {}, OK),
    ("loadbalancer.vip.wrong_body", {"answer.body_status": None}, CRITICAL),
    ("loadbalancer.vip.wrong_body", {"answer.status": 502}, SKIPPED),
    ("loadbalancer.vip.latency", {}, OK),
    ("loadbalancer.vip.latency", {"answer.samples_ms": (700.0,)}, WARNING),
    ("loadbalancer.vip.latency", {"answer.samples_ms": (1700.0,)}, CRITICAL),
]
F5_CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("loadbalancer.management.unreachable", {}, OK),
    ("loadbalancer.member.down", {}, OK),
    ("loadbalancer.member.down", {"members": (DOWN, SECOND)}, CRITICAL),
    ("loadbalancer.member.down", {"members": (FORCED, SECOND)}, WARNING),
    ("loadbalancer.member.down", {"members": (BY_NODE, SECOND)}, WARNING),
    ("loadbalancer.pool.down", {}, OK),
    ("loadbalancer.pool.down", {"members": (DOWN, SECOND)}, OK),
    ("loadbalancer.pool.down", {"members": (DOWN, FORCED)}, CRITICAL),
    ("loadbalancer.pool.down", {"members": ()}, CRITICAL),
    ("loadbalancer.virtual.down", {}, OK),
    ("loadbalancer.virtual.down", {"virtual_availability": "offline"}, CRITICAL),
    ("loadbalancer.virtual.down", {"virtual_enabled": "disabled"}, CRITICAL),
    ("loadbalancer.virtual.down", {"virtual_availability": None}, UNKNOWN),
    ("loadbalancer.monitor.weak", {}, OK),
    ("loadbalancer.monitor.weak", {"monitors": ()}, WARNING),
    ("loadbalancer.monitor.weak", {"monitors": (MonitorFacts("/Common/http", "", "GET /"),)}, WARNING),
    ("loadbalancer.monitor.weak", {"monitors": (MonitorFacts("/Common/tcp", None, ""),)}, WARNING),
]


def test_every_check_has_its_cases() -> None:
    covered: dict[str, set[Status]] = {}
    for code, _changes, status in (*VIP_CASES, *F5_CASES):
        covered.setdefault(code, set()).add(status)
    assert uncovered("loadbalancer", covered) == []


@pytest.mark.parametrize(("code", "changes", "status"), VIP_CASES)
def test_each_case_of_the_virtual_address_is_judged(
    code: str, changes: dict[str, Any], status: Status
) -> None:
    found = findings(SETTINGS, observed(with_fields(VIP, changes), "loadbalancer/vip"))
    assert found[f"{code}@loadbalancer/vip"].status is status


@pytest.mark.parametrize(("code", "changes", "status"), F5_CASES)
def test_each_case_of_the_f5_is_judged(code: str, changes: dict[str, Any], status: Status) -> None:
    facts = with_fields(F5, changes)
    if code == "loadbalancer.member.down":
        subject = MEMBER_SUBJECT
    elif code == "loadbalancer.pool.down" and len({one.name for one in facts.members}) < len(facts.members):
        second = with_fields(facts.members[1], {"name": "10.101.0.2:8002"})
        facts, subject = with_fields(facts, {"members": (facts.members[0], second)}), "loadbalancer/bigip"
    else:
        subject = "loadbalancer/bigip"
    found = findings(SETTINGS, observed(facts, "loadbalancer/bigip"))
    assert found[f"{code}@{subject}"].status is status


@pytest.mark.parametrize("part", ["monitors", "virtual"])
def test_a_part_that_could_not_be_read_is_unknown_alone(part: str) -> None:
    code = {"monitors": "loadbalancer.monitor.weak", "virtual": "loadbalancer.virtual.down"}[part]
    found = findings(SETTINGS, observed(F5, "loadbalancer/bigip", missing=(part,)))
    assert found[f"{code}@loadbalancer/bigip"].status is UNKNOWN
    assert {key for key, one in found.items() if one.status is not OK} == {f"{code}@loadbalancer/bigip"}


@pytest.mark.parametrize(
    ("facts_type", "subject", "code", "kind", "status"),
    [
        (VipFacts, "loadbalancer/vip", "loadbalancer.vip.unreachable", FailureKind.CLOSED, CRITICAL),
        (VipFacts, "loadbalancer/vip", "loadbalancer.vip.unreachable", FailureKind.NAME, UNKNOWN),
        (
            BigIpFacts,
            "loadbalancer/bigip",
            "loadbalancer.management.unreachable",
            FailureKind.PERMISSION,
            UNKNOWN,
        ),
    ],
)
def test_each_look_that_failed_is_told_by_its_own_access_check(
    facts_type: type, subject: str, code: str, kind: FailureKind, status: Status
) -> None:
    found = findings(SETTINGS, failed(facts_type, subject, kind))
    assert found[f"{code}@{subject}"].status is status
    assert {one.status for key, one in found.items() if not key.startswith(code)} <= {SKIPPED}


@pytest.mark.parametrize(
    ("changes", "writer"),
    [
        ({"answer.server_header": "uvicorn"}, "member"),
        ({"answer.server_header": "", "answer.content_type": "application/json"}, "member"),
        ({"answer.server_header": "BigIP", "answer.content_type": "text/html"}, "balancer"),
        ({"answer.server_header": "", "answer.content_type": ""}, "balancer"),
    ],
)
def test_who_wrote_an_error_is_told(changes: dict[str, Any], writer: str) -> None:
    facts = with_fields(VIP, {"answer.status": 503, **changes})
    found = findings(SETTINGS, observed(facts, "loadbalancer/vip"))
    assert found["loadbalancer.vip.failing@loadbalancer/vip"].evidence["written_by"] == writer
