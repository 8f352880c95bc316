"""Runbook redis-full: full and forbidden to evict, full of results that never expire, stopped, unable to save."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
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
        client.memory_purge()
        client.config_resetstat()


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
)
