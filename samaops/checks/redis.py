"""Judge Redis."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.redis import RedisFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding


@check(
    "redis.service.unreachable",
    title=N_("Redis answers"),
    facts=RedisFacts,
    access=True,
    explain=Explanation(
        meaning=N_("Cache and Celery results are gone: the API becomes slow and tasks cannot store their result."),
        confirm=("redis-cli -h <serveur workers> ping", "docker ps -a --filter name=samaconso_redis"),
        fix=N_("Start the container again after reading why it ended (docker logs, docker inspect)."),
        avoid=N_("Do not delete the redis_data volume: it holds the AOF and every result."),
    ),
)
def answers(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    yield context.ok(_("Redis {version} answers").format(version=redis.version))


@check(
    "redis.memory.high",
    title=N_("Redis memory against maxmemory"),
    facts=RedisFacts,
    warning=80,
    critical=95,
    unit="%",
    explain=Explanation(
        meaning=N_("Redis is near maxmemory: it evicts keys, or refuses writes when the policy is noeviction."),
        confirm=("redis-cli -h <serveur workers> info memory",),
        fix=N_("Find who owns the memory first; then raise maxmemory within the container's limit."),
        avoid=N_("Do not FLUSHDB: the cache and the Celery results are in the same database."),
    ),
)
def memory(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    if redis.maxmemory == 0:
        yield context.warn(_("Redis has no maxmemory: nothing stops it before the kernel does"), value=0)
        return
    percent = round(100 * redis.used_memory / redis.maxmemory, 1)
    yield context.above(
        percent,
        _("Redis uses {percent} % of its maxmemory").format(percent=percent),
        evidence={"used_memory": redis.used_memory, "maxmemory": redis.maxmemory},
    )
