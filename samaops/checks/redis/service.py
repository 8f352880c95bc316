"""Judge Redis: whether and how fast it answers, its clients and its persistence.

Memory is judged in ``redis_memory``, the sampled keys in ``redis_keys``.
"""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.redis import RedisFacts
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import redis_cli

MINIMUM_LOOKUPS = 1000  # fewer say nothing about a cache
CROWDED_PERCENT = 80.0
STALE_SAVE_SECONDS = 3600  # the guide saves after 900 s with one change: four times that


@check(
    "redis.service.unreachable",
    title=N_("Redis answers"),
    facts=RedisFacts,
    access=True,
    explain=Explanation(
        meaning=N_("Cache and Celery results are gone: the API becomes slow, tasks cannot store results."),
        confirm=("redis-cli -h workers -p 6379 ping", "docker ps -a --filter name=samaconso_redis"),
        fix=N_("Start the container again after reading why it ended (docker logs, docker inspect)."),
        avoid=N_("Do not delete the redis_data volume: it holds the AOF and every result."),
    ),
)
def answers(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    title = _("Redis {version} answers").format(version=redis.version)
    yield context.ok(title, evidence={"version": redis.version, "uptime_seconds": redis.uptime_seconds})


@check(
    "redis.latency.high",
    title=N_("Redis answers fast"),
    facts=RedisFacts,
    # Redis's own latency page: healthy is under a millisecond beside the network. At 20 ms a slow command
    # or a fork blocks it; at 200 ms the API's cache timeout is near.
    warning=20,
    critical=200,
    unit="ms",
    explain=Explanation(
        meaning=N_(
            "The fastest of three PINGs took long: one slow command blocks all clients, or the host is busy."
        ),
        confirm=("redis-cli -h workers --latency", "redis-cli -h workers slowlog get 10"),
        fix=N_("Find the slow command in the slow log; look at swap and CPU of the server."),
        avoid=N_("Do not run KEYS or MONITOR to look: both make it worse."),
    ),
)
def latency(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    title = _("Redis answers PING in {milliseconds:.1f} ms").format(milliseconds=redis.ping_ms)
    yield context.above(
        redis.ping_ms, title, **_hint_when(redis.ping_ms >= (context.warning or 0), context, "slowlog get 10")
    )


@check(
    "redis.hits.low",
    title=N_("Redis lookups find what they ask for"),
    facts=RedisFacts,
    warning=50,  # under one half, looking first costs more than it saves
    unit="%",
    explain=Explanation(
        meaning=N_(
            "Most lookups find nothing: keys expire or are evicted too early, or the cache was just flushed."
        ),
        confirm=("redis-cli -h workers info stats",),
        fix=N_("Compare evictions and expiry times; give the cache more memory when it evicts."),
        avoid=N_("Do not flush: an empty cache misses everything."),
    ),
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


@check(
    "redis.connections.rejected",
    title=N_("Redis takes new connections"),
    facts=RedisFacts,
    warning=CROWDED_PERCENT,
    critical=95,
    unit="%",
    explain=Explanation(
        meaning=N_("Redis has nearly as many clients as maxclients allows; the next ones are turned away."),
        confirm=("redis-cli -h workers info clients", "redis-cli -h workers client list"),
        fix=N_("Find who opens connections without closing them, by address in CLIENT LIST."),
        avoid=N_("Do not kill all clients: the workers lose their result connections."),
    ),
)
def connections(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    clients = redis.connections
    percent = round(100 * clients.connected / clients.maximum, 1) if clients.maximum else 0.0
    title = _(
        "Redis has {connected} clients of at most {maximum}; {rejected} were rejected since its start"
    ).format(connected=clients.connected, maximum=clients.maximum, rejected=clients.rejected)
    evidence = {"connected": clients.connected, "maximum": clients.maximum, "rejected": clients.rejected}
    is_crowded = context.warning is not None and percent >= context.warning
    yield context.above(percent, title, evidence=evidence, **_hint_when(is_crowded, context, "client list"))


@check(
    "redis.clients.blocked",
    title=N_("Redis clients wait for nothing"),
    facts=RedisFacts,
    warning=20,  # the broker is RabbitMQ: nobody here has a reason to block on a list
    unit="clients",
    explain=Explanation(
        meaning=N_(
            "Clients wait in blocking commands (BLPOP, WAIT); here only Redis as a broker would do that."
        ),
        confirm=("redis-cli -h workers client list",),
        fix=N_("Find them in CLIENT LIST (flags=b) and see what they wait for."),
    ),
)
def blocked(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    count = redis.connections.blocked
    yield context.above(
        count,
        ngettext("{count} client is blocked in Redis", "{count} clients are blocked in Redis", count).format(
            count=count
        ),
    )


@check(
    "redis.clients.buffers",
    title=N_("Redis client buffers are small"),
    facts=RedisFacts,
    needs=("client_list",),
    warning=10,  # per cent of maxmemory; buffers count against it, so they push keys out
    unit="%",
    explain=Explanation(
        meaning=N_(
            "A client does not read what it asked for: its answers pile up inside Redis and push keys out."
        ),
        confirm=("redis-cli -h workers client list",),
        fix=N_("Find the client by its address (omem in CLIENT LIST) and restart that one program."),
        avoid=N_("Do not raise maxmemory for it: the buffer only grows further."),
    ),
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
    is_large = context.warning is not None and percent >= context.warning
    yield context.above(percent, title, evidence=evidence, **_hint_when(is_large, context, "client list"))


@check(
    "redis.persistence.failing",
    title=N_("Redis saves to disk"),
    facts=RedisFacts,
    explain=Explanation(
        meaning=N_(
            "What Redis holds does not reach the disk: lost at the next restart, and writes may be refused."
        ),
        confirm=("redis-cli -h workers info persistence", "docker logs --tail 50 samaconso_redis", "df -h"),
        fix=N_("Read the reason in the log: a full disk first, then memory for the fork."),
        avoid=N_("Do not switch stop-writes-on-bgsave-error off: it hides the loss."),
    ),
)
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
    is_bad = status is not Status.OK
    hint = _hint_when(is_bad, context, "info persistence")
    yield context.finding(status, title, evidence=evidence, **hint)


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
    title=N_("Redis can fork to save"),
    facts=RedisFacts,
    warning=1_000_000,  # one second during which nobody is served
    unit="us",
    explain=Explanation(
        meaning=N_(
            "To save, Redis forks. The fork is refused for lack of memory, or so slow that all clients wait."
        ),
        confirm=("redis-cli -h workers info persistence", "sysctl vm.overcommit_memory", "free -m"),
        fix=N_("Set vm.overcommit_memory=1 on the server; leave memory free for copy on write."),
        avoid=N_("Do not switch saving off to get rid of the message."),
    ),
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


def _hint_when(is_bad: bool, context: Context, words: str) -> dict[str, str]:
    return {"hint": redis_cli(context.site, words)} if is_bad else {}
