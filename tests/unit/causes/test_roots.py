"""One fault gives one root, two faults give two: each case in tests/data/causes is what was found and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.causes import graph, task_exceptions
from samaops.config.settings import Settings
from samaops.model.cause import Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site

CASES = sorted((Path(__file__).parents[2] / "data" / "causes").glob("*.json"))


def settings() -> Settings:
    """Return the guide's three servers."""
    servers = {
        "db": {"address": "10.101.0.1"},
        "api": {"address": "10.101.0.2"},
        "workers": {"address": "10.101.0.3"},
    }
    members = [
        {"name": f"api_{n}", "url": f"http://10.101.0.2:800{n}", "container": f"samaconso_api_{n}"}
        for n in (1, 2)
    ]
    workers = {
        "worker1": {"container": "samaconso_celery_worker_1", "queues": ["urgent", "high_priority"]},
        "worker2": {"container": "samaconso_celery_worker_2", "queues": ["normal", "low_priority"]},
    }
    containers = {
        "api": ["samaconso_api_1", "samaconso_api_2", "samaconso_rabbitmq"],
        "workers": [
            "samaconso_redis",
            "samaconso_celery_worker_1",
            "samaconso_celery_worker_2",
            "samaconso_flower",
        ],
    }
    return Settings.model_validate(
        {
            "servers": servers,
            "postgresql": {},
            "pgbouncer": {},
            "redis": {},
            "rabbitmq": {},
            "flower": {},
            "api": {"instances": members},
            "celery": {"workers": workers},
            "minio": {},
            "proxy": {},
            "firebase": {},
            "loadbalancer": {"url": "http://10.101.0.10"},
            "docker": {"containers": containers},
            "backup": {},
        }
    )


