"""The hops of a request: counted in one look; what could not be looked at is unknown, and never shown as well."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

from msgspec.structs import replace

from samaops.config.playbooks import all_of
from samaops.config.settings import Settings
from samaops.facts.api import ApiFacts
from samaops.facts.docker import DockerFacts
from samaops.facts.loadbalancer import BigIpFacts, MemberFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.rabbitmq import BrokerConnections, RabbitMQFacts
from samaops.model.cause import Cause, Verdict
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import guide as face
from samaops.site.site import Site
from samaops.workflows.troubleshooting import guide, hops, names, request_counts
from tests.unit.changes.test_plans import CONTAINER, member
from tests.unit.checks.judging import failed, seen

SITE: dict[str, Any] = {
    "site": "samaconso-lab",
    "servers": {"api": {"address": "10.0.0.2"}},
    "rabbitmq": {"server": "api"},
    "loadbalancer": {
        "url": "http://10.0.0.10",
        "commands": {"server": "api", "list": "l", "offline": "o {member}", "online": "i {member}"},
    },
    "api": {
        "instances": [
            {"name": "api_1", "url": "http://10.0.0.2:8001", "container": "a1"},
            {"name": "api_2", "url": "http://10.0.0.2:8002", "container": "a2"},
        ]
    },
    "docker": {"containers": {"api": ["a1", "a2"]}},
}
POOL = BigIpFacts(
    "pool", "",
    (
        MemberFacts("api_1", "unknown", "enabled", "", "unchecked", "enabled", 0, "10.0.0.2:8001", "enabled"),
        MemberFacts("api_2", "offline", "disabled", "forced offline", "user-down", "user-disabled", 0, "10.0.0.2:8002", "offline"),
    ),
    None, None, None, None,
)  # fmt: skip
ENGINE = DockerFacts(
    2000.0, 8 * 2**30, ("a1", "a2"),
    (replace(CONTAINER, memory_limit=2**29), replace(CONTAINER, name="a2", id="f" * 16, state="exited")),
    None, None,
)  # fmt: skip
BROKER = RabbitMQFacts(
    "3", "", "/", (), False, None, 0, 0, 0, 1, None, (), BrokerConnections(9, ("c1", "c2"), ()), None
)
NOW = datetime.now(timezone.utc)


def way(*observations: Observation, **without: Any) -> dict[str, Finding]:
    settings = Settings.model_validate({**SITE, **without})
    count = partial(request_counts.count, snapshot=Snapshot(NOW, observations), site=Site(settings))
    counted = hops.counted(all_of(settings)["api-down"].hops, (), count)
    made = hops.findings("api-down", counted, {})
    return {finding.subject.partition("/")[2]: finding for finding in made}


def test_each_hop_has_the_count_of_its_own() -> None:
    found = way(
        seen("loadbalancer/commands", POOL), member("api_1", 200), member("api_2", 500),
        seen("docker/api", ENGINE, "api"), seen("rabbitmq/api", BROKER),
    )  # fmt: skip
    values = {name: found[name].value for name in ("balancer", "member", "container", "loop", "broker")}
    assert values == {"balancer": 1, "member": 1, "container": 1, "loop": 1.0, "broker": 2}
    assert found["container"].detail == "a2 exited"
    assert found["broker"].detail == "of 9 connections are held back"


def test_what_could_not_be_read_is_unknown_and_what_is_not_configured_is_skipped() -> None:
    found = way()
    unknown = {name for name, finding in found.items() if finding.status is Status.UNKNOWN}
    assert unknown == {"balancer", "container", "broker"}
    assert found["container"].hint == "samaops --lab diagnose --only docker"
    assert {found[name].status for name in ("pool", "database", "external")} == {Status.SKIPPED}
    assert way(loadbalancer=None)["balancer"].status is Status.SKIPPED


def test_a_member_that_accepts_and_is_silent_is_stopped_at_its_event_loop() -> None:
    silent = failed("api/api_1", ApiFacts, Failure(FailureKind.NO_ANSWER, "no answer", "GET /health"))
    refused = failed("api/api_1", ApiFacts, Failure(FailureKind.REFUSED, "refused", "connect"))
    found = way(silent, member("api_2", 200))["loop"]
    assert (found.status, found.detail) == (Status.CRITICAL, "api_1 takes no request")
    assert found.evidence["because"] == ["api.member.unreachable@api/api_1"]
    assert way(refused, member("api_2", 200))["loop"].value == 1.0


def named(subject: str, *findings: Finding, explains: tuple[str, ...] = ()) -> dict[str, str]:
    cause = Cause("x", None, Verdict.CONFIRMED, subject, "t", explains=explains)
    report = Report("x", NOW, findings=findings)
    snapshot = Snapshot(NOW, (seen("docker/api", ENGINE, "api"),))
    return names.of(cause, report, snapshot, Site(Settings.model_validate(SITE)))


def test_a_fix_may_speak_of_the_member_its_container_and_half_as_much_memory_again() -> None:
    assert (named("api/api_1")["member"], named("api/api_1")["container"]) == ("api_1", "a1")
    of_container = named("docker/a1")
    assert (of_container["member"], of_container["memory_limit"]) == ("api_1", "768m")
    assert "member" not in named("docker/other")
    assert "memory_limit" not in named("docker/a2"), "it has none"


def test_the_release_to_go_back_to_is_the_one_of_the_member_that_serves() -> None:
    differs = Finding(
        "release.running.differs", Status.CRITICAL, "release/application", "t",
        evidence={"a1": "sha256:bad", "a2": "sha256:good"},
    )  # fmt: skip
    serves = Finding("api.health.failing", Status.OK, "api/api_2", "t")
    fails = Finding("api.health.failing", Status.CRITICAL, "api/api_1", "t")
    found = named("api/api_1", differs, serves, fails, explains=(differs.key,))
    assert found["release"] == "sha256:good"
    assert "release" not in named("api/api_1", differs, fails, explains=(differs.key,))


def test_a_page_to_print_has_each_hop_cause_and_fix_and_no_text_is_cut() -> None:
    site = Site(Settings.model_validate(SITE))
    playbook = all_of(site.settings)["api-down"]
    page = face.markdown(guide.guide_of(playbook, site))
    for heading in ("## 1. Find the place", "## 2. Name the cause", "### balancer\\.drain", "## 4. See that"):
        assert heading in page
    assert page.count("\n| ") == len(playbook.causes) + 2
    assert "curl -si -m 10 http://10.0.0.10/health" in page
    assert "`samaops --lab troubleshoot show db-slow`" in page or "troubleshoot show db-slow" in page
    assert "…" not in page
