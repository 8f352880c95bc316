"""What is sent to those who can repair what we cannot: one request for each cause, with what was really seen."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache

import pytest
from msgspec.structs import replace

from samaops.config import playbooks
from samaops.config.playbooks import NAMES
from samaops.config.settings import Proxy, Settings
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.rabbitmq import BrokerNode, RabbitMQFacts
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting import names as fix_names
from tests.unit.changes.test_plans import CONTAINER, SETTINGS
from tests.unit.checks.judging import seen
from tests.unit.checks.test_servers import disk

REQUESTS = {
    "wrong-service-account-key": ("firebase.key", "private_key_id"),
    "sender-id-mismatch": ("firebase.project", "google-services.json"),
    "apns-key": ("firebase.apns_key", ".p8"),
    "fcm-quota": ("firebase.quota", "Retry-After"),
    "fcm-unavailable": ("firebase.outage", "status.firebase.google.com"),
    "dead-tokens": ("firebase.dead_tokens", "never in"),
    "task-unregistered": ("developers.release", "{releases}"),
    "poison-message": ("developers.poison", "queue unpark"),
    "broker-disk-alarm": ("system.team", "{disk}"),
    "tasks-failing": ("firebase.team", "invalid_grant"),
}
TAKEN_AT = datetime(2026, 1, 31, 3, 12, tzinfo=timezone.utc)


@cache
def playbook() -> playbooks.Playbook:
    return playbooks.all_of(Settings())["notifications"]


@pytest.mark.parametrize("cause", REQUESTS)
def test_each_cause_has_a_request_of_its_own_with_the_evidence(cause: str) -> None:
    fix, word = REQUESTS[cause]
    assert fix in playbook().causes[cause].fixes
    text = str(playbook().fixes[fix].text)
    assert text.startswith("To: ")
    assert "\nSubject: SamaConso: " in text
    assert "{evidence}" in text
    assert word in text
    assert "{" not in text.format(**dict.fromkeys(NAMES, "x"))
    users = [name for name, described in playbook().causes.items() if fix in described.fixes]
    assert users == [cause], "a request that fits every cause fits none"


@pytest.mark.parametrize("fix", [name for name, fix in playbook().fixes.items() if fix.text])
def test_a_request_can_be_read_in_a_mail(fix: str) -> None:
    lines = str(playbook().fixes[fix].text).splitlines()
    assert max(len(line) for line in lines if not line.startswith("Subject: ")) <= 72
    names = {"{site}": "samaconso-lab", "{subject}": "10.101.201.204:8080"}
    for name, value in names.items():
        lines = [line.replace(name, value) for line in lines]
    assert max(len(line) for line in lines if not line.startswith("Subject: ")) <= 76


def cause_of(subject: str, *explains: str) -> Cause:
    return Cause("x", None, Verdict.CONFIRMED, subject, "t", explains=explains)


def names(cause: Cause, *observations: Observation, findings: tuple[Finding, ...] = ()) -> dict[str, str]:
    return fix_names.seen(cause, findings, Snapshot(TAKEN_AT, observations), Site(SETTINGS))


def test_the_releases_of_both_sides_are_told_apart_by_their_digest() -> None:
    api = replace(CONTAINER, name="a1", image="app:7", image_id="sha256:0123456789abcdef")
    worker = replace(CONTAINER, name="c2", image="app:7", image_id="sha256:fedcba9876543210")
    lines = names(
        cause_of("celery/tasks"),
        seen("docker/api", DockerFacts(1.0, 0, (), (api,), None, None), "api"),
        seen("docker/workers", DockerFacts(1.0, 0, (), (worker,), None, None), "workers"),
    )["releases"].splitlines()
    assert lines == [
        "- API api_1 (api): app:7 sha256:0123456789ab",
        "- worker worker2 (workers): app:7 sha256:fedcba987654",
    ]


def test_the_disk_is_told_by_the_broker_and_by_its_server() -> None:
    node = BrokerNode("rabbit@a", True, 0, 0, False, 40_000_000, 50_000_000, True, 1, 2, 1, 2, (), 60)
    broker = RabbitMQFacts("3", "", "/", (), False, None, 0, 0, 0, 1, (node,), (), None, None)
    full = disk(97.0)
    lines = names(
        cause_of("rabbitmq/api"), seen("rabbitmq/api", broker), seen("servers/api", full, "api"),
        seen("servers/db", disk(98.0, "/else"), "db"),
    )["disk"]  # fmt: skip
    assert lines.startswith("- rabbit@a: ")
    assert "97.0 % full" in lines
    assert "/else" not in lines


def test_what_was_not_seen_is_said_to_be_so() -> None:
    found = names(cause_of("celery/tasks"))
    assert (found["releases"], found["disk"]) == ("- could not be seen", "- could not be seen")


def test_the_network_team_is_told_who_asks_by_which_proxy_and_since_when() -> None:
    proxy = Proxy(url="http://10.9.9.9:3128")
    settings = SETTINGS.model_copy(update={"proxy": proxy})
    found = fix_names.seen(cause_of("proxy/proxy"), (), Snapshot(TAKEN_AT, ()), Site(settings))
    assert found["servers"] == f"- workers {settings.servers['workers'].address}"
    assert (found["proxy"], found["since"]) == ("10.9.9.9:3128", "2026-01-31 03:12:00")
    network = [str(fix.text) for name, fix in playbook().fixes.items() if name.startswith("network.")]
    assert len(network) > 3
    assert all({"{servers}", "{proxy}", "{since}"} <= set(text.split()) for text in network)


def test_what_could_not_be_looked_at_is_no_evidence() -> None:
    down = Finding("proxy.service.unreachable", Status.CRITICAL, "proxy/proxy", "The proxy is down")
    unknown = Finding("firebase.host.unreachable", Status.UNKNOWN, "firebase/fcm", "could not be looked at")
    report = Report(command="x", started_at=TAKEN_AT, duration_ms=1, findings=(down, unknown))
    lines = fix_names.evidence(cause_of("proxy/proxy", down.key, unknown.key), report)
    assert "The proxy is down" in lines
    assert "could not be looked at" not in lines


def test_the_task_is_the_one_in_which_the_worker_has_been_longest() -> None:
    evidence = {"tasks": [{"id": "long"}, {"id": "short"}]}
    stuck = Finding("celery.task.stuck", Status.CRITICAL, "celery/worker2", "t", evidence=evidence)
    cause = cause_of("celery/worker2", stuck.key)
    assert names(cause, findings=(stuck,))["task"] == "long"
    assert "task" not in names(cause_of("celery/worker1"), findings=(stuck,))


def test_what_was_seen_fits_the_lines_of_a_mail() -> None:
    long = "12 sessions of 12\nrun one and the same statement; " + "SELECT count(*) FROM sessions " * 6
    report = Report(command="x", started_at=TAKEN_AT, duration_ms=1)
    lines = fix_names.evidence(replace(cause_of("x/y"), speaks_for=(long,)), report).splitlines()
    assert max(map(len, lines)) <= 76
    assert all(line.startswith(("- ", "  ")) for line in lines)
