"""Runbook redis-full: full and forbidden to evict, full of results that never expire, stopped."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from itertools import islice

import redis
from redis.exceptions import OutOfMemoryError, RedisError

from samaops.i18n import N_, _
from samaops.lab.incidents import broker, containers, looks, traffic
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.layout import QUEUE_PRIORITIES
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

CONTAINER = "samaconso_redis"
POLICY = "allkeys-lru"
CACHE_KEY = "samaconso:consumption:lab-{number}"
CACHE_BYTES = 64 * 1024
CACHE_SECONDS = 7200
# A result with a traceback, as failed tasks leave it.
RESULT_BYTES = 16 * 1024
RESULTS_PERCENT = 97.0
LIVE_PERCENT = 95.0
BATCH = 200
MOST_KEYS = 20_000
BACK_SECONDS = 30.0


def _fill_without_eviction(_site: Site) -> None:
    """Fill memory with cached consumption that does expire, while eviction is forbidden."""
    with traffic.redis_of() as client:
        client.config_set("maxmemory-policy", "noeviction")
        keys = (CACHE_KEY.format(number=number) for number in range(MOST_KEYS))
        while batch := list(islice(keys, BATCH)):
            if not _store_zeros(client, batch):
                return
    raise StartError(_("Redis takes {count} keys and is not full").format(count=MOST_KEYS))


def _store_zeros(client: redis.Redis, keys: list[str]) -> bool:
    """Store long values by short commands, which keeps the append-only file small; False when refused."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.setrange(key, CACHE_BYTES - 1, "x")
        pipe.expire(key, CACHE_SECONDS)
    answers = pipe.execute(raise_on_error=False)
    return not any(isinstance(one, OutOfMemoryError) for one in answers)


def _refuses_writes(_site: Site) -> str | None:
    try:
        with traffic.redis_of() as client:
            client.set("samaops:lab:probe", "x", ex=1)
    except OutOfMemoryError as error:
        return f"SET: {error}"
    except RedisError:
        return None
    return None


def _allow_eviction(_site: Site) -> None:
    with traffic.redis_of() as client:
        client.config_set("maxmemory-policy", POLICY)
        _remove(client, (CACHE_KEY.format(number=number) for number in range(MOST_KEYS)))


def _remove(client: redis.Redis, keys: Iterator[str]) -> None:
    """Remove keys in slices, give the memory back, and forget the refusals."""
    while batch := list(islice(keys, BATCH * 10)):
        client.unlink(*batch)
    client.bgrewriteaof()  # else the next start would read all of it again
    client.memory_purge()
    client.config_resetstat()


def _result_keys() -> Iterator[tuple[str, str]]:
    """Yield the ids and keys of this incident's results: the same every time."""
    for number in range(MOST_KEYS):
        task_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"samaops-lab-{number}"))
        yield task_id, traffic.RESULT_KEY.format(task_id=task_id)


def _fill_with_results(_site: Site) -> None:
    """Store results as Celery does with result_expires=None, until memory is nearly full."""
    with traffic.redis_of() as client:
        keys = _result_keys()
        while batch := list(islice(keys, BATCH)):
            pipe = client.pipeline(transaction=False)
            for task_id, key in batch:
                pipe.set(key, _result(task_id))
            pipe.execute()
            if _used_percent(client) >= RESULTS_PERCENT:
                return
    raise StartError(_("Redis takes {count} keys and is not full").format(count=MOST_KEYS))


def _result(task_id: str) -> str:
    traceback = "".join(f"  File '/app/app/tasks.py', line {number}\n" for number in range(400))
    return json.dumps(
        {
            "status": "FAILURE",
            "result": {"exc_type": "PushError", "exc_message": ["UNREACHABLE"], "exc_module": "app.push"},
            "traceback": traceback[: RESULT_BYTES - 400],
            "children": [],
            "date_done": "2025-11-02T06:00:00+00:00",
            "task_id": task_id,
        }
    )


def _used_percent(client: redis.Redis) -> float:
    memory = client.info("memory")
    return 100 * float(memory["used_memory"]) / (float(memory["maxmemory"]) or 1.0)


def _results_fill_it(_site: Site) -> str | None:
    try:
        with traffic.redis_of() as client:
            percent = _used_percent(client)
            ttl = client.ttl(next(_result_keys())[1])
            keys = client.dbsize()
    except RedisError:
        return None
    if percent < LIVE_PERCENT or ttl != -1:
        return None
    return _("Redis is {percent:.0f} % full, {count} keys, results without expiry").format(
        percent=percent, count=keys
    )


def _remove_results(_site: Site) -> None:
    with traffic.redis_of() as client:
        _remove(client, (key for _task, key in _result_keys()))


def _stop_redis(site: Site) -> None:
    containers.stop(site, CONTAINER)


def _redis_is_stopped(site: Site) -> str | None:
    stopped = containers.is_stopped(site, CONTAINER)
    refused = looks.refuses(*containers.endpoint(CONTAINER))
    return f"{stopped}; {refused}" if stopped and refused else None


def _start_redis(site: Site) -> None:
    containers.start(site, CONTAINER)
    queues = tuple(QUEUE_PRIORITIES)
    if not wait_until(lambda: broker.has_consumers(site, queues), BACK_SECONDS):
        raise StartError(_("the workers have not come back after Redis"))


INCIDENTS = (
    Incident(
        id="redis-maxmemory-noeviction",
        runbook="redis-full",
        title=N_("Redis is full and may not evict"),
        does=N_("The policy is noeviction, and cached consumption fills Redis to its maxmemory."),
        notice=N_("The API is slower; no notification's result is stored, tasks end as failed."),
        root=Root("redis-maxmemory-noeviction", "redis/workers"),
        break_=_fill_without_eviction,
        is_live=_refuses_writes,
        heal=_allow_eviction,
    ),
    Incident(
        id="redis-results-without-ttl",
        runbook="redis-full",
        title=N_("Results that never expire fill Redis"),
        does=N_("Thousands of celery-task-meta-* keys without expiry fill Redis nearly to maxmemory."),
        notice=N_("The cache is thrown out for the results: the database has more to do, the API is slower."),
        root=Root("redis-results-without-expiry", "redis/workers", status="warning"),
        break_=_fill_with_results,
        is_live=_results_fill_it,
        heal=_remove_results,
    ),
    Incident(
        id="redis-stopped",
        runbook="redis-full",
        title=N_("Redis is stopped"),
        does=N_("docker stop of samaconso_redis on server workers."),
        notice=N_("The API reads everything from the database; no notification is sent."),
        root=Root("container-stopped", f"docker/{CONTAINER}"),
        root_of_processes=Root("redis-down", "redis/workers"),
        break_=_stop_redis,
        is_live=_redis_is_stopped,
        heal=_start_redis,
    ),
)
