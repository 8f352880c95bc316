"""Read Redis over one connection: ``INFO``, the largest client buffers, what refuses writes, a sample of the keys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from samaops.clients import footprint, redis_keys
from samaops.clients.errors import ClientError
from samaops.clients.redis import RedisClient
from samaops.collect.engine import Probe
from samaops.collect.latency import least_ms
from samaops.collect.probing import LIFETIME_SECONDS, compare, marked_name, writing
from samaops.collect.redis.info import facts_of, keyspace, major_version, number
from samaops.collect.redis.keys import KEY_CHARACTERS, sample_of
from samaops.collect.registry import collects
from samaops.collect.values import lacking, needed
from samaops.config.settings import Redis
from samaops.facts.redis import (
    ClientBuffer,
    DeniedCommand,
    KeysOf,
    RedisClientSeen,
    RedisFacts,
    RedisProbe,
    RedisWriting,
    WaitingTasks,
)
from samaops.i18n import _
from samaops.site.site import Site

QUICK_MS = 5.0  # a healthy one takes less than one
RATE_SECONDS = 0.5  # how far two readings of the counters are apart, when something is being evicted
DENIED_LINES = 32
# What changes are planned by: one client by its id or address, the keys that a word takes; for how long they are looked for.
CLIENT, KEYS_OF = "redis.client", "redis.keys_of"
CHOSEN_SECONDS, CHOSEN_SIZES = 2.0, 2000


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
    keys, _expiring = keyspace(info, settings.database)
    if probe.wants("redis.keys.no_expiry", "redis.keys.big"):
        sample = probe.attempt("keys", lambda: sample_of(client, settings.sample_keys, keys))
    if number(info, "evicted_keys") and probe.wants("redis.evictions.high", "redis.memory.high"):
        rate = probe.attempt("eviction_rate", lambda: _evictions_per_second(client, info, read_at))
    facts = facts_of(info, config, settings, round(ping_ms, 2), buffer=buffer, sample=sample, rate=rate)
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
    if major_version(info) < 7:
        return None
    try:
        answer = client.execute_command("ACL DRYRUN", "default", "SET", "samaops:key", "value")
    except ClientError:
        return None  # other implementations do not know it
    words = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    return "" if words == "OK" else words


def _denied(client: RedisClient, info: Mapping[str, Any], settings: Redis) -> tuple[DeniedCommand, ...]:
    """Return whom the server refused what of late; what our own user was refused concerns nobody else."""
    if major_version(info) < 6:
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


def _evictions_per_second(client: RedisClient, before: Mapping[str, Any], read_at: float) -> float:
    time.sleep(max(0.0, read_at + RATE_SECONDS - time.monotonic()))
    after = client.info("stats")
    seconds = time.monotonic() - read_at
    return round((number(after, "evicted_keys") - number(before, "evicted_keys")) / seconds, 1)


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
