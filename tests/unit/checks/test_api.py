"""Every check of the API members on facts given as data."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.config.settings import Settings
from samaops.facts.api import ApiFacts
from samaops.facts.docker import DockerFacts, Variable
from samaops.facts.health import HealthAnswer
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.changes.test_plans import CONTAINER
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields
from tests.unit.checks.test_servers import HEALTHY as SERVER

OK, WARNING, CRITICAL, UNKNOWN, SKIPPED = (
    Status.OK, Status.WARNING, Status.CRITICAL, Status.UNKNOWN, Status.SKIPPED,
)  # fmt: skip
INSTANCES = [
    {"name": "api_1", "url": "http://10.101.0.2:8001", "container": "samaconso_api_1"},
    {"name": "api_2", "url": "http://10.101.0.2:8002"},
]
SETTINGS = Settings.model_validate(
    {"servers": {"api": {"address": "10.101.0.2"}}, "api": {"instances": INSTANCES}}
)
ANSWER = HealthAnswer(
    url="http://10.101.0.2:8001/health",
    status=200,
    server_header="uvicorn",
    content_type="application/json",
    body_status="running",
    version="2.0.0",
    excerpt='{"status":"running"}',
    connect_ms=0.4,
    first_byte_ms=3.0,
    samples_ms=(4.0, 3.0, 9.0),
)
HEALTHY = ApiFacts("api_1", ANSWER)
OTHER = ApiFacts("api_2", ANSWER)
HOSTILE = "\x1b[31m[red]" + "x" * 5000

CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("api.member.unreachable", {}, OK),
    ("api.health.failing", {}, OK),
    ("api.health.failing", {"answer.status": 503}, CRITICAL),
    ("api.health.failing", {"answer.status": 404}, CRITICAL),
    ("api.health.failing", {"answer.status": 302}, CRITICAL),
    ("api.health.wrong_body", {}, OK),
    ("api.health.wrong_body", {"answer.body_status": None}, CRITICAL),
    ("api.health.wrong_body", {"answer.body_status": "starting"}, CRITICAL),
    ("api.health.wrong_body", {"answer.body_status": HOSTILE}, CRITICAL),
    ("api.health.wrong_body", {"answer.status": 503}, SKIPPED),
    ("api.latency.high", {}, OK),
    ("api.latency.high", {"answer.samples_ms": (499.9, 499.9)}, OK),
    ("api.latency.high", {"answer.samples_ms": (600.0,)}, WARNING),
    ("api.latency.high", {"answer.samples_ms": (1000.0,)}, CRITICAL),
    ("api.latency.high", {"answer.samples_ms": (2000.0, 5.0, 5.0)}, OK),
    ("api.latency.slow_for_guide", {}, OK),
    ("api.latency.slow_for_guide", {"answer.samples_ms": (300.0, 29.0, 300.0)}, OK),
    ("api.latency.slow_for_guide", {"answer.samples_ms": (30.0, 31.0, 300.0)}, WARNING),
]


def test_every_check_has_its_cases() -> None:
    covered: dict[str, set[Status]] = {}
    for code, _changes, status in CASES:
        covered.setdefault(code, set()).add(status)
    covered["api.version.differs"] = {OK, WARNING, SKIPPED}  # below: they need several members
    covered["api.members.all_down"] = {OK, CRITICAL, UNKNOWN}
    covered["api.keepalive.short"] = {OK, WARNING, SKIPPED}  # below: it needs the container's command line
    assert uncovered("api", covered) == []


@pytest.mark.parametrize(("code", "changes", "status"), CASES)
def test_each_case_is_judged(code: str, changes: dict[str, Any], status: Status) -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, changes), "api/api_1"))
    assert found[f"{code}@api/api_1"].status is status


def test_a_member_that_cannot_be_reached_skips_its_other_checks() -> None:
    found = findings(
        SETTINGS, failed(ApiFacts, "api/api_1", FailureKind.REFUSED), observed(OTHER, "api/api_2")
    )
    assert found["api.member.unreachable@api/api_1"].status is CRITICAL
    assert found["api.health.failing@api/api_1"].status is SKIPPED
    assert "api.member.unreachable@api/api_1" in found["api.health.failing@api/api_1"].detail
    assert found["api.members.all_down@api/all"].status is OK
    assert found["api.members.all_down@api/all"].evidence["serving"] == ["api_2"]
    assert found["api.version.differs@api/all"].status is SKIPPED


@pytest.mark.parametrize(
    ("kind", "status"),
    [(FailureKind.NO_ANSWER, CRITICAL), (FailureKind.NAME, UNKNOWN), (FailureKind.DEADLINE, UNKNOWN)],
)
def test_all_members_down_is_critical_only_when_that_was_seen(kind: FailureKind, status: Status) -> None:
    found = findings(SETTINGS, failed(ApiFacts, "api/api_1", kind), failed(ApiFacts, "api/api_2", kind))
    assert found["api.members.all_down@api/all"].status is status


def test_members_that_answer_wrongly_do_not_serve() -> None:
    sick = with_fields(HEALTHY, {"answer.status": 500})
    found = findings(SETTINGS, observed(sick, "api/api_1"))
    assert found["api.members.all_down@api/all"].status is CRITICAL


@pytest.mark.parametrize(("version", "status"), [("2.0.0", OK), ("2.1.0", WARNING), (None, SKIPPED)])
def test_versions_are_compared_over_the_members(version: str | None, status: Status) -> None:
    other = with_fields(OTHER, {"answer.version": version})
    found = findings(SETTINGS, observed(HEALTHY, "api/api_1"), observed(other, "api/api_2"))
    assert found["api.version.differs@api/all"].status is status


def test_the_hint_reads_the_log_of_that_very_container() -> None:
    sick = observed(with_fields(HEALTHY, {"answer.status": 503}), "api/api_1")
    hint = findings(SETTINGS, sick)["api.health.failing@api/api_1"].hint
    assert hint == "samaops ssh api -- docker logs --tail 100 samaconso_api_1"


@pytest.mark.parametrize(
    ("idle", "options", "status"),
    [
        (None, {}, None),
        (4.0, {"--host": "10.0.0.2"}, OK),
        (60.0, {"--host": "10.0.0.2"}, WARNING),
        (5.0, {"--host": "10.0.0.2"}, WARNING),
        (60.0, {"--timeout-keep-alive": "75"}, OK),
        (60.0, {"--timeout-keep-alive": "30"}, WARNING),
        (60.0, {"--keep-alive": "65", "--bind": "10.0.0.2"}, OK),
        (60.0, {"--timeout-keep-alive": ""}, SKIPPED),
        (60.0, {}, SKIPPED),
    ],
)
def test_a_member_keeps_idle_connections_longer_than_the_balancer(
    idle: float | None, options: dict[str, str], status: Status | None
) -> None:
    balancer = {"url": "http://10.0.0.10", **({"idle_timeout": idle} if idle else {})}
    servers, api = {"api": {"address": "10.101.0.2"}}, {"instances": INSTANCES}
    settings = Settings.model_validate({"servers": servers, "api": api, "loadbalancer": balancer})
    variables = tuple(
        Variable(name, "d", {"value": value} if value else {}) for name, value in options.items()
    )
    container = replace(CONTAINER, name="samaconso_api_1", settings=variables)
    engine = DockerFacts(2000.0, 0, ("samaconso_api_1",), (container,), None, None)
    seen = replace(observed(engine, "docker/api"), server="api")
    found = findings(settings, observed(HEALTHY, "api/api_1"), seen).get("api.keepalive.short@api/api_1")
    assert (found and found.status) == status


@pytest.mark.parametrize(
    ("load_1", "runnable", "status"), [(0.5, 2, WARNING), (9.0, 2, SKIPPED), (0.5, 12, SKIPPED)]
)
def test_a_busy_server_is_no_word_on_the_api(load_1: float, runnable: int, status: Status) -> None:
    member = observed(with_fields(HEALTHY, {"answer.samples_ms": (31.0, 40.0, 300.0)}), "api/api_1")
    facts = replace(SERVER, processors=2, load_1=load_1, runnable=runnable)
    server = replace(observed(facts, "servers/api"), server="api")
    found = findings(SETTINGS, member, server)["api.latency.slow_for_guide@api/api_1"]
    assert found.status is status
