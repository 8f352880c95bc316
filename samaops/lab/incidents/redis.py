"""Runbook redis-full: full of what never expires or of one key, forbidden to evict, without a limit, scattered, unable to save."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import redis
from redis.exceptions import OutOfMemoryError, ResponseError

from samaops.i18n import N_, _
from samaops.lab import compose
from samaops.lab.incidents.incident import Evidence, Fault, Incident, Root
from samaops.lab.incidents.mechanisms import setting, stopped
from samaops.lab.incidents.site import Site, server_of
from samaops.lab.incidents.tools import broker, traffic
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

CONTAINER = "samaconso_redis"
CACHE_KEY = "samaconso:consumption:lab-{number}"
CACHE_BYTES = 64 * 1024
CACHE_SECONDS = 7200
# A result with a traceback, as failed tasks leave it.
RESULT_BYTES = 16 * 1024
RESULTS_PERCENT = 97.0
LIVE_PERCENT = 95.0
BATCH = 200
FOREVER_KEYS, REPLIES = 1400, 1300
BIG_KEY, BIG_KEY_BYTES = "samaconso:export:rows", 60 * 1024 * 1024
BROKER_KEY, WAITING_TASKS, TASK_BYTES = "celery", 2000, 16 * 1024
SMALL_KEYS, SCRIPT_KEYS = 400_000, 20_000
# What the check calls much, of the lab's maxmemory of 100 MB; and what is well below.
SCATTERED_BYTES, COMPACT_BYTES = 50 * 1024 * 1024, 35 * 1024 * 1024
COMPACT_SECONDS = 20.0
MOST_KEYS = 20_000
SAVE_SECONDS = 10.0
# A directory where the dump belongs: Redis writes the new one aside and cannot put it in its place.
BLOCK = "test -d dump.rdb || { rm -f dump.rdb && mkdir dump.rdb; }"
CLEAR = "if test -d dump.rdb; then rmdir dump.rdb; fi"


def _configure(_site: Site, name: str, value: str) -> None:
    with traffic.redis_of() as client:
        client.config_set(name, value)


def _refused_write(is_wanted: Callable[[ResponseError], bool]) -> Evidence:
    """Return what sees that Redis refuses to write, for the wanted reason."""

    def evidence(_site: Site) -> str | None:
        try:
            with traffic.redis_of() as client:
                client.set("samaops:lab:probe", "x", ex=1)
        except ResponseError as error:
            return f"SET: {error}" if is_wanted(error) else None
        return None

    return evidence


def _cache_keys() -> Iterator[str]:
    return (CACHE_KEY.format(number=number) for number in range(MOST_KEYS))


def _fill_cache(_site: Site) -> None:
    """Fill memory with cached consumption that does expire, until Redis refuses more."""
    with traffic.redis_of() as client:
        keys = _cache_keys()
        while batch := list(islice(keys, BATCH)):
            # Long values by short commands keep the append-only file small.
            pipe = client.pipeline(transaction=False)
            for key in batch:
                pipe.setrange(key, CACHE_BYTES - 1, "x")
                pipe.expire(key, CACHE_SECONDS)
            if any(isinstance(answer, OutOfMemoryError) for answer in pipe.execute(raise_on_error=False)):
                return
    raise StartError(_("Redis takes {count} keys and is not full").format(count=MOST_KEYS))


def _remove(keys: Iterator[str]) -> None:
    """Remove keys in slices, give the memory back, and forget the refusals."""
    with traffic.redis_of() as client:
        while batch := list(islice(keys, BATCH * 10)):
            client.unlink(*batch)
        client.bgrewriteaof()  # else the next start would read all of it again
        if not wait_until(lambda: _is_compact(client), COMPACT_SECONDS):
            raise StartError(_("Redis does not give back the memory of what was removed"))
        client.config_resetstat()


def _is_compact(client: redis.Redis) -> bool:
    """Let the allocator give back what it keeps, and return whether the process holds little more than its data."""
    client.memory_purge()
    return _scattered(client)[0] < COMPACT_BYTES


def _scattered(client: redis.Redis) -> tuple[int, float]:
    """Return how many bytes the process holds beside its data, and how many times its data it holds."""
    memory = client.info("memory")
    return int(memory["used_memory_rss"] - memory["used_memory"]), float(memory["mem_fragmentation_ratio"])


def _fill(keys: Iterable[str], bytes_of_each: int, *, seconds: int | None = None) -> None:
    """Make long values by short commands, which keep the append-only file small."""
    with traffic.redis_of() as client:
        left = iter(keys)
        while batch := list(islice(left, BATCH)):
            pipe = client.pipeline(transaction=False)
            for key in batch:
                pipe.setrange(key, bytes_of_each - 1, "x")
                if seconds is not None:
                    pipe.expire(key, seconds)
            pipe.execute()


def _forever(key: str, least_percent: float) -> Evidence:
    """Return what sees that keys like this one, which never expire, have much of the memory."""

    def evidence(_site: Site) -> str | None:
        with traffic.redis_of() as client:
            percent, ttl, keys = _used_percent(client), client.ttl(key), client.dbsize()
        if percent < least_percent or ttl != -1:
            return None
        return _("Redis is {percent:.0f} % full, {count} keys, {key} never expires").format(
            percent=percent, count=keys, key=key
        )

    return evidence


def _forever_keys() -> Iterator[str]:
    return (f"samaconso:tariff:lab-{number}" for number in range(FOREVER_KEYS))


def _reply_keys() -> Iterator[str]:
    """Yield the keys of answers to `celery inspect` that nobody fetched."""
    for number in range(REPLIES):
        yield f"{uuid.uuid5(uuid.NAMESPACE_URL, f'samaops-lab-reply-{number}')}.reply.celery.pidbox"


def _publish_to_redis(_site: Site) -> None:
    """Leave tasks in the list that Celery takes for its queue where Redis is its broker."""
    body = json.dumps({"body": "e30=", "headers": {"task": "app.tasks.send_push"}, "pad": "x" * TASK_BYTES})
    with traffic.redis_of() as client:
        for _batch in range(0, WAITING_TASKS, BATCH):
            client.rpush(BROKER_KEY, *[body] * BATCH)


def _tasks_wait(_site: Site) -> str | None:
    with traffic.redis_of() as client:
        waiting = client.llen(BROKER_KEY)
    return _("{count} tasks wait in Redis").format(count=waiting) if waiting >= WAITING_TASKS else None


def _evicts_at_random(_site: Site) -> str | None:
    with traffic.redis_of() as client:
        policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
        evicted = int(client.info("stats")["evicted_keys"])
    if policy != "allkeys-random" or not evicted:
        return None
    return _("the policy is {policy}, {count} keys were evicted").format(policy=policy, count=evicted)


def _has_no_limit(_site: Site) -> str | None:
    with traffic.redis_of() as client:
        maximum = int(client.config_get("maxmemory")["maxmemory"])
    return None if maximum else _("maxmemory is 0")


def _scatter(_site: Site) -> None:
    """Write many small values, then remove nearly all: some are left on each page, and none goes back."""
    write = "for n = ARGV[1], ARGV[2] do redis.call('SET', 'samaconso:seen:' .. n, string.rep('x', 100)) end"
    remove = (
        "for n = ARGV[1], ARGV[2] do if n % 25 ~= 0 then redis.call('DEL', 'samaconso:seen:' .. n) end end"
    )
    with traffic.redis_of() as client:
        for script in (write, remove):
            for first in range(0, SMALL_KEYS, SCRIPT_KEYS):
                client.eval(script, 0, first, first + SCRIPT_KEYS - 1)


def _is_scattered(_site: Site) -> str | None:
    with traffic.redis_of() as client:
        beside, ratio = _scattered(client)
    if beside < SCATTERED_BYTES:
        return None
    return _("the process of Redis holds {ratio:.1f} times its data").format(ratio=ratio)


def _result_keys() -> Iterator[str]:
    """Yield the keys of this incident's results: the same every time."""
    for number in range(MOST_KEYS):
        yield traffic.RESULT_KEY.format(task_id=uuid.uuid5(uuid.NAMESPACE_URL, f"samaops-lab-{number}"))


