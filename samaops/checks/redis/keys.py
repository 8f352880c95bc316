"""Judge the sampled keys of Redis: who never expires, and what is too big."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, check
from samaops.facts.redis import RESULT_PREFIX, KeyGroup, KeySample, RedisFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.site.commands import redis_cli, samaops

CELERY_RESULTS = RESULT_PREFIX
MEMORY_MATTERS_PERCENT = 50.0
MINIMUM_RESULTS = 100
FULL_PERCENT = 80.0
BIG_FROM_PERCENT = 20.0


def _by_prefix(sample: KeySample) -> dict[str, dict[str, int]]:
    return {
        group.prefix: {"keys": group.keys, "no_expiry": group.no_expiry, "bytes": group.bytes}
        for group in sample.groups
    }


def _evidence(redis: RedisFacts, sample: KeySample) -> Evidence:
    owner = max(sample.groups, key=lambda group: group.no_expiry_bytes, default=None)
    dominant = owner if owner is not None and owner.no_expiry_bytes > 0 else None
    return {
        "database_keys": sample.database_keys,
        "sampled": sample.sampled,
        "no_expiry": sample.no_expiry,
        "bytes": sample.bytes,
        "no_expiry_bytes": sample.no_expiry_bytes,
        "memory_percent": redis.memory.used_percent,
        "dominant_prefix": dominant.prefix if dominant else None,
        "dominant_share_percent": _percent(dominant.no_expiry_bytes, sample.bytes) if dominant else 0.0,
        "by_prefix": _by_prefix(sample),
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


@check("redis.keys.no_expiry", RedisFacts, needs=("keys",), warning=50, unit="%")
def no_expiry(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    sample = redis.sample
    if sample is None or not sample.sampled:
        yield context.ok(_("Redis has no keys in the configured database"))
        return
    percent = max(_percent(sample.no_expiry_bytes, sample.bytes), _percent(sample.no_expiry, sample.sampled))
    evidence = _evidence(redis, sample)
    results = next((group for group in sample.groups if group.prefix == CELERY_RESULTS), None)
    if context.warning is not None and results is not None and _results_leak(results, context.warning):
        title = _("{count} of {keys} sampled Celery results in Redis never expire: memory only grows").format(
            count=results.no_expiry, keys=results.keys
        )
        yield context.warn(title, value=percent, evidence=evidence, hint=_hint(context, CELERY_RESULTS))
        return
    title = _(
        "{percent} % of the sampled Redis keys never expire ({sampled} of {keys} keys looked at)"
    ).format(percent=percent, sampled=sample.sampled, keys=sample.database_keys)
    is_large = context.warning is not None and percent >= context.warning
    if is_large and (redis.memory.used_percent or 0) > MEMORY_MATTERS_PERCENT:
        prefix = evidence["dominant_prefix"] or ""
        yield context.warn(title, value=percent, evidence=evidence, hint=_hint(context, prefix))
    else:
        yield context.ok(title, value=percent, evidence=evidence)


def _results_leak(results: KeyGroup, limit: float) -> bool:
    """Celery always gives results an expiry (a day by default): without one, something switched it off."""
    return results.no_expiry >= MINIMUM_RESULTS and _percent(results.no_expiry, results.keys) >= limit


def _hint(context: Context, prefix: str) -> str:
    # What is not plain ASCII is left out of the pattern: a hint must be safe to paste.
    plain = "".join(
        letter for letter in prefix if letter.isascii() and (letter.isalnum() or letter in "-_:.")
    )
    return redis_cli(context.site, f"--scan --pattern '{plain}*' | head -5")


@check("redis.keys.big", RedisFacts, needs=("keys",), warning=20, unit="%")
def big(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    sample, used = redis.sample, redis.memory.used
    if sample is None or not sample.sampled:
        yield context.ok(_("Redis has no keys in the configured database"))
        return
    # An almost empty Redis consists of its largest key: that means something only when memory is in use.
    matters = used >= (redis.memory.maximum or redis.memory.system_total) * BIG_FROM_PERCENT / 100
    percent = _percent(sample.largest_bytes, used)
    explained = _percent(sample.estimated_bytes, used)
    evidence = {
        "key": sample.largest_key,
        "bytes": sample.largest_bytes,
        "used_memory": used,
        "sampled": sample.sampled,
        "database_keys": sample.database_keys,
        "explained_percent": explained,
    }
    hint = samaops(context.site, "redis bigkeys")
    if matters and context.warning is not None and percent >= context.warning:
        title = _("One key holds {percent} % of the memory of Redis: {key}").format(
            percent=percent, key=sample.largest_key
        )
        yield context.warn(title, value=percent, evidence=evidence, hint=hint)
    elif not sample.is_complete and (redis.memory.used_percent or 0) >= FULL_PERCENT and explained < 50:
        title = _(
            "A few big keys hold the memory of Redis: {sampled} sampled keys explain {percent} % of it"
        ).format(sampled=sample.sampled, percent=explained)
        yield context.warn(title, value=percent, evidence=evidence, hint=hint)
    else:
        title = _("The largest of {sampled} sampled keys holds {percent} % of the memory of Redis").format(
            sampled=sample.sampled, percent=percent
        )
        yield context.ok(title, value=percent, evidence=evidence)


@check(
    "redis.queue.backlog",
    RedisFacts,
    needs=("backlog",),
    warning=1000,  # the guide's broker is RabbitMQ: a thousand tasks in Redis are nobody's burst
    unit="tasks",
)
def backlog(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    if redis.backlog is None:
        yield context.skipped(_("this look did not observe it"))
        return
    waiting = {tasks.key: tasks.count for tasks in redis.backlog}
    count = sum(waiting.values())
    if not count:
        yield context.ok(_("No Celery task waits in Redis"), value=0, evidence={"waiting": waiting})
        return
    longest = max(waiting, key=waiting.__getitem__)
    title = ngettext(
        "{count} Celery task waits in Redis ({queue})",
        "{count} Celery tasks wait in Redis, most of them in {queue}",
        count,
    )
    yield context.above(
        count,
        title.format(count=count, queue=longest),
        evidence={"waiting": waiting, "queue": longest, "memory_percent": redis.memory.used_percent},
        hint=samaops(context.site, "workers list"),
    )


@check(
    "redis.expiry.late",
    RedisFacts,
    # redis.conf, active-expire-effort: the effort of 1 lets at most a tenth of the keys with an expiry be over and still
    # there; well above that it does not keep up.
    warning=25,
    unit="%",
)
def late_expiry(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    percent = redis.traffic.stale_percent
    if percent is None:
        yield context.skipped(_("this look did not observe it"))
        return
    title = _("{percent} % of the keys with an expiry are over and still take memory").format(percent=percent)
    evidence = {"keys_with_expiry": redis.keys_with_expiry, "memory_percent": redis.memory.used_percent}
    if (redis.memory.used_percent or 0) < MEMORY_MATTERS_PERCENT:
        yield context.ok(title, value=percent, evidence=evidence)
    else:
        yield context.above(percent, title, evidence=evidence, hint=samaops(context.site, "redis memory"))
