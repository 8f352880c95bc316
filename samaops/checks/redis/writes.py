"""Judge whether Redis takes writes, beside what its memory and its disk allow (``memory``)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import asdict

from samaops.checks.failures import describe
from samaops.checks.registry import Context, access, check
from samaops.facts.redis import RedisFacts, RedisProbe, RedisWriting
from samaops.i18n import _, joined
from samaops.model.finding import Finding
from samaops.site.commands import redis_cli

RECENT_SECONDS = 300.0

access(
    "redis.write.probe",
    RedisProbe,
    title=lambda seen: _("Redis took a marked key, gave it back and removed it in {ms} ms").format(
        ms=seen.milliseconds
    ),
    value=lambda seen: seen.milliseconds,
)
SHOWN = 5


@check("redis.write.refused", RedisFacts, needs=("writing",))
def refused(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    writing = redis.writing
    if writing is None:
        yield context.skipped(_("this look did not observe it"))
        return
    evidence = asdict(writing)
    refusal = next(_refusals(writing), None)
    unseen = _unseen(writing)
    if refusal is not None:
        reason, title = refusal
        hint = redis_cli(context.site, "info replication")
        yield context.crit(title, evidence={**evidence, "reason": reason}, hint=hint)
    elif writing.role != "master":
        title = _("Redis is a replica of {primary}: what is written here is lost when it is synchronised")
        yield context.warn(title.format(primary=writing.primary), evidence={**evidence, "reason": "replica"})
    elif unseen:
        title = _("Whether Redis takes writes could not be seen")
        yield context.unknown(title, detail=joined(_why(part, context) for part in unseen), evidence=evidence)
    else:
        yield context.ok(_("Redis takes writes"), evidence=evidence)


def _refusals(writing: RedisWriting) -> Iterator[tuple[str, str]]:
    """Yield what keeps every write out: the word of Redis for it, and a sentence. As Redis itself goes about it."""
    if writing.refusal:
        yield "NOPERM", _("Redis refuses the user default every write: {words}").format(words=writing.refusal)
    if writing.cluster_state not in ("", "ok"):
        yield (
            "CLUSTERDOWN",
            _("Redis refuses: the state of its cluster is {state}").format(state=writing.cluster_state),
        )
    if writing.is_held:
        yield "held", _("Redis holds every write back: its clients are paused (CLIENT PAUSE WRITE)")
    needed, good = writing.replicas_needed, writing.replicas_good
    if writing.role == "master" and good is not None and good < (1 if needed is None else needed):
        yield (
            "NOREPLICAS",
            _(
                "Redis refuses every write: min-replicas-to-write asks for {needed} replicas and {good} are well (NOREPLICAS)"
            ).format(needed="?" if needed is None else needed, good=good),
        )
    if writing.role != "master" and writing.is_read_only is not False:
        yield (
            "READONLY",
            _("Redis refuses every write: it is a replica of {primary} (READONLY)").format(
                primary=writing.primary
            ),
        )


def _unseen(writing: RedisWriting) -> tuple[str, ...]:
    """Return the parts without which it stays open whether writes are taken."""
    replicas = ("replicas",) if writing.replicas_good is not None and writing.replicas_needed is None else ()
    return (*replicas, *(("held",) if writing.is_held is None else ()))


def _why(part: str, context: Context) -> str:
    looks = (look for look in context.snapshot.of_system("redis") if look.subject == context.subject)
    failure = next((look.missing[part] for look in looks if part in look.missing), None)
    return part if failure is None else describe(failure)


@check("redis.acl.denied", RedisFacts, needs=("denied",))
def denied(redis: RedisFacts, context: Context) -> Iterator[Finding]:
    if redis.denied is None:
        yield context.skipped(_("this look did not observe it"))
        return
    recent = sorted(
        (line for line in redis.denied if line.age_seconds <= RECENT_SECONDS), key=lambda line: -line.count
    )
    evidence = {"denied": [asdict(line) for line in recent[:SHOWN]]}
    if not recent:
        yield context.ok(_("Redis has refused no user a command of late"), evidence=evidence)
        return
    first = recent[0]
    title = (
        _("Redis refuses the log-in of user {user} ({count} times, the last one {age:.0f} s ago)")
        if first.reason == "auth"
        else _("Redis refuses user {user} {what} ({count} times, the last one {age:.0f} s ago)")
    )
    yield context.warn(
        title.format(user=first.user, what=first.what, count=first.count, age=first.age_seconds),
        value=sum(line.count for line in recent),
        evidence=evidence,
        hint=redis_cli(context.site, "acl log"),
    )