def _fill_with_results(_site: Site) -> None:
    """Store results as Celery does with result_expires=None, until memory is nearly full."""
    with traffic.redis_of() as client:
        keys = _result_keys()
        while batch := list(islice(keys, BATCH)):
            pipe = client.pipeline(transaction=False)
            for key in batch:
                pipe.set(key, _result(key))
            pipe.execute()
            if _used_percent(client) >= RESULTS_PERCENT:
                return
    raise StartError(_("Redis takes {count} keys and is not full").format(count=MOST_KEYS))


def _result(key: str) -> str:
    traceback = "".join(f"  File '/app/app/tasks.py', line {number}\n" for number in range(400))
    return json.dumps(
        {
            "status": "FAILURE",
            "result": {"exc_type": "PushError", "exc_message": ["UNREACHABLE"], "exc_module": "app.push"},
            "traceback": traceback[: RESULT_BYTES - 400],
            "children": [],
            "date_done": "2025-11-02T06:00:00+00:00",
            "task_id": key.removeprefix(traffic.RESULT_KEY.format(task_id="")),
        }
    )


def _used_percent(client: redis.Redis) -> float:
    memory = client.info("memory")
    return 100 * float(memory["used_memory"]) / (float(memory["maxmemory"]) or 1.0)


def _results_fill_it(_site: Site) -> str | None:
    with traffic.redis_of() as client:
        percent, ttl, keys = _used_percent(client), client.ttl(next(_result_keys())), client.dbsize()
    if percent < LIVE_PERCENT or ttl != -1:
        return None
    return _("Redis is {percent:.0f} % full, {count} keys, results without expiry").format(
        percent=percent, count=keys
    )


