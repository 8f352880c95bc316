"""Each incident of the lab is caused, named by ``diagnose`` as the first and only root, and healed without a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from samaops.lab.incidents import running
from samaops.lab.incidents.incident import Incident
from samaops.lab.incidents.running import INCIDENTS
from samaops.lab.incidents.site import Memory
from tests.service.lab_fixture import RunningLab, roots_of

pytestmark = [
    pytest.mark.service,
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("lab"),
]

# Of those that make the database slow, fill Redis or a disk, others have the same mechanism or check; the matrix
# measures all.
IN_THE_MATRIX_ALONE = {
    "pool-too-small",
    "api-answers-errors",
    "query-storm",
    "statistics-stale",
    "autovacuum-off",
    "connections-bypass-pool",
    "checkpoints-requested",
    "redis-broker-backlog",
    "redis-cache-without-ttl",
    "redis-fragmented",
    "database-grown",
    "backups-not-expired",
    "docker-volume-filled",
    "images-filled",
    "redis-save-left",
    "core-dumps",
    "uploads-unfinished",
}
CAUSED = [incident for incident in INCIDENTS if incident.id not in IN_THE_MATRIX_ALONE]
EXIT_CODES = {"warning": 1, "critical": 2}


@pytest.fixture
def lab(whole_lab: RunningLab) -> Iterator[RunningLab]:
    """Return the lab, and heal whatever a failed test leaves broken."""
    yield whole_lab
    if Memory.of(whole_lab.layout).broken():
        whole_lab.samaops("lab", "heal", expected=0)


def _refusal(lab: RunningLab, incident: Incident) -> str | None:
    return incident.refuse(lab.site)


# One fix of each playbook that is planned from what a look has to read besides.
OFFERED = {
    "poison-message": "queue.park",
    "broker-memory-alarm": "broker.set_watermark",
    "wal-kept-by-setting": "db.wal_setting",
    "redis-control-replies": "redis.expire",
}


@pytest.mark.parametrize("incident", CAUSED, ids=lambda incident: incident.id)
def test_an_incident_is_the_first_and_only_root_until_it_is_healed(
    lab: RunningLab, incident: Incident
) -> None:
    reason = _refusal(lab, incident)
    if reason:
        refused = lab.samaops("lab", "break", incident.id, expected=77)
        assert incident.id in refused.stderr
        pytest.skip(reason)
    expected = incident.expected(lab.site)

    assert "is live" in lab.samaops("lab", "break", incident.id, expected=0).stdout
    report, exit_code = lab.diagnose()
    assert roots_of(report) == [(expected.cause, expected.subject)], _not_ok(report)
    if (
        lab.site.has_containers
    ):  # without an engine something is always unknown, which is worse than a warning
        assert exit_code == EXIT_CODES[expected.status], _not_ok(report)

    if incident.id in OFFERED:
        assert OFFERED[incident.id] in _offered(lab, incident)

    assert "is healed" in lab.samaops("lab", "heal", incident.id, expected=0).stdout
    report, _exit_code = lab.diagnose()
    assert roots_of(report) == [], _not_ok(report)


def _offered(lab: RunningLab, incident: Incident) -> list[str]:
    """Return the fixes that the playbook of an incident can make now, as it shows them."""
    done = lab.samaops(*lab.calm, "troubleshoot", str(incident.runbook), "-o", "json")
    causes = json.loads(done.stdout)["causes"]
    return [fix["id"] for cause in causes for fix in cause["fixes"] if fix["commands"]]


def _not_ok(report: dict[str, object]) -> str:
    findings = report["findings"]
    assert isinstance(findings, list)
    lines = [
        f"{finding['status']} {finding['code']}@{finding['subject']} {finding['title']} <- {finding['cause']}"
        f" {finding['detail']} {finding['evidence'].get('stage', '')}"
        for finding in findings
        if finding["status"] not in ("ok", "skipped")
    ]
    return "\n".join(["", *lines])


# Each pair once looked like one fault: the second in the shadow of the first.
PAIRS = [
    (
        ("queue-without-consumer", "rabbitmq/low_priority"),
        ("proxy-down", "proxy/127.101.0.10:3128"),
    ),
    (("worker-hung", "celery/worker2"), ("postgresql-stopped", "postgresql/db")),
    (("worker-not-consuming", "celery/worker2"), ("messages-dropped", "rabbitmq/low_priority")),
    (("nothing-published", "postgresql/db"), ("redis-refusing-writes", "redis/workers")),
    (("dead-tokens", "celery/tasks"), ("task-unregistered", "celery/tasks")),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "+".join(name for name, _subject in pair))
def test_two_incidents_at_once_are_both_named(
    lab: RunningLab, pair: tuple[tuple[str, str], tuple[str, str]]
) -> None:
    causes = {incident.id: incident.expected(lab.site).cause for incident in INCIDENTS}
    for name, _subject in pair:
        lab.samaops("lab", "break", name, expected=0)

    report, _exit_code = lab.diagnose()
    assert set(roots_of(report)) == {(causes[name], subject) for name, subject in pair}, _not_ok(report)

    (first, subject), (second, _subject) = pair
    assert f"{second} is healed" in lab.samaops("lab", "heal", second, expected=0).stdout
    report, _exit_code = lab.diagnose()
    assert roots_of(report) == [(causes[first], subject)], _not_ok(report)

    assert f"{first} is healed" in lab.samaops("lab", "heal", expected=0).stdout
    assert lab.causes() == []


def test_a_full_disk_hides_neither_a_stopped_container_nor_a_queue_without_consumer(lab: RunningLab) -> None:
    names = ("queue-without-consumer", "api-container-stopped", "disk-filled")
    if any(running.find(name).refuse(lab.site) for name in names):
        pytest.skip("a disk of its own and containers are needed")
    roots = [running.find(name).expected(lab.site) for name in names]
    for name in names:
        lab.samaops("lab", "break", name, expected=0)

    report, _exit_code = lab.diagnose()
    assert set(roots_of(report)) == {(root.cause, root.subject) for root in roots}, _not_ok(report)

    lab.samaops("lab", "heal", "disk-filled", expected=0)
    report, _exit_code = lab.diagnose()
    assert set(roots_of(report)) == {(root.cause, root.subject) for root in roots[:2]}, _not_ok(report)


def test_breaking_twice_and_healing_twice_have_nothing_to_do(lab: RunningLab) -> None:
    lab.samaops("lab", "break", "pgbouncer-paused", expected=0)
    assert "already live" in lab.samaops("lab", "break", "pgbouncer-paused", expected=0).stdout

    lab.samaops("lab", "heal", "pgbouncer-paused", expected=0)
    assert "Nothing to do" in lab.samaops("lab", "heal", "pgbouncer-paused", expected=0).stdout
    assert "Nothing to do" in lab.samaops("lab", "heal", expected=0).stdout


def test_the_list_says_which_incidents_are_live(lab: RunningLab) -> None:
    lab.samaops("lab", "break", "pgbouncer-paused", expected=0)

    document = json.loads(lab.samaops("lab", "incidents", "-o", "json", expected=0).stdout)
    assert document["schema"] == "samaops/lab-incidents/1"
    states = {entry["id"]: entry["state"] for entry in document["incidents"]}
    assert list(states) == [incident.id for incident in INCIDENTS]
    assert {name for name, state in states.items() if state} == {"pgbouncer-paused"}
    assert "LIVE" in lab.samaops("lab", "incidents", expected=0).stdout


def test_what_a_restart_of_the_lab_repairs_is_seen_as_gone_and_healed(lab: RunningLab) -> None:
    lab.samaops("lab", "break", "postgresql-stopped", expected=0)
    lab.samaops("lab", "up", expected=0)

    document = json.loads(lab.samaops("lab", "incidents", "-o", "json", expected=0).stdout)
    states = {entry["id"]: entry["state"] for entry in document["incidents"]}
    assert states["postgresql-stopped"] == "gone"
    assert "is healed" in lab.samaops("lab", "heal", expected=0).stdout
    assert lab.causes() == []


def test_an_unknown_incident_names_the_nearest(lab: RunningLab) -> None:
    refused = lab.samaops("lab", "break", "pgbouncer-pausd", expected=64)
    assert "pgbouncer-paused" in refused.stderr
