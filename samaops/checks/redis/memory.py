"""Judge the memory of Redis: its limit, its policy, the container around it."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.failures import describe
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.redis import RedisFacts
from samaops.i18n import _
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import redis_cli, samaops
from samaops.site.shell_words import operands

MEBIBYTE = 1024 * 1024
# An evicting cache is full by design; these two tell whether it is too small for what it serves.
FAST_EVICTIONS_PER_SECOND = 100.0
POOR_HIT_PERCENT = 50.0
MINIMUM_LOOKUPS = 1000
# causes.md R12: maxmemory at 60-75 % of the container's limit leaves room for fragmentation, buffers and forks.
HEADROOM_PERCENT = 90.0
# Of 384 MB these are 384 kB: one result of a task, or the buffers of a client that has gone.
NO_ROOM_PART = 0.999
FRAGMENTED_ABOVE_BYTES = 100 * MEBIBYTE


def can_evict(redis: RedisFacts) -> bool:
    """Return whether the policy finds something to evict when memory is full."""
    policy = redis.memory.policy
    if policy == "noeviction":
        return False
    return not policy.startswith("volatile-") or redis.keys_with_expiry > 0


def _evidence(redis: RedisFacts) -> Evidence:
    memory = redis.memory
    return {
        "used_memory": memory.used,
        "counted_memory": memory.counted,
        "maxmemory": memory.maximum,
        "percent": memory.used_percent,
        "policy": memory.policy,
        "evicted_keys": redis.traffic.evicted,
        "evicted_per_second": redis.traffic.evicted_per_second,
    }


@check("redis.memory.high", RedisFacts, warning=80, critical=95, unit="%")
def memory(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    percent = redis.memory.used_percent
    if percent is None:
        yield context.ok(_("Redis has no maxmemory to be near to"), evidence=_evidence(redis))
        return
    title = _("Redis uses {percent} % of its maxmemory ({policy})").format(
        percent=percent, policy=redis.memory.policy
    )
    status = _status_of_cache(redis, percent, context) if can_evict(redis) else context.status_above(percent)
    yield context.finding(status, title, value=percent, evidence=_evidence(redis))


def _status_of_cache(redis: RedisFacts, percent: float, context: Context) -> Status:
    traffic = redis.traffic
    lookups = traffic.hits + traffic.misses
    is_useless = lookups >= MINIMUM_LOOKUPS and 100 * traffic.hits / lookups < POOR_HIT_PERCENT
    is_churning = (traffic.evicted_per_second or 0) >= FAST_EVICTIONS_PER_SECOND
    is_full = context.critical is not None and percent >= context.critical
    return Status.WARNING if is_full and (is_churning or (is_useless and traffic.evicted)) else Status.OK


def _has_no_room(redis: RedisFacts) -> bool:
    """Return whether the next write is refused; between two that are, a key that ends may leave room for a small one."""
    maximum, counted = redis.memory.maximum, redis.memory.counted
    has_refused = redis.traffic.refused_writes.get("OOM", 0) > 0
    return bool(maximum) and (counted >= maximum or (has_refused and counted >= NO_ROOM_PART * maximum))


@check("redis.memory.refusing_writes", RedisFacts)
def refusing(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    disk = redis.persistence
    evidence = {**_evidence(redis), "refused_since_start": dict(redis.traffic.refused_writes)}
    if _has_no_room(redis) and not can_evict(redis):
        title = _("Redis refuses writes: memory is full and the policy is {policy}").format(
            policy=redis.memory.policy
        )
        hint = redis_cli(context.site, "info memory")
        yield context.crit(title, evidence={**evidence, "reason": "OOM"}, hint=hint)
    elif not disk.aof_write_ok or (
        not disk.bgsave_ok and disk.stops_writes is not False and disk.save_points != ""
    ):
        title = _("Redis refuses writes: it cannot save to disk (MISCONF)")
        hint = redis_cli(context.site, "info persistence")
        yield context.crit(title, evidence={**evidence, "reason": "MISCONF"}, hint=hint)
    else:
        yield context.ok(_("Neither memory nor disk makes Redis refuse writes"), evidence=evidence)


@check("redis.memory.over_container", Snapshot, warning=HEADROOM_PERCENT, unit="%")
def over_container(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    for observation in snapshot.of_system("redis"):
        if observation.facts_type != RedisFacts.__name__:
            continue
        about = context.about(observation.subject, server=observation.server)
        if isinstance(observation.facts, RedisFacts):
            yield _fits(observation.facts, snapshot, about)
        else:
            access = f"redis.service.unreachable@{observation.subject}"
            yield about.skipped(_("not looked at, see {code}").format(code=access))


def _fits(redis: RedisFacts, snapshot: Snapshot, context: Context) -> Finding:
    of_container = _container_limit(snapshot, redis.container)
    limit = of_container or redis.memory.system_total
    maximum = redis.memory.maximum
    evidence = {
        "maxmemory": maximum,
        "limit": limit,
        "limit_of": "container" if of_container else "server",
        "used_memory": redis.memory.used,
    }
    inspect = f"docker inspect --format '{{{{.HostConfig.Memory}}}}' {operands(redis.container or 'samaconso_redis')}"
    hint = context.on_server(inspect)
    if maximum == 0:
        title = _("Redis has no maxmemory: nothing stops it before the kernel kills it")
        return context.warn(title, evidence=evidence, hint=redis_cli(context.site, "config get maxmemory"))
    failure = _docker_failure(snapshot)
    if of_container is None and failure is not None:
        title = _(
            "maxmemory of Redis could not be compared with its container: Docker could not be looked at"
        )
        has_docker = failure.kind is not FailureKind.ABSENT
        return context.unknown(
            title, detail=describe(failure), evidence=evidence, hint=hint if has_docker else None
        )
    percent = round(100 * maximum / limit, 1) if limit else 0.0
    title = (
        _("maxmemory of Redis is {percent} % of its container's memory limit")
        if of_container
        else _("maxmemory of Redis is {percent} % of the server's memory")
    )
    is_over = context.warning is not None and percent > context.warning
    status = Status.WARNING if is_over else Status.OK
    return context.finding(status, title.format(percent=percent), value=percent, evidence=evidence, hint=hint)


def _container_limit(snapshot: Snapshot, name: str | None) -> int | None:
    """Return the container's memory limit in bytes (0: none), None when no such container was seen."""
    for _observation, docker in snapshot.facts_of(DockerFacts):
        container = docker.named(name) if name is not None else None
        if container is not None:
            return container.memory_limit
    return None


