"""What is observed of Redis: ``INFO``, the largest client buffers, and a bounded sample of its keys."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from msgspec.structs import replace

from samaops.clients import footprint, redis_keys
from samaops.clients.errors import ClientError
from samaops.clients.redis import RedisClient
from samaops.collect.engine import Probe
from samaops.collect.latency import least_ms
from samaops.collect.probing import LIFETIME_SECONDS, compare, marked_name, writing
from samaops.collect.registry import collects
from samaops.collect.values import decimal, lacking, needed, whole
from samaops.config.settings import Redis
from samaops.facts.portrait import Things, Trait, gather
from samaops.facts.redis import (
    REPLY_ENDING,
    ClientBuffer,
    DeniedCommand,
    KeyGroup,
    KeySample,
    KeysOf,
    RedisClientSeen,
    RedisConnections,
    RedisFacts,
    RedisMemory,
    RedisPersistence,
    RedisProbe,
    RedisTraffic,
    RedisWriting,
    WaitingTasks,
)
from samaops.i18n import _
from samaops.journal import digests
from samaops.site.site import Site

QUICK_MS = 5.0  # a healthy one takes less than one
RATE_SECONDS = 0.5  # how far two readings of the counters are apart, when something is being evicted
SAMPLE_SECONDS = 1.0
SHOWN_PREFIXES = 12
KEY_CHARACTERS = 200
DENIED_LINES = 32
# What changes are planned by: one client by its id or address, the keys that a word takes; for how long they are looked for.
CLIENT, KEYS_OF = "redis.client", "redis.keys_of"
CHOSEN_SECONDS, CHOSEN_SIZES = 2.0, 2000
# What identifies one thing inside a key: a UUID, a number, a long hexadecimal word.
_IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{12,}|\d+", re.IGNORECASE)


@collects("redis", RedisFacts)
def look(redis: Redis, site: Site, probe: Probe) -> RedisFacts:
    """Read Redis over one connection."""
    return observe(site.host_of(redis), redis, probe, site)


@collects("redis", RedisProbe, feeds=("redis.write.probe",), writes=True)
def write(redis: Redis, site: Site, probe: Probe) -> RedisProbe:
    """Set a key, read it, delete it. It also ends by itself."""
    client, key = RedisClient(site.host_of(redis), redis), marked_name()
    try:
        with writing(probe, redis.timeout) as milliseconds:
            client.connect()
            footprint.count(writes=1)
            client.set(key, key, ex=LIFETIME_SECONDS, nx=True)
            try:
                compare(key.encode(), client.get(key))
            finally:
                client.delete(key)
            return RedisProbe(_("database {number}").format(number=redis.database), milliseconds())
    finally:
        client.close()


def observe(host: str, settings: Redis, probe: Probe, site: Site) -> RedisFacts:
    """Read one Redis server."""
    probe.stage("connect")
    client = RedisClient(host, settings)
    try:
        client.connect()
        return _read(client, settings, probe, site)
    finally:
        client.close()


def _read(client: RedisClient, settings: Redis, probe: Probe, site: Site) -> RedisFacts:
    ping_ms = least_ms(client.ping_ms, QUICK_MS, probe)
    probe.stage("INFO")
    info = client.info()
    read_at = time.monotonic()
    config: Mapping[str, str] = {}
    if probe.wants("redis.persistence", "redis.memory.refusing_writes"):
        config = probe.attempt("config", lambda: _configured(client)) or {}
    buffer = sample = rate = None
    if probe.wants("redis.clients.buffers"):
        buffer = probe.attempt("client_list", lambda: _largest_buffer(client))
    keys, _expiring = _keyspace(info, settings.database)
    if probe.wants("redis.keys.no_expiry", "redis.keys.big"):
        sample = probe.attempt("keys", lambda: _sample(client, settings.sample_keys, keys))
    if _int(info, "evicted_keys") and probe.wants("redis.evictions.high", "redis.memory.high"):
        rate = probe.attempt("eviction_rate", lambda: _evictions_per_second(client, info, read_at))
    facts = _facts(info, config, settings, round(ping_ms, 2), buffer=buffer, sample=sample, rate=rate)
    denied = writing = backlog = None
    if probe.wants("redis.queue.backlog"):
        backlog = probe.attempt("backlog", lambda: _backlog(client, site))
    if probe.wants("redis.acl.denied"):
        denied = probe.attempt("denied", lambda: _denied(client, info, settings))
    if probe.wants("redis.write.refused"):
        writing = probe.attempt("writing", lambda: _writing(client, info, settings, probe))
    return replace(facts, denied=denied, writing=writing, backlog=backlog, **_for_changes(client, probe))


def _for_changes(client: RedisClient, probe: Probe) -> dict[str, Any]:
    """Return what changes alone are planned by: every client, and the keys that a pattern takes."""
    parts: dict[str, Any] = {}
    if not probe.counts:
        return parts
    if probe.named(CLIENT):
        parts["clients"] = probe.attempt("clients", lambda: _clients(client))
    words = probe.named(KEYS_OF)
    if words:
        parts["chosen"] = probe.attempt("chosen", lambda: _chosen(client, words[0]))
    return parts


def _clients(client: RedisClient) -> tuple[RedisClientSeen, ...]:
    ours = str(client.client_id())
    listed: list[dict[str, str]] = client.client_list()
    return tuple(
        RedisClientSeen(
            id=int(row["id"]),
            address=row.get("addr", ""),
            name=(row.get("name") or "")[:KEY_CHARACTERS],
            flags=row.get("flags", ""),
            idle_seconds=int(row.get("idle") or 0),
            command=row.get("cmd", ""),
            is_ours=row["id"] == ours,
        )
        for row in listed
    )


def _chosen(client: RedisClient, word: str) -> KeysOf:
    """Return what a word takes of the keys: one of this name, or all that begin or end so, as far as time allows."""
    name = word.encode("utf-8", "surrogateescape")
    if not redis_keys.is_group(name):
        ((size, milliseconds),) = redis_keys.ask(client, [name], redis_keys.SIZE, redis_keys.EXPIRY)
        found = 0 if milliseconds in (None, redis_keys.GONE) else 1
        never = int(milliseconds == redis_keys.NEVER)
        return KeysOf(word, found, found, found, never, size or 0, size or 0, is_complete=True)
    ends_at, matched, no_expiry = time.monotonic() + CHOSEN_SECONDS, 0, 0
    sizes: list[int] = []
    is_complete = True
    for keys in redis_keys.names(client, redis_keys.pattern_of(name)):
        expiries = redis_keys.ask(client, keys, redis_keys.EXPIRY)
        matched += sum(expiry != redis_keys.GONE for (expiry,) in expiries)
        no_expiry += sum(expiry == redis_keys.NEVER for (expiry,) in expiries)
        some = keys[: max(0, CHOSEN_SIZES - len(sizes))]
        sizes += [size or 0 for (size,) in redis_keys.ask(client, some, redis_keys.SIZE)]
        if time.monotonic() >= ends_at:
            is_complete = False
            break
    return KeysOf(
        word, matched, matched, len(sizes), no_expiry, sum(sizes), max(sizes, default=0), is_complete
    )


def _backlog(client: RedisClient, site: Site) -> tuple[WaitingTasks, ...]:
    """Count what waits where a Celery broker in Redis keeps it; of other types, and not there, is nothing of it."""
    queues = site.settings.rabbitmq.queues if site.settings.rabbitmq else ()
    wanted = [(name, "list", "LLEN") for name in dict.fromkeys(("celery", *queues))]
    wanted.append(("unacked", "hash", "HLEN"))
    found = []
    for name, kind, command in wanted:
        answer = client.execute_command("TYPE", name)
        type_of = answer.decode() if isinstance(answer, bytes) else answer
        if not isinstance(type_of, str) or not type_of:
            raise lacking("TYPE", stage="TYPE")
        if type_of == kind:
            count = client.execute_command(command, name)
            if not isinstance(count, int):
                raise lacking(command, stage=command)
            found.append(WaitingTasks(name, count))
    return tuple(found)


def _writing(client: RedisClient, info: Mapping[str, Any], settings: Redis, probe: Probe) -> RedisWriting:
    """Return what decides over writes; the last look over this connection."""
    read_only, reason = info.get("slave_read_only"), str(info.get("paused_reason", "none"))
    good = info.get("min_slaves_good_slaves")  # a line that is there only when a number is asked for
    writing = RedisWriting(
        role=str(needed(info, "role", stage="INFO")),
        is_read_only=None if read_only is None else read_only == 1,
        primary=f"{info['master_host']}:{info.get('master_port')}" if "master_host" in info else "",
        replicas_needed=None if good is None else probe.attempt("replicas", lambda: _replicas_needed(client)),
        replicas_good=good,
        held_reason="" if reason == "none" else reason,
        cluster_state=_cluster_state(client) if info.get("cluster_enabled") == 1 else "",
        refusal=_refusal(client, info) if settings.username is None else None,
    )
    if "paused_actions" in info:
        return replace(writing, is_held=info["paused_actions"] != "none")
    return replace(writing, is_held=probe.attempt("held", client.holds_writes))


def _replicas_needed(client: RedisClient) -> int:
    # min-slaves-to-write before Redis 5; both names are shown since
    answers = client.config_get("min-*s-to-write")
    return max(int(value or 0) for value in answers.values())


def _cluster_state(client: RedisClient) -> str:
    return str(client.cluster("info").get("cluster_state", ""))


def _refusal(client: RedisClient, info: Mapping[str, Any]) -> str | None:
    """Return the words with which the user ``default``, who we are as well, is refused a SET; None before Redis 7."""
    if _major_version(info) < 7:
        return None
    try:
        answer = client.execute_command("ACL DRYRUN", "default", "SET", "samaops:key", "value")
    except ClientError:
        return None  # other implementations do not know it
    words = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    return "" if words == "OK" else words


def _major_version(info: Mapping[str, Any]) -> int:
    major = str(needed(info, "redis_version", stage="INFO")).partition(".")[0]
    if not major.isdecimal():
        raise lacking("redis_version", stage="INFO")
    return int(major)


def _denied(client: RedisClient, info: Mapping[str, Any], settings: Redis) -> tuple[DeniedCommand, ...]:
    """Return whom the server refused what of late; what our own user was refused concerns nobody else."""
    if _major_version(info) < 6:
        return ()
    entries: list[dict[str, Any]] = client.acl_log(count=DENIED_LINES)
    lines = (
        DeniedCommand(
            user=str(entry.get("username", "")),
            reason=str(entry.get("reason", "")),
            what=str(entry.get("object", ""))[:KEY_CHARACTERS],
            count=int(needed(entry, "count", stage="ACL LOG")),
            age_seconds=round(needed(entry, "age-seconds", stage="ACL LOG"), 1),
        )
        for entry in entries
    )
    return tuple(line for line in lines if not settings.username or line.user != settings.username)


def _configured(client: RedisClient) -> dict[str, str]:
    return {str(key): str(value) for key, value in client.config_get("*").items()}


def _configuration(info: Mapping[str, Any], config: Mapping[str, str]) -> Things | None:
    """Return what is set, without passwords, and which start this is; None when CONFIG is not allowed."""
    if not config:
        return None
    started = time.time() - _int(info, "uptime_in_seconds")
    rows = [
        ("service", "Redis", "started", Trait(str(info.get("run_id", "")), started)),
        ("service", "Redis", "role", Trait(str(info.get("role", "")))),
    ]
    rows += [
        ("setting", name, "", Trait(digests.unless_harmless(name, value))) for name, value in config.items()
    ]
    return gather(("setting",), rows)


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
        configuration=_configuration(info, config),
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
        fragmented=whole(info, "allocator_frag_bytes"),
        purgeable=whole(info, "allocator_rss_bytes"),
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
        stale_percent=_float(info, "expired_stale_perc") if _major_version(info) >= 5 else None,
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
        answers = redis_keys.ask(client, keys, redis_keys.SIZE, redis_keys.EXPIRY)
        for key, (size, milliseconds) in zip(keys, answers, strict=True):
            if milliseconds != redis_keys.GONE:
                sampled.append((shown(key), milliseconds == redis_keys.NEVER, size or 0))
    return summarize(sampled, database_keys)


def shown(key: bytes) -> str:
    """Return a key as a text."""
    return key.decode("utf-8", "backslashreplace")


def _batches(client: RedisClient, at_most: int) -> Iterator[list[bytes]]:
    """Yield keys until enough were seen, none are left, or the time is over."""
    ends_at, count = time.monotonic() + SAMPLE_SECONDS, 0
    if not at_most:
        return
    for named in redis_keys.names(client, at_once=min(500, at_most)):
        keys = named[: at_most - count]
        count += len(keys)
        if keys:
            yield keys
        if count >= at_most or time.monotonic() >= ends_at:
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
    if key.endswith(REPLY_ENDING):  # <uuid>.reply.celery.pidbox: the identifier comes first
        return f"*{REPLY_ENDING}"
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
