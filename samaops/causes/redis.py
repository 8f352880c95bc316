"""Roots inside Redis while it answers: who fills it, and what it does when it is full."""

from __future__ import annotations

from samaops.causes.effects import Effects, OfSite, codes
from samaops.causes.root import Rank, Root, disruptive, root, safe, words_of
from samaops.causes.topology import effects_of_system, effects_on_dependents
from samaops.causes.view import View, failed
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.site.commands import on_server, redis_cli, samaops
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

_RESULT_PREFIX = "celery-task-meta-"
# A cache that evicts is no finding when it is full; the keys that never expire are.
_FULL_PERCENT = 80.0
_CANNOT_SAVE = "MISCONF"
_FULL = ("redis.memory.high", "redis.memory.refusing_writes", "redis.evictions.high")
_DEPENDENTS = effects_on_dependents("redis")


@root(
    "redis-results-without-expiry",
    "redis-cache-without-expiry",
    on="redis.keys.no_expiry",
    rank=Rank.STATE,
    runbook="redis-full",
    effects=(*codes("redis.*"), *_DEPENDENTS),
)
def redis_without_expiry(finding: Finding, view: View) -> Root:
    """Keys that never expire fill it: Celery's results, or somebody's cache."""
    full = [symptom.title for code in _FULL for symptom in view.bad(code)]
    owner = str(finding.evidence.get("dominant_prefix") or "")
    is_full = bool(full) or float(finding.evidence.get("memory_percent") or 0) >= _FULL_PERCENT
    is_results = owner.startswith(_RESULT_PREFIX)
    if is_results:
        title = _("Celery results without expiry fill Redis")
        text = _(
            "Set result_expires again; give the existing results an expiry in slices (EXPIRE, never FLUSHDB)"
        )
    else:
        title = _("Keys {prefix}* without expiry fill Redis").format(prefix=owner)
        text = _("Fix the code that writes them; give the existing keys an expiry in slices (never FLUSHDB)")
    look = redis_cli(view.site, f"--scan --pattern {_pattern(owner)} | head")
    return Root(
        title,
        (safe("redis.expire", text, look),),
        Verdict.CONFIRMED if is_full else Verdict.PROBABLE,
        id=None if is_results else "redis-cache-without-expiry",
        speaks_for=(words_of(finding), *full),
        speaks_against=() if is_full else (_("Redis is not full yet"),),
    )


def _pattern(prefix: str) -> str:
    """Return the prefix as a glob for the shell; a control character is any one character."""
    printable = (char if char.isprintable() else "?" for char in prefix)
    return quoted("".join(f"\\{char}" if char in "*[]\\" else char for char in printable) + "*")


@root("redis-big-key", on="redis.keys.big", rank=Rank.PART, runbook="redis-full", effects=codes(*_FULL))
def redis_big_key(_finding: Finding, _view: View) -> Root:
    """One key holds a large part of the memory."""
    text = _("Ask its owner; trim it in chunks or UNLINK it, never DEL")
    return Root(fixes=(safe("redis.owner", text),), verdict=Verdict.PROBABLE)


def _of_container(_finding: Finding, site: Site) -> Effects:
    container = site.settings.redis.container if site.settings.redis else None
    return _of_refusal(str(container))


def _of_refusal(container: str) -> Effects:
    return (
        *codes("redis.fork.failing", "redis.memory.refusing_writes"),
        *codes("docker.container.unhealthy", subject=f"docker/{container}"),
        *_DEPENDENTS,
    )


@root(
    "redis-refusing-writes",
    on="redis.memory.refusing_writes",
    rank=Rank.STATE,
    runbook="redis-full",
    effects=OfSite(_of_container, _of_refusal("CONTAINER")),
    distinguished_from=("redis-maxmemory-noeviction", "redis-cannot-save"),
)
def redis_refusing_writes(finding: Finding, view: View) -> Root | None:
    """It takes no write because it could not keep it."""
    if finding.evidence.get("reason") != _CANNOT_SAVE:
        return None
    saving = view.bad("redis.persistence.failing")
    container = view.site.settings.redis.container if view.site.settings.redis else None
    look = [f"docker logs --tail 50 {operands(container)}"] if container else []
    text = _(
        "Read why the save fails, repair that, and let it save again: writes are taken at once. Do not "
        "switch stop-writes-on-bgsave-error off"
    )
    commands = [*(on_server(view.site, finding.server, log) for log in look), redis_cli(view.site, "BGSAVE")]
    return Root(
        _("Redis refuses every write because it cannot save to disk"),
        (safe("redis.logs", text, *commands),),
        triggers=(finding, *saving),
        speaks_for=(
            *(words_of(refusal) for refusal in (finding, *saving)),
            *_room(view, finding.server),
        ),
    )


def _room(view: View, server: str | None) -> tuple[str, ...]:
    """Return what rules the usual reason out: a full disk, or too little memory."""
    disks = () if view.bad("servers.disk.*", server) else view.ok("servers.disk.full", server)
    reasons = [_("the disks of its server have room")] if disks else []
    if not view.bad("redis.memory.high"):
        reasons.append(_("its memory is not full"))
    return tuple(reasons)