def _docker_failure(snapshot: Snapshot) -> Failure | None:
    failures = (observation.failure for observation in snapshot.of_system("docker"))
    return next((failure for failure in failures if failure is not None), None)


@check("redis.policy.different", RedisFacts)
def policy(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    expected = context.site.settings.redis.expected_policy if context.site.settings.redis else ""
    evidence = {"policy": redis.memory.policy, "expected": expected}
    if not expected or redis.memory.policy == expected:
        yield context.ok(
            _("The policy of Redis is {policy}").format(policy=redis.memory.policy), evidence=evidence
        )
        return
    title = _("The policy of Redis is {policy} instead of {expected}").format(
        policy=redis.memory.policy, expected=expected
    )
    hint = redis_cli(context.site, "config get maxmemory-policy")
    yield context.warn(title, value=redis.memory.policy, evidence=evidence, hint=hint)


@check(
    "redis.evictions.high",
    RedisFacts,
    needs=("eviction_rate",),
    warning=FAST_EVICTIONS_PER_SECOND,
    unit="keys/s",
)
def evictions(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    rate = redis.traffic.evicted_per_second or 0.0
    title = _("Redis evicts {rate:.0f} keys a second ({evicted} since its start)").format(
        rate=rate, evicted=redis.traffic.evicted
    )
    yield context.above(rate, title, evidence=_evidence(redis))


@check(
    "redis.fragmentation.high",
    RedisFacts,
    warning=1.5,  # redis.io, INFO: above 1.5 the process holds half as much again as its data
)
def fragmentation(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    held, ratio = redis.memory, redis.memory.fragmentation_ratio
    evidence = {
        "ratio": ratio,
        "used_memory": held.used,
        "resident": held.resident,
        "fragmented": held.fragmented,
        "purgeable": held.purgeable,
    }
    # Of a small Redis, half of what it may use is worth speaking of too.
    much = min(FRAGMENTED_ABOVE_BYTES, held.maximum // 2) if held.maximum else FRAGMENTED_ABOVE_BYTES
    if held.used - held.resident > FRAGMENTED_ABOVE_BYTES:
        title = _("{size} MB of Redis are swapped out: every access may wait for the disk").format(
            size=(held.used - held.resident) // MEBIBYTE
        )
        yield context.warn(title, value=ratio, evidence=evidence)
    elif held.resident - held.used < much:
        yield context.ok(_("Redis wastes no memory worth speaking of"), value=ratio, evidence=evidence)
    else:
        title = _("The Redis process holds {ratio} times the memory of its data").format(ratio=ratio)
        hint = samaops(context.site, "redis purge-memory --dry-run")
        yield context.above(ratio, title, evidence=evidence, hint=hint)
