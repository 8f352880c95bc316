"""What ``INFO`` and ``CONFIG`` tell of Redis, as facts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from samaops.collect.values import decimal, lacking, needed, whole
from samaops.config.settings import Redis
from samaops.facts.portrait import Things, Trait, gather
from samaops.facts.redis import (
    ClientBuffer,
    KeySample,
    RedisConnections,
    RedisFacts,
    RedisMemory,
    RedisPersistence,
    RedisTraffic,
)
from samaops.journal import digests


def facts_of(
    info: Mapping[str, Any],
    config: Mapping[str, str],
    settings: Redis,
    ping_ms: float,
    *,
    buffer: ClientBuffer | None,
    sample: KeySample | None,
    rate: float | None,
) -> RedisFacts:
    """Return the facts that one reading of INFO and CONFIG gives; the other parts are read besides."""
    keys, expiring = keyspace(info)
    return RedisFacts(
        version=str(info.get("redis_version", "")),
        uptime_seconds=number(info, "uptime_in_seconds"),
        ping_ms=ping_ms,
        container=settings.container,
        memory=_memory(info),
        traffic=_traffic(info, rate),
        connections=RedisConnections(
            connected=number(info, "connected_clients"),
            maximum=number(info, "maxclients"),
            blocked=number(info, "blocked_clients"),
            rejected=number(info, "rejected_connections"),
        ),
        persistence=_persistence(info, config),
        keys=keys,
        keys_with_expiry=expiring,
        largest_buffer=buffer,
        sample=sample,
        configuration=_configuration(info, config),
    )


def _memory(info: Mapping[str, Any]) -> RedisMemory:
    used = number(info, "used_memory")
    return RedisMemory(
        used=used,
        counted=used - (whole(info, "mem_not_counted_for_evict") or 0),
        resident=number(info, "used_memory_rss"),
        maximum=number(info, "maxmemory"),
        policy=str(needed(info, "maxmemory_policy", stage="INFO")),
        system_total=number(info, "total_system_memory"),
        fragmentation_ratio=_float(info, "mem_fragmentation_ratio"),
        fragmented=whole(info, "allocator_frag_bytes"),
        purgeable=whole(info, "allocator_rss_bytes"),
    )


def _traffic(info: Mapping[str, Any], rate: float | None) -> RedisTraffic:
    refused = {}
    for error in ("OOM", "MISCONF"):
        stated = info.get(f"errorstat_{error}")  # it has one only after the first of them
        refused[error] = 0 if stated is None else number(_table(info, f"errorstat_{error}"), "count")
    return RedisTraffic(
        hits=number(info, "keyspace_hits"),
        misses=number(info, "keyspace_misses"),
        evicted=number(info, "evicted_keys"),
        evicted_per_second=rate,
        refused_writes=refused,
        stale_percent=_float(info, "expired_stale_perc") if major_version(info) >= 5 else None,
    )


def _persistence(info: Mapping[str, Any], config: Mapping[str, str]) -> RedisPersistence:
    now = (whole(info, "server_time_usec") or 0) / 1_000_000 or time.time()
    stops = config.get("stop-writes-on-bgsave-error")
    return RedisPersistence(
        bgsave_ok=needed(info, "rdb_last_bgsave_status", stage="INFO") == "ok",
        seconds_since_save=max(0, round(now - number(info, "rdb_last_save_time"))),
        changes_since_save=number(info, "rdb_changes_since_last_save"),
        aof_enabled=needed(info, "aof_enabled", stage="INFO") == 1,
        aof_write_ok=needed(info, "aof_last_write_status", stage="INFO") == "ok",
        aof_rewrite_ok=needed(info, "aof_last_bgrewrite_status", stage="INFO") == "ok",
        fork_microseconds=number(info, "latest_fork_usec"),
        copy_on_write_bytes=whole(info, "rdb_last_cow_size") or 0,
        save_points=config.get("save"),
        stops_writes=None if stops is None else stops == "yes",
    )


def keyspace(info: Mapping[str, Any], database: int | None = None) -> tuple[int, int]:
    """Return keys and keys with expiry, of all databases or of one."""
    keys = expiring = 0
    for name in info:
        numbered = name.startswith("db") and name[2:].isdigit()
        if numbered and (database is None or name == f"db{database}"):
            keys += number(_table(info, name), "keys")
            expiring += number(_table(info, name), "expires")
    return keys, expiring


def _table(info: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a line of several values, such as ``db0:keys=1,expires=0``; empty when it is not there."""
    value = info.get(name)
    return value if isinstance(value, Mapping) else {}


def _configuration(info: Mapping[str, Any], config: Mapping[str, str]) -> Things | None:
    """Return what is set, without passwords, and which start this is; None when CONFIG is not allowed."""
    if not config:
        return None
    started = time.time() - number(info, "uptime_in_seconds")
    rows = [
        ("service", "Redis", "started", Trait(str(info.get("run_id", "")), started)),
        ("service", "Redis", "role", Trait(str(info.get("role", "")))),
    ]
    rows += [
        ("setting", name, "", Trait(digests.unless_harmless(name, value))) for name, value in config.items()
    ]
    return gather(("setting",), rows)


def major_version(info: Mapping[str, Any]) -> int:
    """Return the first part of its version. Raises ClientError where that is none."""
    major = str(needed(info, "redis_version", stage="INFO")).partition(".")[0]
    if not major.isdecimal():
        raise lacking("redis_version", stage="INFO")
    return int(major)


def number(values: Mapping[str, Any], name: str) -> int:
    """Return a number that every version gives. Raises ClientError where it is absent."""
    value = whole(values, name)
    if value is None:
        raise lacking(name, stage="INFO")
    return value


def _float(values: Mapping[str, Any], name: str) -> float:
    value = decimal(values, name)
    if value is None:
        raise lacking(name, stage="INFO")
    return float(value)