def findings_of(case: dict[str, Any]) -> tuple[Finding, ...]:
    """Turn the rows of a case into findings: code, status, subject, server, evidence."""
    return tuple(
        Finding(
            code=row["code"],
            status=Status(row["status"]),
            subject=row["subject"],
            title=row.get("title", row["code"]),
            server=row.get("server"),
            evidence=row.get("evidence", {}),
        )
        for row in case["findings"]
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_right_roots_and_only_they_are_named(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    findings, causes = graph.explain(findings_of(case), Site(settings()))
    assert [[cause.id, cause.subject] for cause in causes] == case["roots"]
    unexplained = {
        one.key for one in findings if one.status not in (Status.OK, Status.SKIPPED) and one.cause is None
    }
    assert unexplained == set(case.get("unexplained", ()))


def test_every_explained_finding_is_listed_by_one_cause_or_by_those_that_it_decides() -> None:
    for path in CASES:
        findings, causes = graph.explain(
            findings_of(json.loads(path.read_text(encoding="utf-8"))), Site(settings())
        )
        listed = [key for cause in causes for key in cause.explains]
        deciding = [cause.explains[0] for cause in causes]
        twice = {key for key in listed if listed.count(key) > 1}
        assert all(deciding.count(key) == listed.count(key) for key in twice), path.stem
        assert set(listed) == {one.key for one in findings if one.cause is not None}, path.stem


def test_a_healthy_system_has_no_cause() -> None:
    healthy = (Finding("redis.service.unreachable", Status.OK, "redis/workers", "Redis answers"),)
    assert graph.explain(healthy, Site(settings())) == (healthy, ())


def test_what_only_a_silence_shows_is_no_more_than_probable_where_we_had_no_time_to_listen() -> None:
    silent = Finding(
        "rabbitmq.service.unreachable", Status.CRITICAL, "rabbitmq/api", "RabbitMQ is hung", server="api",
        evidence={"kind": "no_answer", "stage": "overview"},
    )  # fmt: skip
    refused = replace(silent, evidence={"kind": "refused", "stage": "connect"})
    for finding, load, verdict in (
        (silent, 1.0, Verdict.CONFIRMED),
        (silent, None, Verdict.CONFIRMED),
        (silent, 7.0, Verdict.PROBABLE),
        (refused, 7.0, Verdict.CONFIRMED),
    ):
        _findings, (cause,) = graph.explain((finding,), Site(settings()), load)
        assert (cause.verdict, bool(cause.speaks_against)) == (verdict, verdict is Verdict.PROBABLE)


def test_a_fault_that_no_cause_knows_is_inconclusive_and_narrowed_down() -> None:
    lost = Finding(
        "minio.bucket.missing", Status.CRITICAL, "minio/db", "The bucket avatars is missing", server="db",
        hint="mc ls lab",
    )  # fmt: skip
    near = Finding("minio.service.unreachable", Status.OK, "minio/db", "MinIO answers", server="db")
    untidy = Finding("redis.hits.low", Status.WARNING, "redis/workers", "Few lookups find something")
    findings, causes = graph.explain((lost, near, untidy), Site(settings()))
    (cause,) = causes
    assert (cause.verdict, cause.subject) == (Verdict.INCONCLUSIVE, "minio/db")
    assert cause.title == "The bucket avatars is missing; no known cause explains it"
    assert cause.speaks_against == ("not there: MinIO answers",)
    assert cause.fixes[0].commands == ("samaops explain minio.bucket.missing", "mc ls lab")
    assert [one.cause for one in findings] == [cause.id, None, None]


def test_what_was_skipped_belongs_to_the_finding_that_stands_in_its_way() -> None:
    down = Finding(
        "redis.service.unreachable", Status.CRITICAL, "redis/workers", "", evidence={"kind": "refused"}
    )
    skipped = Finding(
        "redis.memory.high", Status.SKIPPED, "redis/workers", "", detail=f"not looked at, see {down.key}"
    )
    elsewhere = Finding(
        "pgbouncer.query.failed", Status.SKIPPED, "pgbouncer/db", "", detail="looked at the console"
    )
    findings, causes = graph.explain((down, skipped, elsewhere), Site(settings()))
    assert [one.cause for one in findings] == ["redis-down", "redis-down", None]
    assert causes[0].explains == (down.key, skipped.key)


def unreachable(code: str, kind: str) -> Finding:
    evidence = {"kind": kind}
    return Finding(code, Status.CRITICAL, "redis/workers", "no answer", server="workers", evidence=evidence)


@pytest.mark.parametrize(
    ("is_in", "kind", "cause", "restarts"),
    [
        (True, "silent", "redis-port-dropped", False),
        (False, "silent", "redis-down", True),
        (True, "no_answer", "redis-hung", True),
    ],
)
def test_a_port_that_is_silent_on_a_server_that_answers_is_filtered_and_not_restarted(
    is_in: bool, kind: str, cause: str, restarts: bool
) -> None:
    status = Status.OK if is_in else Status.UNKNOWN
    log_in = Finding("servers.ssh.unreachable", status, "servers/workers", "", server="workers")
    found = (unreachable("redis.service.unreachable", kind), log_in)
    _findings, causes = graph.explain(found, Site(settings()))
    (root,) = [one for one in causes if one.id.startswith("redis")]
    assert root.id == cause
    assert any("restart" in command for fix in root.fixes for command in fix.commands) == restarts


def test_a_container_is_created_again_from_the_file_that_names_it_and_leaves_its_neighbours() -> None:
    missing = Finding(
        "docker.container.missing", Status.CRITICAL, "docker/samaconso_redis", "", server="workers"
    )
    _findings, causes = graph.explain((missing,), Site(settings()))
    (command,) = causes[0].fixes[0].commands
    assert "grep -lw -- samaconso_redis docker-compose*.yml" in command
    assert "--no-recreate" in command


@pytest.mark.parametrize(("is_inferred", "verdict"), [(True, Verdict.PROBABLE), (False, Verdict.CONFIRMED)])
def test_a_pause_that_nobody_has_seen_is_only_probable(is_inferred: bool, verdict: Verdict) -> None:
    evidence = {"database": "samaconso", "all": True, "inferred": is_inferred}
    paused = Finding("pgbouncer.pool.paused", Status.CRITICAL, "pgbouncer/db", "", evidence=evidence)
    _findings, causes = graph.explain((paused,), Site(settings()))
    assert causes[0].verdict is verdict
    assert ("log" in causes[0].fixes[0].title) == is_inferred


def test_a_cause_says_nothing_twice() -> None:
    silent = [
        Finding(
            code,
            Status.CRITICAL,
            f"{code.partition('.')[0]}/api",
            "no answer",
            server="api",
            evidence={"kind": "silent"},
        )
        for code in (
            "rabbitmq.service.unreachable",
            "rabbitmq.amqp.unreachable",
            "api.member.unreachable",
            "servers.ssh.unreachable",
        )
    ]
    _findings, causes = graph.explain(tuple(silent), Site(settings()))
    assert causes
    for cause in causes:
        assert len(cause.speaks_for) == len(set(cause.speaks_for))


def test_the_command_for_the_network_team_asks_for_the_host_that_is_blocked() -> None:
    blocked = Finding(
        "proxy.host.blocked",
        Status.CRITICAL,
        "proxy/fcm.googleapis.com",
        "The proxy blocks fcm.googleapis.com",
        evidence={"host": "fcm.googleapis.com"},
    )
    _findings, causes = graph.explain((blocked,), Site(settings()))
    assert "https://fcm.googleapis.com/" in causes[0].fixes[0].commands[1]


@pytest.mark.parametrize("name", ["lock_chain", "inactive_slot_fills_disk"])
def test_what_our_own_user_may_not_do_is_proposed_as_one_who_may(name: str) -> None:
    path = next(one for one in CASES if one.stem == name)
    _findings, causes = graph.explain(
        findings_of(json.loads(path.read_text(encoding="utf-8"))), Site(settings())
    )
    changing = [
        command
        for fix in causes[0].fixes
        for command in fix.commands
        if "pg_terminate" in command or "pg_cancel" in command or "pg_drop" in command
    ]
    assert changing
    assert all("sudo -u postgres psql " in command for command in changing)


def test_a_minority_of_one_refusal_is_only_probable_and_says_so() -> None:
    failing = Finding(
        "celery.tasks.failing",
        Status.CRITICAL,
        "celery/tasks",
        "10 of the last 40 tasks failed",
        evidence={"exception": "UnregisteredError('x')", "exception_count": 4, "exception_of": 10},
    )
    _findings, causes = graph.explain((failing,), Site(settings()))
    assert (causes[0].id, causes[0].verdict) == ("dead-tokens", Verdict.PROBABLE)
    assert causes[0].speaks_against == ("6 of the last 10 failures have other reasons",)


def test_what_is_done_about_a_refusal_changes_nothing_and_shows_no_private_key() -> None:
    for refusal in task_exceptions.REFUSALS:
        for command in task_exceptions.looks(refusal, Site(settings())):
            assert not any(word in command for word in (" rm ", "restart", "purge", "printenv", "cat "))
            assert "private_key" not in command.replace("private_key_id", "")


@pytest.mark.parametrize(
    "case", ["proxy_down", "proxy_intercepts_tls", "google_token_host_unreachable_behind_the_proxy"]
)
def test_a_letter_to_the_network_team_is_written_by_the_first_command_proposed(case: str) -> None:
    path = next(one for one in CASES if one.stem == case)
    found = findings_of(json.loads(path.read_text(encoding="utf-8")))
    _findings, causes = graph.explain(found, Site(settings()))
    commands = causes[0].fixes[0].commands
    assert commands[0] == "samaops troubleshoot notifications"
    assert any(one.startswith(("curl -sv -x", "openssl s_client")) for one in commands[1:])


@pytest.mark.parametrize(
    ("exit_code", "kernel", "verdict"),
    [
        (0, None, Verdict.CONFIRMED),
        (137, Status.OK, Verdict.CONFIRMED),
        (137, Status.UNKNOWN, Verdict.PROBABLE),
        (137, None, Verdict.PROBABLE),
    ],
)
def test_a_killed_container_was_stopped_for_sure_only_where_the_kernel_did_not_do_it(
    exit_code: int, kernel: Status | None, verdict: Verdict
) -> None:
    name = "docker/samaconso_redis"
    stopped = Finding(
        "docker.container.stopped",
        Status.CRITICAL,
        name,
        "",
        server="workers",
        evidence={"exit_code": exit_code},
    )
    log = [Finding("servers.oom.killed", kernel, "servers/workers", "", server="workers")] if kernel else []
    _findings, causes = graph.explain((stopped, *log), Site(settings()))
    assert [(cause.id, cause.verdict) for cause in causes] == [("container-stopped", verdict)]


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_balancer_is_at_fault_for_sure_only_where_a_member_was_seen_to_serve(is_seen: bool) -> None:
    fails = Finding("loadbalancer.vip.failing", Status.CRITICAL, "loadbalancer/vip", "")
    serves = Finding("api.member.unreachable", Status.OK, "api/api_1", "")
    _findings, causes = graph.explain((fails, serves) if is_seen else (fails,), Site(settings()))
    assert causes[0].verdict is (Verdict.CONFIRMED if is_seen else Verdict.PROBABLE)


@pytest.mark.parametrize(
    ("stage", "is_logged_in"),
    [("ssh log-in", False), ("connect", False), ("host key", False), ("ssh session", True), ("script", True)],
)
def test_a_server_that_runs_nothing_is_told_from_one_that_lets_nobody_in(
    stage: str, is_logged_in: bool
) -> None:
    finding = Finding(
        code="servers.ssh.unreachable",
        status=Status.UNKNOWN,
        subject="servers/api",
        title="servers/api could not be looked at",
        server="api",
        evidence={"kind": "error", "stage": stage},
    )
    _findings, (cause,) = graph.explain((finding,), Site(settings()))
    assert ("lets us log in" in cause.title) == is_logged_in
    assert ("MaxSessions" in cause.fixes[0].title) == is_logged_in