@root(
    "redis-maxmemory-noeviction",
    on="redis.memory.refusing_writes",
    rank=Rank.PART,
    runbook="redis-full",
    effects=(*codes(*_FULL, "redis.policy.different"), *_DEPENDENTS),
    distinguished_from=("redis-refusing-writes",),
)
def redis_maxmemory_noeviction(finding: Finding, view: View) -> Root | None:
    """It is full and may not evict."""
    if finding.evidence.get("reason") == _CANNOT_SAVE:
        return None
    policy = view.bad("redis.policy.different")
    text = _("Put the guide's policy back; raise maxmemory only within the container's limit")
    do, undo = (
        redis_cli(view.site, f"CONFIG SET maxmemory-policy {name}") for name in ("allkeys-lru", "noeviction")
    )
    return Root(
        _("Redis is at maxmemory and its policy forbids eviction: every write is refused"),
        (safe("redis.policy", text, do, undo=undo),),
        speaks_for=tuple(symptom.title for symptom in (finding, *policy)),
    )


@root(
    "redis-memory-full",
    on="redis.memory.high",
    rank=Rank.WORK,
    runbook="redis-full",
    effects=codes(*_FULL, "redis.hits.low"),
)
def redis_memory_full(_finding: Finding, view: View) -> Root:
    """It is near its limit, and nobody in it stands out."""
    look = redis_cli(view.site, "--memkeys")
    return Root(
        fixes=(safe("redis.look", _("Find who owns the memory first"), look),), verdict=Verdict.PROBABLE
    )


@root(
    "redis-cannot-save",
    on="redis.persistence.failing",
    rank=Rank.PART,
    runbook="redis-full",
    effects=(*codes("redis.memory.refusing_writes"), *_DEPENDENTS),
    distinguished_from=("redis-refusing-writes",),
)
def redis_cannot_save(_finding: Finding, _view: View) -> Root:
    """It cannot write its file, and takes writes."""
    text = _("Read its log: disk full, or no memory to fork. Do not switch stop-writes-on-bgsave-error off")
    return Root(fixes=(safe("redis.logs", text),))


@root(
    "redis-clients-paused",
    on=failed("redis.service.unreachable", "no_answer"),
    rank=Rank.SERVICE,
    runbook="redis-full",
    effects=effects_of_system("redis"),
)
def redis_clients_paused(finding: Finding, view: View) -> Root | None:
    """CLIENT PAUSE ALL: it lets every command wait, also the one that would end the pause."""
    if finding.evidence.get("stage") != "paused":
        return None
    container = view.site.settings.redis.container if view.site.settings.redis else None
    look = redis_cli(view.site, "CLIENT UNPAUSE")
    fixes = [
        safe("redis.wait", _("Wait: it ends by itself, and this command is answered as soon as it has"), look)
    ]
    if container:
        text = _("Restart it, when nobody knows how long the pause was asked for")
        restart = samaops(view.site, f"docker restart {operands(container)}")
        fixes.append(disruptive("redis.restart", text, restart))
    return Root(_("The clients of Redis are paused (CLIENT PAUSE ALL): every command waits"), tuple(fixes))


@root(
    "redis-writes-paused",
    "redis-without-replicas",
    "redis-is-a-replica",
    "redis-user-may-not-write",
    "redis-cluster-down",
    on="redis.write.refused",
    rank=Rank.STATE,
    runbook="redis-full",
    effects=(*codes("redis.write.*", "redis.clients.blocked", "redis.acl.denied"), *_DEPENDENTS),
)
def redis_takes_no_write(finding: Finding, view: View) -> Root:
    """It is well and takes no write, because it was told so: the reason says which command takes that back."""
    id_, fix = _way_back(finding, view)
    well = view.ok("redis.memory.refusing_writes")
    return Root(fixes=(fix,), id=id_, speaks_for=(words_of(finding), *(symptom.title for symptom in well)))


def _way_back(finding: Finding, view: View) -> tuple[str, Fix]:
    evidence = finding.evidence
    reason = evidence.get("reason")
    if reason == "held":
        text = _("End the pause, when no failover needs it; it also ends by itself")
        return "redis-writes-paused", safe("redis.unpause", text, redis_cli(view.site, "CLIENT UNPAUSE"))
    if reason == "NOREPLICAS":
        text = _("The guide has no replicas: ask for none. Where there are some, repair those first")
        name = "CONFIG SET min-replicas-to-write"
        needed = evidence.get("replicas_needed")
        undo = redis_cli(view.site, f"{name} {needed}") if isinstance(needed, int) else None
        return "redis-without-replicas", safe(
            "redis.replicas", text, redis_cli(view.site, f"{name} 0"), undo=undo
        )
    if reason in ("READONLY", "replica"):
        text = _(
            "See since when it follows which server: if none is meant to be followed, make it a primary again; what the"
            " other has and this has not is lost then"
        )
        look = redis_cli(view.site, "info replication")
        return "redis-is-a-replica", disruptive(
            "redis.primary", text, look, redis_cli(view.site, "REPLICAOF NO ONE")
        )
    if reason == "NOPERM":
        text = _("See what the user may do; give the application's user its rights back")
        look, do, undo = (
            redis_cli(view.site, f"ACL {words}")
            for words in ("GETUSER default", "SETUSER default +@write", "SETUSER default -@write")
        )
        return "redis-user-may-not-write", safe("redis.rights", text, look, do, undo=undo)
    text = _("See which slots or nodes are missing")
    return "redis-cluster-down", safe("redis.cluster", text, redis_cli(view.site, "CLUSTER INFO"))
