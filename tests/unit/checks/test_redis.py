"""Every check of Redis on facts given as data: ok, warning, critical, could not look."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from samaops.checks.registry import Context, rules
from samaops.collect.redis.keys import prefix_of, summarize
from samaops.config.settings import Settings
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.redis import (
    ClientBuffer,
    DeniedCommand,
    RedisConnections,
    RedisFacts,
    RedisMemory,
    RedisPersistence,
    RedisTraffic,
    RedisWriting,
)
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from samaops.site.site import Site
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields

SUBJECT = "redis/workers"
MB = 1024 * 1024
SETTINGS = Settings.model_validate({"servers": {"workers": {"address": "10.0.0.3"}}, "redis": {}})
OK, WARNING, CRITICAL = Status.OK, Status.WARNING, Status.CRITICAL
UUID = "0a1b2c3d-0000-4000-8000-{:012d}"


def keys(results: int = 0, forever: int = 0, cache: int = 100, cache_forever: int = 0, of: int = 0) -> Any:
    """Return a sample: Celery results and cache entries of 1 kB, with and without expiry."""
    seen = [(f"celery-task-meta-{UUID.format(n)}", n < forever, 1024) for n in range(results)]
    seen += [(f"samaconso:consumption:{n}", n < cache_forever, 1024) for n in range(cache)]
    return summarize(seen, of or len(seen))


HEALTHY = RedisFacts(
    version="7.4.4",
    uptime_seconds=864_000,
    ping_ms=0.3,
    container="samaconso_redis",
    memory=RedisMemory(
        used=1000 * MB,
        counted=1000 * MB,
        resident=1050 * MB,
        maximum=3000 * MB,
        policy="allkeys-lru",
        system_total=8192 * MB,
        fragmentation_ratio=1.05,
    ),
    traffic=RedisTraffic(
        hits=9000, misses=1000, evicted=0, evicted_per_second=None, refused_writes={}, stale_percent=0.4
    ),
    connections=RedisConnections(connected=40, maximum=10_000, blocked=0, rejected=0),
    persistence=RedisPersistence(
        bgsave_ok=True,
        seconds_since_save=120,
        changes_since_save=10,
        aof_enabled=True,
        aof_write_ok=True,
        aof_rewrite_ok=True,
        fork_microseconds=20_000,
        copy_on_write_bytes=MB,
        save_points="900 1 300 10 60 10000",
        stops_writes=True,
    ),
    keys=1_000_000,
    keys_with_expiry=1_000_000,
    largest_buffer=ClientBuffer("10.0.0.2:40000", "", "get", 20_000, 80_000, 40),
    sample=keys(results=100, cache=900),
    writing=RedisWriting("master", is_held=False, refusal=""),
    denied=(),
    backlog=(),
)
DENIED = DeniedCommand("samaconso", "command", "set", 40, 2.0)
FULL = {"memory.used": 2990 * MB, "memory.counted": 2990 * MB, "memory.resident": 3000 * MB}
OVER = {"memory.used": 3001 * MB, "memory.counted": 3001 * MB, "memory.resident": 3010 * MB}
NO_ROOM = {"memory.used": 3000 * MB - 1, "memory.counted": 3000 * MB - 1, "memory.resident": 3010 * MB}
REFUSED = {"traffic.refused_writes": {"OOM": 500}}
HALF_FULL = {"memory.used": 1800 * MB, "memory.counted": 1800 * MB, "memory.resident": 1900 * MB}
NOEVICTION = {"memory.policy": "noeviction"}
EVICTING = {"traffic.evicted": 5000, "traffic.evicted_per_second": 500.0}

CASES: list[tuple[str, Status, dict[str, Any]]] = [
    ("redis.service.unreachable", OK, {}),
    ("redis.latency.high", OK, {}),
    ("redis.latency.high", WARNING, {"ping_ms": 20.0}),
    ("redis.latency.high", CRITICAL, {"ping_ms": 250.0}),
    ("redis.memory.high", OK, {}),
    ("redis.memory.high", OK, FULL),  # a full cache that evicts slowly is by design
    ("redis.memory.high", WARNING, {**FULL, **EVICTING}),
    ("redis.memory.high", WARNING, {**FULL, "traffic.evicted": 5, "traffic.hits": 100}),
    ("redis.memory.high", WARNING, {**NOEVICTION, "memory.counted": 2500 * MB}),
    ("redis.memory.high", CRITICAL, {**FULL, **NOEVICTION}),
    ("redis.memory.high", CRITICAL, {**FULL, "memory.policy": "volatile-lru", "keys_with_expiry": 0}),
    ("redis.memory.high", OK, {"memory.maximum": 0}),
    ("redis.memory.refusing_writes", OK, {}),
    ("redis.memory.refusing_writes", OK, {**FULL, **NOEVICTION}),
    ("redis.memory.refusing_writes", OK, REFUSED),  # once, and not now
    ("redis.memory.refusing_writes", OK, OVER),  # the next write evicts
    ("redis.memory.refusing_writes", CRITICAL, {**OVER, **NOEVICTION}),
    # It refuses most writes, and just now one byte of the 3,000 MB is free.
    ("redis.memory.refusing_writes", OK, {**NO_ROOM, **NOEVICTION}),
    ("redis.memory.refusing_writes", OK, {**NO_ROOM, **REFUSED}),  # the next write evicts
    ("redis.memory.refusing_writes", CRITICAL, {**NO_ROOM, **NOEVICTION, **REFUSED}),
    ("redis.memory.refusing_writes", OK, {**FULL, **NOEVICTION, **REFUSED}),
    ("redis.memory.refusing_writes", CRITICAL, {"persistence.bgsave_ok": False}),
    ("redis.memory.refusing_writes", CRITICAL, {"persistence.aof_write_ok": False}),
    ("redis.memory.refusing_writes", OK, {"persistence.bgsave_ok": False, "persistence.stops_writes": False}),
    ("redis.write.refused", OK, {}),
    ("redis.write.refused", CRITICAL, {"writing.is_held": True}),
    ("redis.acl.denied", OK, {}),
    ("redis.acl.denied", WARNING, {"denied": (DENIED,)}),
    ("redis.memory.over_container", OK, {}),
    ("redis.memory.over_container", WARNING, {"memory.maximum": 0}),
    ("redis.memory.over_container", WARNING, {"memory.maximum": 8000 * MB}),
    ("redis.policy.different", OK, {}),
    ("redis.policy.different", WARNING, NOEVICTION),
    ("redis.evictions.high", OK, {"traffic.evicted": 9, "traffic.evicted_per_second": 3.0}),
    ("redis.evictions.high", WARNING, EVICTING),
    ("redis.hits.low", OK, {}),
    ("redis.hits.low", OK, {"traffic.hits": 1, "traffic.misses": 99}),  # too few to judge
    ("redis.hits.low", WARNING, {"traffic.hits": 1000, "traffic.misses": 9000}),
    ("redis.connections.rejected", OK, {"connections.rejected": 3}),
    ("redis.connections.rejected", WARNING, {"connections.connected": 8000}),
    ("redis.connections.rejected", CRITICAL, {"connections.connected": 9990}),
    ("redis.clients.blocked", OK, {}),
    ("redis.clients.blocked", WARNING, {"connections.blocked": 20}),
    ("redis.clients.buffers", OK, {}),
    ("redis.clients.buffers", OK, {"largest_buffer": None}),
    ("redis.clients.buffers", WARNING, {"largest_buffer.largest_bytes": 400 * MB}),
    ("redis.persistence.failing", OK, {}),
    ("redis.persistence.failing", OK, {"persistence.save_points": None}),
    ("redis.persistence.failing", WARNING, {"persistence.aof_rewrite_ok": False}),
    ("redis.persistence.failing", WARNING, {"persistence.aof_enabled": False, "persistence.save_points": ""}),
    (
        "redis.persistence.failing",
        WARNING,
        {"persistence.aof_enabled": False, "persistence.seconds_since_save": 7200},
    ),
    ("redis.persistence.failing", CRITICAL, {"persistence.bgsave_ok": False}),
    ("redis.persistence.failing", CRITICAL, {"persistence.aof_write_ok": False}),
    ("redis.fork.failing", OK, {}),
    ("redis.fork.failing", WARNING, {"persistence.fork_microseconds": 1_500_000}),
    ("redis.fork.failing", WARNING, {"persistence.bgsave_ok": False}),
    (
        "redis.fork.failing",
        OK,
        {"persistence.bgsave_ok": False, "persistence.aof_write_ok": False},
    ),  # the disk
    ("redis.fragmentation.high", OK, {}),
    ("redis.fragmentation.high", OK, {"memory.fragmentation_ratio": 9.0}),  # of nearly nothing
    ("redis.fragmentation.high", WARNING, {"memory.fragmentation_ratio": 1.8, "memory.resident": 1800 * MB}),
    ("redis.fragmentation.high", WARNING, {"memory.resident": 500 * MB}),  # swapped
    ("redis.keys.no_expiry", OK, {}),
    ("redis.keys.no_expiry", OK, {"sample": keys(cache=0)}),
    ("redis.keys.no_expiry", OK, {"sample": keys(cache=100, cache_forever=100)}),  # memory is nearly free
    ("redis.keys.no_expiry", WARNING, {**HALF_FULL, "sample": keys(cache=100, cache_forever=90)}),
    ("redis.keys.no_expiry", WARNING, {"sample": keys(results=200, forever=200, cache=800)}),
    ("redis.keys.big", OK, {}),
    ("redis.keys.big", OK, {"sample": None}),
    ("redis.keys.big", WARNING, {"sample": summarize([("audit", True, 600 * MB)], 1)}),
    ("redis.keys.big", WARNING, {**FULL, "sample": keys(cache=1000, of=2000)}),  # explain next to nothing
]


@pytest.mark.parametrize(("code", "status", "changes"), CASES)
def test_facts_lead_to_this_finding(code: str, status: Status, changes: dict[str, Any]) -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, changes), SUBJECT))
    finding = found[f"{code}@{SUBJECT}"]
    assert finding.status is status, finding.title
    if status is not OK:
        assert finding.hint


def test_every_check_has_its_cases() -> None:
    seen: dict[str, set[Status]] = {}
    for code, status, _changes in CASES:
        seen.setdefault(code, set()).add(status)
    assert uncovered("redis", seen) == []


def test_a_healthy_redis_has_nothing_but_ok() -> None:
    found = findings(SETTINGS, observed(HEALTHY, SUBJECT))
    assert {finding.status for finding in found.values()} == {OK}


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("client_list", "redis.clients.buffers"),
        ("keys", "redis.keys.no_expiry"),
        ("keys", "redis.keys.big"),
        ("eviction_rate", "redis.evictions.high"),
        ("writing", "redis.write.refused"),
        ("denied", "redis.acl.denied"),
    ],
)
def test_a_part_we_may_not_see_is_unknown(part: str, code: str) -> None:
    facts = with_fields(HEALTHY, {"largest_buffer": None, "sample": None})
    finding = findings(SETTINGS, observed(facts, SUBJECT, missing=(part,)))[f"{code}@{SUBJECT}"]
    assert finding.status is Status.UNKNOWN
    assert "not allowed" in finding.detail


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FailureKind.REFUSED, CRITICAL),
        (FailureKind.NO_ANSWER, CRITICAL),
        (FailureKind.UNAVAILABLE, CRITICAL),
        (FailureKind.AUTHENTICATION, Status.UNKNOWN),
        (FailureKind.PERMISSION, Status.UNKNOWN),
    ],
)
def test_one_finding_speaks_when_redis_cannot_be_looked_at(kind: FailureKind, status: Status) -> None:
    found = findings(SETTINGS, failed(RedisFacts, SUBJECT, kind))
    access = found.pop(f"redis.service.unreachable@{SUBJECT}")
    assert access.status is status
    assert {finding.status for finding in found.values()} == {Status.SKIPPED}


def docker_with(name: str, memory_limit: int) -> DockerFacts:
    """Return the facts of an engine that runs one container."""
    container = Container(
        name=name,
        id="1",
        image="redis:7.4.4-alpine",
        image_id="sha256:1",
        state="running",
        health="healthy",
        health_log="",
        restart_count=0,
        restart_policy="unless-stopped",
        oom_killed=False,
        exit_code=0,
        error="",
        pid=1,
        started_at=None,
        finished_at=None,
        memory_limit=memory_limit,
        log_path="",
        log_bytes=None,
        log_max_size=None,
        project=None,
        service=None,
    )
    return DockerFacts(
        epoch=0.0, memory_total=8192 * MB, expected=(name,), containers=(container,), logs_seen=True, disk=()
    )


@pytest.mark.parametrize(("limit_mb", "status"), [(3000, WARNING), (2000, WARNING), (4500, OK), (0, OK)])
def test_maxmemory_must_leave_room_in_the_container(limit_mb: int, status: Status) -> None:
    docker = observed(docker_with("samaconso_redis", limit_mb * MB), "docker/workers")
    judged = _over_container(HEALTHY, docker)
    assert judged.status is status
    assert judged.evidence["limit_of"] == ("container" if limit_mb else "server")


def test_a_docker_that_could_not_be_looked_at_leaves_the_comparison_unknown() -> None:
    assert (
        _over_container(HEALTHY, failed(DockerFacts, "docker/workers", FailureKind.REFUSED)).status
        is Status.UNKNOWN
    )


def test_where_there_is_no_docker_the_comparison_is_unknown_for_that_reason_and_nobody_is_sent_to_docker() -> (
    None
):
    judged = _over_container(HEALTHY, failed(DockerFacts, "docker/workers", FailureKind.ABSENT))
    assert judged.status is Status.UNKNOWN
    assert "the other side's own words" in judged.detail
    assert judged.hint == "samaops explain redis.memory.over_container"


def _over_container(facts: RedisFacts, docker: Any) -> Any:
    rule = next(rule for rule in rules(("redis",)) if rule.code == "redis.memory.over_container")
    snapshot = Snapshot(datetime.now(timezone.utc), (observed(facts, SUBJECT), docker))
    context = Context(rule, Site(SETTINGS), snapshot, "redis/all", None, rule.warning, rule.critical)
    (finding,) = rule.judge(snapshot, context)
    return finding


def test_celery_results_and_cache_are_told_apart_by_prefix() -> None:
    leaking = with_fields(HEALTHY, {**HALF_FULL, "sample": keys(results=500, forever=500, cache=100)})
    evidence = findings(SETTINGS, observed(leaking, SUBJECT))[f"redis.keys.no_expiry@{SUBJECT}"].evidence
    assert evidence["dominant_prefix"] == "celery-task-meta-"
    assert evidence["by_prefix"]["celery-task-meta-"] == {"keys": 500, "no_expiry": 500, "bytes": 500 * 1024}
    cache = with_fields(HEALTHY, {**HALF_FULL, "sample": keys(results=50, cache=500, cache_forever=500)})
    evidence = findings(SETTINGS, observed(cache, SUBJECT))[f"redis.keys.no_expiry@{SUBJECT}"].evidence
    assert evidence["dominant_prefix"] == "samaconso:consumption:"


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        (f"celery-task-meta-{UUID.format(7)}", "celery-task-meta-"),
        ("samaconso:consumption:123456", "samaconso:consumption:"),
        ("session:3f786850e387550fdab836ed7e6dc881de23001b:data", "session:"),
        ("user:fatou:profile", "user:fatou:"),
        ("audit", "audit"),
        ("_kombu.binding.celery", "_kombu.binding.celery"),
        (f"{UUID.format(1)}.reply.celery.pidbox", "*.reply.celery.pidbox"),
        (UUID.format(1), UUID.format(1)),
    ],
)
def test_a_prefix_is_what_keys_have_in_common(key: str, prefix: str) -> None:
    assert prefix_of(key) == prefix


def test_hostile_key_names_stay_data_and_never_reach_a_command_line() -> None:
    name = "[red]$(reboot)\x1b[2J'; rm -rf /" + "x" * 10_000
    facts = with_fields(HEALTHY, {**HALF_FULL, "sample": summarize([(name, True, 1000 * MB)], 1)})
    for finding in findings(SETTINGS, observed(facts, SUBJECT)).values():
        assert "reboot)" not in (finding.hint or "")
        assert len(finding.title) < 500
