"""Judge Redis: whether and how fast it answers, its clients and its persistence.

Memory is judged in ``memory``, the sampled keys in ``keys``.
"""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access, check
from samaops.facts.redis import RedisFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import redis_cli

MINIMUM_LOOKUPS = 1000  # fewer say nothing about a cache
CROWDED_PERCENT = 80.0
STALE_SAVE_SECONDS = 3600  # the guide saves after 900 s with one change: four times that


access(
    "redis.service.unreachable",
    RedisFacts,
    title=lambda redis: _("Redis {version} answers").format(version=redis.version),
    evidence=lambda redis: {"version": redis.version, "uptime_seconds": redis.uptime_seconds},
)


@check(
    "redis.latency.high",
    RedisFacts,
    # Redis's own latency page: healthy is under a millisecond beside the network. At 20 ms a slow command
    # or a fork blocks it; at 200 ms the API's cache timeout is near.
    warning=20,
    critical=200,
    unit="ms",
)
def latency(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    title = _("Redis answers PING in {milliseconds:.1f} ms").format(milliseconds=redis.ping_ms)
    yield context.above(redis.ping_ms, title, hint=redis_cli(context.site, "slowlog get 10"))


@check(
    "redis.hits.low",
    RedisFacts,
    warning=50,  # under one half, looking first costs more than it saves
    unit="%",
    less_is_worse=True,
)
def hits(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    traffic = redis.traffic
    lookups = traffic.hits + traffic.misses
    evidence = {"hits": traffic.hits, "misses": traffic.misses}
    if lookups < MINIMUM_LOOKUPS:
        yield context.ok(_("Redis has had too few lookups to judge the cache"), evidence=evidence)
        return
    percent = round(100 * traffic.hits / lookups, 1)
    title = _("{percent} % of the lookups in Redis find something").format(percent=percent)
    yield context.below(percent, title, evidence=evidence)


@check("redis.connections.rejected", RedisFacts, warning=CROWDED_PERCENT, critical=95, unit="%")
def connections(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    clients = redis.connections
    percent = round(100 * clients.connected / clients.maximum, 1) if clients.maximum else 0.0
    title = _(
        "Redis has {connected} clients of at most {maximum}; {rejected} were rejected since its start"
    ).format(connected=clients.connected, maximum=clients.maximum, rejected=clients.rejected)
    evidence = {"connected": clients.connected, "maximum": clients.maximum, "rejected": clients.rejected}
    yield context.above(percent, title, evidence=evidence, hint=redis_cli(context.site, "client list"))


@check(
    "redis.clients.blocked",
    RedisFacts,
    warning=20,  # the broker is RabbitMQ: nobody here has a reason to block on a list
    unit="clients",
)
def blocked(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    count = redis.connections.blocked
    title = ngettext("{count} client is blocked in Redis", "{count} clients are blocked in Redis", count)
    yield context.above(count, title.format(count=count))


@check(
    "redis.clients.buffers",
    RedisFacts,
    needs=("client_list",),
    warning=10,  # per cent of maxmemory; buffers count against it, so they push keys out
    unit="%",
)
def buffers(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    buffer, memory = redis.largest_buffer, redis.memory
    limit = memory.maximum or memory.system_total
    if buffer is None or not limit:
        yield context.ok(_("Redis has no other clients"))
        return
    percent = round(100 * buffer.largest_bytes / limit, 1)
    title = _("The largest client buffer in Redis holds {size} bytes ({address})").format(
        size=buffer.largest_bytes, address=buffer.address
    )
    evidence = {
        "address": buffer.address,
        "name": buffer.name,
        "command": buffer.command,
        "largest_bytes": buffer.largest_bytes,
        "total_bytes": buffer.total_bytes,
        "clients": buffer.clients,
    }
    yield context.above(percent, title, evidence=evidence, hint=redis_cli(context.site, "client list"))


@check("redis.persistence.failing", RedisFacts)
def persistence(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    disk = redis.persistence
    evidence = {
        "bgsave_ok": disk.bgsave_ok,
        "aof_enabled": disk.aof_enabled,
        "aof_write_ok": disk.aof_write_ok,
        "aof_rewrite_ok": disk.aof_rewrite_ok,
        "seconds_since_save": disk.seconds_since_save,
        "changes_since_save": disk.changes_since_save,
        "save_points": disk.save_points,
    }
    status, title = _saving(redis)
    hint = redis_cli(context.site, "info persistence")
    yield context.finding(status, title, evidence=evidence, hint=hint)


def _saving(redis: RedisFacts) -> tuple[Status, str]:
    disk = redis.persistence
    if not disk.aof_write_ok:
        return Status.CRITICAL, _("Redis cannot write its append-only file: writes are refused")
    if not disk.bgsave_ok:
        return Status.CRITICAL, _("The last background save of Redis failed")
    if not disk.aof_rewrite_ok:
        return Status.WARNING, _("The last rewrite of the append-only file failed: it only grows")
    if disk.save_points == "" and not disk.aof_enabled:
        return Status.WARNING, _("Redis saves nothing to disk: neither save points nor append-only file")
    is_stale = disk.changes_since_save and disk.seconds_since_save > STALE_SAVE_SECONDS
    if disk.save_points and not disk.aof_enabled and is_stale:
        return Status.WARNING, _(
            "Redis last saved {minutes} minutes ago, with {changes} changes since"
        ).format(minutes=disk.seconds_since_save // 60, changes=disk.changes_since_save)
    return Status.OK, _("Redis saves to disk")


@check(
    "redis.fork.failing",
    RedisFacts,
    warning=1_000_000,  # one second during which nobody is served
    unit="us",
)
def fork(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    disk = redis.persistence
    evidence = {"fork_microseconds": disk.fork_microseconds, "copy_on_write_bytes": disk.copy_on_write_bytes}
    # The append-only file is still written, so the disk takes data: what failed was the fork or its memory.
    if disk.aof_enabled and disk.aof_write_ok and not (disk.bgsave_ok and disk.aof_rewrite_ok):
        title = _(
            "Redis cannot save though the disk takes its append-only file: the fork fails, or its memory"
        )
        yield context.warn(title, value=disk.fork_microseconds, evidence=evidence)
        return
    title = _("The last fork of Redis took {milliseconds:.0f} ms").format(
        milliseconds=disk.fork_microseconds / 1000
    )
    yield context.above(disk.fork_microseconds, title, evidence=evidence)
