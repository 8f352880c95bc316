"""Every check of the load balancer on facts given as data."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.checks.engine import judge
from samaops.clients.balancer_commands import ListedMember
from samaops.collect.loadbalancer import members_of_commands
from samaops.config.settings import Settings
from samaops.facts.loadbalancer import BigIpFacts, MemberFacts, MonitorFacts, VipFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields
from tests.unit.checks.judging import seen
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
AT_LIMIT = with_fields(
    MEMBER,
    {"availability": "unavailable", "reason": "The pool member's connection limit has been reached"},
)
UNHEARD = with_fields(MEMBER, {"availability": "unknown", "monitor_status": "checking"})
NAME = with_fields(MEMBER, {"monitor_status": "fqdn-up"})
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
    ("loadbalancer.pool.down", {"members": (AT_LIMIT, FORCED)}, CRITICAL),
    ("loadbalancer.pool.down", {"members": (AT_LIMIT, SECOND)}, OK),
    ("loadbalancer.pool.down", {"members": (UNHEARD, DOWN)}, UNKNOWN),
    ("loadbalancer.pool.down", {"members": (NAME, DOWN)}, CRITICAL),
    ("loadbalancer.virtual.down", {}, OK),
    ("loadbalancer.virtual.down", {"virtual_availability": "unknown"}, OK),
    ("loadbalancer.virtual.down", {"virtual_availability": "unavailable"}, CRITICAL),
    ("loadbalancer.virtual.down", {"virtual_availability": "unlicensed"}, CRITICAL),
    ("loadbalancer.virtual.down", {"virtual_enabled": "disabled-by-parent"}, CRITICAL),
    ("loadbalancer.virtual.down", {"virtual_availability": "purple"}, UNKNOWN),
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


# What tmsh and iControl show of a member, and what that means for customers.
STATES: list[tuple[dict[str, str], str, Status]] = [
    ({}, "serving", OK),
    ({"monitor_status": "forced-up"}, "serving", OK),
    ({"availability": "unknown", "monitor_status": "unchecked"}, "unwatched", OK),
    ({"availability": "unknown", "monitor_status": "checking"}, "checking", UNKNOWN),
    ({"availability": "unavailable", "reason": "The pool member's connection limit has been reached"}, "limit", WARNING),
    ({"availability": "unavailable", "reason": "Request queue is full"}, "unavailable", WARNING),
    ({"availability": "offline", "monitor_status": "down"}, "down", CRITICAL),
    ({"availability": "offline", "monitor_status": "inband-down"}, "down", CRITICAL),
    ({"availability": "offline", "monitor_status": "addr-down"}, "node-down", CRITICAL),
    ({"availability": "offline", "monitor_status": "irule-down"}, "irule-down", CRITICAL),
    ({"availability": "offline", "monitor_status": "down-manual-resume"}, "resume", CRITICAL),
    ({"availability": "offline", "monitor_status": "up", "reason": "Parent is offline"}, "offline", CRITICAL),
    ({"availability": "unlicensed"}, "unlicensed", CRITICAL),
    ({"availability": "offline", "monitor_status": "user-down", "reason": "Forced down"}, "taken-out", WARNING),
    ({"availability": "offline", "monitor_status": "forced-down"}, "taken-out", WARNING),
    ({"monitor_status": "maint"}, "taken-out", WARNING),
    ({"session": "user-disabled"}, "taken-out", WARNING),
    ({"session": "addr-disabled"}, "taken-out", WARNING),
    ({"enabled": "disabled", "availability": "offline", "monitor_status": "down"}, "taken-out", WARNING),
    ({"monitor_status": "fqdn-up"}, "fqdn-up", OK),
    ({"monitor_status": "fqdn-up-no-address"}, "fqdn-up-no-address", CRITICAL),
    ({"availability": "offline", "monitor_status": "fqdn-down"}, "fqdn-down", CRITICAL),
    ({"availability": "unknown", "monitor_status": "fqdn-checking"}, "fqdn-checking", UNKNOWN),
    ({"availability": ""}, "", UNKNOWN),
    ({"availability": "unknown", "monitor_status": "a-new-word"}, "", UNKNOWN),
    ({"availability": "mauve"}, "", UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "state", "status"), STATES)
def test_each_state_of_a_member_is_told_by_its_own_name(
    changes: dict[str, str], state: str, status: Status
) -> None:
    member = with_fields(MEMBER, changes)
    found = findings(SETTINGS, observed(with_fields(F5, {"members": (member,)}), "loadbalancer/bigip"))
    finding = found[f"loadbalancer.member.down@{MEMBER_SUBJECT}"]
    assert (finding.evidence["state"], finding.status) == (state, status)
    is_by_monitor = "down by its monitor" in finding.title
    assert is_by_monitor == (state == "down"), finding.title


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


def test_a_balancer_that_commands_control_tells_its_members_alone() -> None:
    listed = (
        ListedMember("api_1", "unwatched", "10.101.0.2:8001", 3),
        ListedMember("api_2", "offline", "10.101.0.2:8002"),
        ListedMember("api_3", "down"),
    )
    facts = BigIpFacts("pool", "", members_of_commands(listed), None, None, None, None)
    judged = judge(snapshot(seen("loadbalancer/commands", facts)), Site(SETTINGS))
    assert {one.code for one in judged} == {
        "loadbalancer.management.unreachable",
        "loadbalancer.member.down",
        "loadbalancer.pool.down",
    }
    of = {one.subject: one for one in judged if one.code == "loadbalancer.member.down"}
    api_1, api_2, api_3 = (of[f"loadbalancer/api_{number}"] for number in (1, 2, 3))
    assert [api_1.status, api_2.status, api_3.status] == [Status.OK, Status.WARNING, Status.CRITICAL]
    assert (api_2.evidence["forced"], api_3.evidence["forced"]) == (True, False)
    assert api_2.hint == "samaops balancer list"
