"""What is observed of Redis: ``INFO``, the largest client buffers, and a bounded sample of its keys."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from samaops.clients.redis import RedisClient
from samaops.collect.engine import Probe
from samaops.collect.registry import collects
from samaops.collect.values import decimal, lacking, needed, whole
from samaops.config.settings import Redis
from samaops.facts.redis import (
    ClientBuffer,
    KeyGroup,
    KeySample,
    RedisConnections,
    RedisFacts,
    RedisMemory,
    RedisPersistence,
    RedisTraffic,
)
from samaops.site.site import Site

PINGS = 3
RATE_SECONDS = 0.5  # how far two readings of the counters are apart, when something is being evicted
SAMPLE_SECONDS = 1.0
SHOWN_PREFIXES = 12
KEY_CHARACTERS = 200
# What identifies one thing inside a key: a UUID, a number, a long hexadecimal word.
_IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{12,}|\d+", re.IGNORECASE)


@collects("redis", RedisFacts)
def look(redis: Redis, site: Site, probe: Probe) -> RedisFacts:
    """Read Redis over one connection."""
    return observe(site.host_of(redis), redis, probe)


def observe(host: str, settings: Redis, probe: Probe) -> RedisFacts:
    """Read one Redis server."""
    probe.stage("connect")
    client = RedisClient(host, settings)
    try:
        client.connect()
        return _read(client, settings, probe)
    finally:
        client.close()


def _read(client: RedisClient, settings: Redis, probe: Probe) -> RedisFacts:
    ping_ms = min(client.ping_ms() for _number in range(PINGS))
    probe.stage("INFO")
    info = client.info()
    read_at = time.monotonic()
    config: Mapping[str, str] = {}
    if probe.wants("redis.persistence", "redis.memory.refusing_writes"):
        config = probe.attempt("config", lambda: _saving(client)) or {}
    buffer = sample = rate = None
    if probe.wants("redis.clients.buffers"):
        buffer = probe.attempt("client_list", lambda: _largest_buffer(client))
    keys, _expiring = _keyspace(info, settings.database)
    if probe.wants("redis.keys.no_expiry", "redis.keys.big"):
        sample = probe.attempt("keys", lambda: _sample(client, settings.sample_keys, keys))
    if _int(info, "evicted_keys") and probe.wants("redis.evictions.high", "redis.memory.high"):
        rate = probe.attempt("eviction_rate", lambda: _evictions_per_second(client, info, read_at))
    return _facts(info, config, settings, round(ping_ms, 2), buffer=buffer, sample=sample, rate=rate)


def _saving(client: RedisClient) -> dict[str, str]:
    names = ("save", "stop-writes-on-bgsave-error")  # one by one: several at once need Redis 7
    return {str(key): str(value) for name in names for key, value in client.config_get(name).items()}


def _facts(
    info: Mapping[str, Any],
    config: Mapping[str, str],
    settings: Redis,
    ping_ms: float,
    *,
    buffer: ClientBuffer | None,
    sample: KeySample | None,
    rate: float | None,
) -> RedisFacts:
    keys, expiring = _keyspace(info)
    return RedisFacts(
        version=str(info.get("redis_version", "")),
        uptime_seconds=_int(info, "uptime_in_seconds"),
        ping_ms=ping_ms,
        container=settings.container,
        memory=_memory(info),
        traffic=_traffic(info, rate),
        connections=RedisConnections(
            connected=_int(info, "connected_clients"),
            maximum=_int(info, "maxclients"),
            blocked=_int(info, "blocked_clients"),
            rejected=_int(info, "rejected_connections"),
        ),
        persistence=_persistence(info, config),
        keys=keys,
        keys_with_expiry=expiring,
        largest_buffer=buffer,
        sample=sample,
    )


def _memory(info: Mapping[str, Any]) -> RedisMemory:
    used = _int(info, "used_memory")
    return RedisMemory(
        used=used,
        counted=used - (whole(info, "mem_not_counted_for_evict") or 0),
        resident=_int(info, "used_memory_rss"),
        maximum=_int(info, "maxmemory"),
        policy=str(needed(info, "maxmemory_policy", stage="INFO")),
        system_total=_int(info, "total_system_memory"),
        fragmentation_ratio=_float(info, "mem_fragmentation_ratio"),
    )


def _traffic(info: Mapping[str, Any], rate: float | None) -> RedisTraffic:
    refused = {}
    for error in ("OOM", "MISCONF"):
        stated = info.get(f"errorstat_{error}")  # it has one only after the first of them
        refused[error] = 0 if stated is None else _int(_table(info, f"errorstat_{error}"), "count")
    return RedisTraffic(
        hits=_int(info, "keyspace_hits"),
        misses=_int(info, "keyspace_misses"),
        evicted=_int(info, "evicted_keys"),
        evicted_per_second=rate,
        refused_writes=refused,
    )


def _persistence(info: Mapping[str, Any], config: Mapping[str, str]) -> RedisPersistence:
    now = (whole(info, "server_time_usec") or 0) / 1_000_000 or time.time()
    stops = config.get("stop-writes-on-bgsave-error")
    return RedisPersistence(
        bgsave_ok=needed(info, "rdb_last_bgsave_status", stage="INFO") == "ok",
        seconds_since_save=max(0, round(now - _int(info, "rdb_last_save_time"))),
        changes_since_save=_int(info, "rdb_changes_since_last_save"),
        aof_enabled=needed(info, "aof_enabled", stage="INFO") == 1,
        aof_write_ok=needed(info, "aof_last_write_status", stage="INFO") == "ok",
        aof_rewrite_ok=needed(info, "aof_last_bgrewrite_status", stage="INFO") == "ok",
        fork_microseconds=_int(info, "latest_fork_usec"),
        copy_on_write_bytes=whole(info, "rdb_last_cow_size") or 0,
        save_points=config.get("save"),
        stops_writes=None if stops is None else stops == "yes",
    )


def _keyspace(info: Mapping[str, Any], database: int | None = None) -> tuple[int, int]:
    """Return keys and keys with expiry, of all databases or of one."""
    keys = expiring = 0
    for name in info:
        numbered = name.startswith("db") and name[2:].isdigit()
        if numbered and (database is None or name == f"db{database}"):
            keys += _int(_table(info, name), "keys")
            expiring += _int(_table(info, name), "expires")
    return keys, expiring


def _evictions_per_second(client: RedisClient, before: Mapping[str, Any], read_at: float) -> float:
    time.sleep(max(0.0, read_at + RATE_SECONDS - time.monotonic()))
    after = client.info("stats")
    seconds = time.monotonic() - read_at
    return round((_int(after, "evicted_keys") - _int(before, "evicted_keys")) / seconds, 1)


def _largest_buffer(client: RedisClient) -> ClientBuffer | None:
    clients: list[dict[str, str]] = client.client_list()
    if not clients:
        raise lacking("addr", stage="CLIENT LIST")  # we are one of them
    sizes = [sum(_size(row, name) for name in ("omem", "qbuf", "argv-mem")) for row in clients]
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    row = clients[largest]
    return ClientBuffer(
        address=row.get("addr", ""),
        name=(row.get("name") or "")[:KEY_CHARACTERS],
        command=row.get("cmd", ""),
        largest_bytes=sizes[largest],
        total_bytes=sum(sizes),
        clients=len(clients),
    )


def _size(row: Mapping[str, str], name: str) -> int:
    text = row.get(name)
    if name == "omem" and not (text and text.isdecimal()):
        raise lacking(name, stage="CLIENT LIST")
    return int(text) if text and text.isdecimal() else 0  # the others came with later versions


def _sample(client: RedisClient, at_most: int, database_keys: int) -> KeySample:
    sampled: list[tuple[str, bool, int]] = []
    for keys in _batches(client, at_most):
        for key, (milliseconds, size) in zip(keys, client.expiry_and_size(keys), strict=True):
            if milliseconds != -2:  # -2: gone in the meantime
                sampled.append((key.decode("utf-8", "backslashreplace"), milliseconds == -1, size or 0))
    return summarize(sampled, database_keys)


def _batches(client: RedisClient, at_most: int) -> Iterator[list[Any]]:
    """Yield keys until enough were seen, none are left, or the time is over. Not scan_iter: it may find none for long."""
    ends_at, count, cursor = time.monotonic() + SAMPLE_SECONDS, 0, 0
    while count < at_most and time.monotonic() < ends_at:
        cursor, keys = client.scan(cursor, count=min(500, at_most))
        keys = keys[: at_most - count]
        count += len(keys)
        if keys:
            yield keys
        if cursor == 0:
            return


def summarize(sampled: Iterable[tuple[str, bool, int]], database_keys: int) -> KeySample:
    """Group sampled keys, each given as name, whether it never expires, and size in bytes."""
    keys = list(sampled)
    largest_key, _never, largest_bytes = max(keys, key=itemgetter(2), default=("", False, 0))
    groups: dict[str, list[int]] = {}
    for name, never, size in keys:
        counts = groups.setdefault(prefix_of(name), [0, 0, 0, 0])
        for index, amount in enumerate((1, int(never), size, size if never else 0)):
            counts[index] += amount
    listed = sorted(
        (KeyGroup(prefix, *counts) for prefix, counts in groups.items()), key=lambda group: -group.bytes
    )
    return KeySample(
        database_keys=max(database_keys, len(keys)),
        sampled=len(keys),
        no_expiry=sum(group.no_expiry for group in listed),
        bytes=sum(group.bytes for group in listed),
        no_expiry_bytes=sum(group.no_expiry_bytes for group in listed),
        groups=(*listed[:SHOWN_PREFIXES], *_rest(listed[SHOWN_PREFIXES:])),
        largest_key=largest_key[:KEY_CHARACTERS],
        largest_bytes=largest_bytes,
    )


def _rest(groups: list[KeyGroup]) -> tuple[KeyGroup, ...]:
    if not groups:
        return ()
    sums = (
        sum(getattr(group, name) for group in groups)
        for name in ("keys", "no_expiry", "bytes", "no_expiry_bytes")
    )
    return (KeyGroup("(other)", *sums),)


def prefix_of(key: str) -> str:
    """Return what a key has in common with its like: all before the first identifier, or up to the last colon."""
    if key.endswith(".reply.celery.pidbox"):  # <uuid>.reply.celery.pidbox: the identifier comes first
        return "*.reply.celery.pidbox"
    match = _IDENTIFIER.search(key)
    if match and match.start() > 0:
        return key[: match.start()][:KEY_CHARACTERS]
    head, colon, _tail = key.rpartition(":")
    return (head + colon or key)[:KEY_CHARACTERS]


def _table(info: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a line of several values, such as ``db0:keys=1,expires=0``; empty when it is not there."""
    value = info.get(name)
    return value if isinstance(value, Mapping) else {}


def _int(values: Mapping[str, Any], name: str) -> int:
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