def _block_saving(site: Site) -> None:
    site.shell(CONTAINER, _directory(site), BLOCK)
    _save(expected=False)


def _directory(site: Site) -> str:
    return compose.redis_directory(site.server(server_of(CONTAINER)), site.states.state.mode)


def _save(*, expected: bool) -> None:
    """Let Redis save in the background. Raises StartError when that does not end as expected."""
    with traffic.redis_of() as client:
        before = client.info("persistence")["rdb_saves"]
        client.bgsave(schedule=True)

        def ended() -> bool:
            now = client.info("persistence")
            is_over = not now["rdb_bgsave_in_progress"]
            return is_over and (now["rdb_last_bgsave_status"] == "ok") is expected

        if not wait_until(ended, SAVE_SECONDS):
            text = _("the save did not end as it must; saves before: {count}")
            raise StartError(text.format(count=before))


def _save_again(site: Site) -> None:
    if site.stopped(CONTAINER):
        site.start(CONTAINER)  # it would not be called ready before: even PING is refused
    site.shell(CONTAINER, _directory(site), CLEAR)
    _save(expected=True)
    with traffic.redis_of() as client:
        client.config_resetstat()


INCIDENTS = (
    Incident(
        id="redis-maxmemory-noeviction",
        runbook="redis-full",
        title=N_("Redis is full and may not evict"),
        does=N_("The policy is noeviction, and cached consumption fills Redis to its maxmemory."),
        notice=N_("The API is slower; no notification's result is stored, tasks end as failed."),
        root=Root("redis-maxmemory-noeviction", "redis/workers"),
        fault=setting(
            _configure,
            "maxmemory-policy",
            bad="noeviction",
            good="allkeys-lru",
            evidence=_refused_write(lambda error: isinstance(error, OutOfMemoryError)),
        ).then(_fill_cache, heal=lambda _site: _remove(_cache_keys())),
    ),
    Incident(
        id="redis-results-without-ttl",
        runbook="redis-full",
        title=N_("Results that never expire fill Redis"),
        does=N_("Thousands of celery-task-meta-* keys without expiry fill Redis nearly to maxmemory."),
        notice=N_("The cache is thrown out for the results: the database has more to do, the API is slower."),
        root=Root("redis-results-without-expiry", "redis/workers", status="warning"),
        fault=Fault(
            break_=_fill_with_results,
            evidence=_results_fill_it,
            heal=lambda _site: _remove(_result_keys()),
        ),
    ),
    Incident(
        id="redis-stopped",
        runbook="redis-full",
        title=N_("Redis is stopped"),
        does=N_("docker stop of samaconso_redis on server workers."),
        notice=N_("The API reads everything from the database; no notification is sent."),
        root=Root("container-stopped", f"docker/{CONTAINER}"),
        root_of_processes=Root("redis-down", "redis/workers"),
        fault=stopped(CONTAINER).then(heal=broker.await_workers),
    ),
    Incident(
        id="redis-refusing-writes",
        runbook="redis-full",
        title=N_("Redis cannot save and refuses writes"),
        does=N_(
            "A directory stands where Redis puts its dump: the background save fails, and Redis says MISCONF."
        ),
        notice=N_("Nothing is cached and no notification's result is stored; memory is free."),
        root=Root("redis-refusing-writes", "redis/workers"),
        fault=Fault(
            break_=_block_saving,
            evidence=_refused_write(lambda error: str(error).startswith("MISCONF")),
            heal=_save_again,
        ),
    ),
    Incident(
        id="redis-control-replies",
        runbook="redis-full",
        title=N_("Control replies that nobody fetched fill Redis"),
        does=N_(
            "More than a thousand *.reply.celery.pidbox keys without expiry are left by somebody's inspect."
        ),
        notice=N_("The cache is thrown out for them: the database has more to do, the API is slower."),
        root=Root("redis-orphan-replies", "redis/workers", status="warning"),
        fault=Fault(
            break_=lambda _site: _fill(_reply_keys(), CACHE_BYTES),
            evidence=_forever(next(_reply_keys()), 80.0),
            heal=lambda _site: _remove(_reply_keys()),
        ),
    ),
    Incident(
        id="redis-big-key",
        runbook="redis-full",
        title=N_("One key holds most of the memory of Redis"),
        does=N_("The key samaconso:export:rows holds 60 MB of the 100 MB, without expiry."),
        notice=N_("The cache has little room left: the database has more to do."),
        root=Root("redis-big-key", "redis/workers", status="warning"),
        fault=Fault(
            break_=lambda _site: _fill((BIG_KEY,), BIG_KEY_BYTES),
            evidence=_forever(BIG_KEY, 50.0),
            heal=lambda _site: _remove(iter((BIG_KEY,))),
        ),
    ),
    Incident(
        id="redis-broker-backlog",
        runbook="redis-full",
        title=N_("Tasks wait in Redis, and nobody takes them"),
        does=N_(
            "A program publishes Celery tasks to Redis in place of RabbitMQ: two thousand wait in the list celery."
        ),
        notice=N_("Those notifications are not sent; the cache has less room."),
        root=Root("redis-broker-backlog", "redis/workers", status="warning"),
        fault=Fault(
            break_=_publish_to_redis,
            evidence=_tasks_wait,
            heal=lambda _site: _remove(iter((BROKER_KEY,))),
        ),
    ),
    Incident(
        id="redis-cache-without-ttl",
        runbook="redis-full",
        title=N_("Cache entries that never expire fill Redis"),
        does=N_("More than a thousand samaconso:tariff:* keys without expiry fill Redis to nearly 90 %."),
        notice=N_("The cache is thrown out for them: the database has more to do, the API is slower."),
        root=Root("redis-cache-without-expiry", "redis/workers", status="warning"),
        fault=Fault(
            break_=lambda _site: _fill(_forever_keys(), CACHE_BYTES),
            evidence=_forever(next(_forever_keys()), 80.0),
            heal=lambda _site: _remove(_forever_keys()),
        ),
    ),
    Incident(
        id="redis-policy-random",
        runbook="redis-full",
        title=N_("Redis evicts whatever comes"),
        does=N_("The policy is allkeys-random, and more is cached than Redis may hold."),
        notice=N_(
            "Results of notifications vanish before they are read; the cache misses what is asked for most."
        ),
        root=Root("redis-policy-different", "redis/workers", status="warning"),
        fault=setting(
            _configure,
            "maxmemory-policy",
            bad="allkeys-random",
            good="allkeys-lru",
            evidence=_evicts_at_random,
        ).then(
            lambda _site: _fill(
                islice(_cache_keys(), FOREVER_KEYS + BATCH), CACHE_BYTES, seconds=CACHE_SECONDS
            ),
            heal=lambda _site: _remove(_cache_keys()),
        ),
    ),
    Incident(
        id="redis-without-limit",
        runbook="redis-full",
        title=N_("Redis has no memory limit of its own"),
        does=N_("Somebody set maxmemory to 0 while Redis was full."),
        notice=N_("Nothing yet; the kernel kills Redis once it reaches the limit of its container."),
        root=Root("redis-without-limit", "redis/workers", status="warning"),
        fault=setting(_configure, "maxmemory", bad="0", good="100mb", evidence=_has_no_limit),
    ),
    Incident(
        id="redis-fragmented",
        runbook="redis-full",
        title=N_("The process of Redis holds many times its data"),
        does=N_("400,000 small values are written and nearly all are removed: some are left on each page."),
        notice=N_("Nothing is refused; the server has less memory for the workers."),
        root=Root("redis-fragmented", "redis/workers", status="warning"),
        fault=Fault(
            break_=_scatter,
            evidence=_is_scattered,
            heal=lambda _site: _remove(f"samaconso:seen:{number}" for number in range(0, SMALL_KEYS, 25)),
        ),
    ),
)
