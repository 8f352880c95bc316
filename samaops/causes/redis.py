"""Roots inside Redis while it answers: who fills it, and what it does when it is full."""

from __future__ import annotations

from samaops.causes.effects import Effects, OfSite, codes
from samaops.causes.root import Rank, Root, disruptive, root, safe, words_of
from samaops.causes.topology import effects_of_system, effects_on_dependents
from samaops.causes.view import View, failed
from samaops.facts.redis import BROKER, REPLIES, RESULTS, owner_of
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.quantities import size
from samaops.site.commands import on_server, redis_cli, samaops
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

# A cache that evicts is no finding when it is full; the keys that never expire are.
_FULL_PERCENT = 80.0
_NEARLY_ALL = 0.8
_CANNOT_SAVE = "MISCONF"
_FULL = ("redis.memory.high", "redis.memory.refusing_writes", "redis.evictions.high")
_DEPENDENTS = effects_on_dependents("redis")


# Whose they are, by their names; the application's cache otherwise.
_WITHOUT_EXPIRY = {RESULTS: "redis-results-without-expiry", REPLIES: "redis-orphan-replies"}


@root(
    "redis-broker-backlog",
    on="redis.queue.backlog",
    rank=Rank.STATE,
    runbook="redis-full",
    effects=(*codes("redis.keys.*", *_FULL), *_DEPENDENTS),
    distinguished_from=("redis-big-key",),
)
def redis_broker_backlog(finding: Finding, view: View) -> Root:
    """Tasks wait in Redis, as where it is Celery's broker, and nobody takes them: more room cures nothing."""
    text = _(
        "Start what consumes them, or ask who still publishes to Redis; never DEL: they are customers' notifications"
    )
    look = samaops(view.site, "workers list")
    full = [symptom.title for code in (*_FULL, "redis.keys.big") for symptom in view.bad(code)]
    return Root(fixes=(safe("owner.backlog", text, look),), speaks_for=(words_of(finding), *full))


@root(
    "redis-results-without-expiry",
    "redis-cache-without-expiry",
    "redis-orphan-replies",
    on="redis.keys.no_expiry",
    rank=Rank.STATE,
    runbook="redis-full",
    effects=(*codes("redis.*"), *_DEPENDENTS),
    distinguished_from=("redis-big-key",),
)
def redis_without_expiry(finding: Finding, view: View) -> Root | None:
    """Keys that never expire fill it: Celery's results or control replies, or somebody's cache."""
    full = [symptom.title for code in _FULL for symptom in view.bad(code)]
    owner = str(finding.evidence.get("dominant_prefix") or "")
    kind = owner_of(owner, view.site.settings.rabbitmq.queues if view.site.settings.rabbitmq else ())
    if kind == BROKER or _is_one_key(owner, finding, view):
        return None
    is_full = bool(full) or float(finding.evidence.get("memory_percent") or 0) >= _FULL_PERCENT
    if kind == RESULTS:
        title = _("Celery results without expiry fill Redis")
        text = _(
            "Set result_expires again; give the existing results an expiry in slices (EXPIRE, never FLUSHDB)"
        )
    elif kind == REPLIES:
        title = _("Control replies that nobody fetched, and that never expire, fill Redis")
        text = _(
            "Stop what asks the workers so often (inspect, Flower); give the replies an expiry in slices"
        )
    else:
        title = _("Keys {prefix}* without expiry fill Redis").format(prefix=owner)
        text = _("Fix the code that writes them; give the existing keys an expiry in slices (never FLUSHDB)")
    expire = (samaops(view.site, f"redis expire {quoted(owner)} --dry-run"),) if owner else ()
    return Root(
        title,
        (safe("redis.expire", text, *expire),),
        Verdict.CONFIRMED if is_full else Verdict.PROBABLE,
        id=_WITHOUT_EXPIRY.get(kind, "redis-cache-without-expiry"),
        speaks_for=(words_of(finding), *full),
        speaks_against=() if is_full else (_("Redis is not full yet"),),
    )


def _is_one_key(prefix: str, finding: Finding, view: View) -> bool:
    """Return whether what never expires is nearly all one large key: an expiry by prefix is no answer to that."""
    bytes_of_all = float(finding.evidence.get("no_expiry_bytes") or 0)
    return any(
        str(big.evidence.get("key") or "").startswith(prefix.strip("*"))
        and float(big.evidence.get("bytes") or 0) >= _NEARLY_ALL * bytes_of_all
        for big in view.bad("redis.keys.big")
    )


@root(
    "redis-big-key",
    on="redis.keys.big",
    rank=Rank.PART,
    runbook="redis-full",
    effects=codes("redis.keys.no_expiry", *_FULL),
    distinguished_from=("redis-cache-without-expiry", "redis-broker-backlog"),
)
def redis_big_key(_finding: Finding, view: View) -> Root:
    """One key holds a large part of the memory."""
    text = _("Ask its owner; trim it in chunks or UNLINK it, never DEL")
    look = samaops(view.site, "redis bigkeys")
    return Root(fixes=(safe("owner.key", text, look),), verdict=Verdict.PROBABLE)


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
    commands = [
        *(on_server(view.site, finding.server, log) for log in look),
        samaops(view.site, "redis save"),
    ]
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
    expected = policy[0].evidence.get("expected") if policy else None
    words = f"redis set-policy {quoted(str(expected))}" if expected else "redis memory"
    do = samaops(view.site, words)
    undo = samaops(view.site, "undo ID") if expected else None
    return Root(
        _("Redis is at maxmemory and its policy forbids eviction: every write is refused"),
        (safe("redis.policy", text, do, undo=undo),),
        speaks_for=tuple(symptom.title for symptom in (finding, *policy)),
    )


@root(
    "redis-policy-different",
    on="redis.policy.different",
    rank=Rank.PART,
    runbook="redis-full",
    effects=codes("redis.evictions.high", "redis.hits.low", "redis.memory.high"),
    distinguished_from=("redis-maxmemory-noeviction", "redis-memory-full"),
)
def redis_policy_different(finding: Finding, view: View) -> Root:
    """It evicts other keys than the guide wants, or none: what is cached, or Celery's results, go before their time."""
    expected = str(finding.evidence.get("expected") or "POLICY")
    text = _("Ask who set it and why; put the guide's policy back")
    do = samaops(view.site, f"redis set-policy {quoted(expected)}")
    effects = [symptom.title for code in (*_FULL, "redis.hits.low") for symptom in view.bad(code)]
    return Root(
        fixes=(safe("redis.policy", text, do, undo=samaops(view.site, "undo ID")),),
        speaks_for=(words_of(finding), *effects),
    )


@root(
    "redis-without-limit",
    on="redis.memory.over_container",
    rank=Rank.PART,
    runbook="redis-full",
    distinguished_from=("container-oom-killed",),
)
def redis_without_limit(finding: Finding, view: View) -> Root:
    """Its limit is none, or as large as its container: the kernel kills it before it evicts or refuses."""
    text = _("Set maxmemory to 60 to 75 % of what its container or server has")
    do = samaops(view.site, "redis set-maxmemory BYTES")
    fix = safe("redis.maxmemory", text, do, undo=samaops(view.site, "undo ID"))
    return Root(fixes=(fix,), speaks_for=(words_of(finding),))


@root("redis-fragmented", on="redis.fragmentation.high", rank=Rank.PART, runbook="redis-full")
def redis_fragmented(finding: Finding, view: View) -> Root | None:
    """The process holds far more than its data: it was larger once, and what is left lies scattered."""
    ratio = finding.evidence.get("ratio")
    if not isinstance(ratio, (int, float)) or ratio < 1:
        return None  # it is swapped out: another fault
    text = _(
        "Let the allocator give back what it keeps; what lies between the data goes with a restart in a quiet hour"
    )
    against = _("nothing is refused for it: Redis counts its data, not its process")
    return Root(
        fixes=(safe("redis.purge", text, samaops(view.site, "redis purge-memory")), *_restart(finding, view)),
        speaks_for=(words_of(finding),),
        speaks_against=() if view.bad("redis.memory.refusing_writes") else (against,),
    )


def _can_give_back(finding: Finding) -> bool:
    """Return whether the allocator has most of what is too much; where that was not seen, it is asked first."""
    used, resident, purgeable = (
        finding.evidence.get(key) for key in ("used_memory", "resident", "purgeable")
    )
    if not (isinstance(used, int) and isinstance(resident, int) and isinstance(purgeable, int)):
        return True
    return 2 * purgeable >= resident - used


def _restart(finding: Finding, view: View) -> tuple[Fix, ...]:
    """Return the restart that gives back what lies between the data, where the allocator can give back little."""
    container = view.site.settings.redis.container if view.site.settings.redis else None
    if container is None or _can_give_back(finding):
        return ()
    text = _("Restart it in a quiet hour: of {all} too much its allocator can give back {purgeable} alone")
    used, resident, purgeable = (
        int(finding.evidence[key]) for key in ("used_memory", "resident", "purgeable")
    )
    command = samaops(view.site, f"docker restart {operands(container)}")
    return (
        disruptive(
            "redis.restart", text.format(all=size(resident - used), purgeable=size(purgeable)), command
        ),
    )


@root(
    "redis-expiry-late",
    on="redis.expiry.late",
    rank=Rank.WORK,
    runbook="redis-full",
    effects=codes(*_FULL),
    distinguished_from=("redis-memory-full",),
)
def redis_expiry_late(finding: Finding, view: View) -> Root:
    """So many keys ended at once that it does not come to remove them: reading them removes them too."""
    text = _(
        "Look at all keys once, slowly: each that is over goes when it is touched; spread the expiries in the code"
    )
    look = samaops(view.site, "redis bigkeys --rate 20000")
    return Root(fixes=(safe("redis.touch", text, look),), speaks_for=(words_of(finding),))


@root(
    "redis-memory-full",
    on="redis.memory.high",
    rank=Rank.WORK,
    runbook="redis-full",
    effects=codes(*_FULL, "redis.hits.low"),
)
def redis_memory_full(_finding: Finding, view: View) -> Root:
    """It is near its limit, and nobody in it stands out."""
    look = samaops(view.site, "redis memory")
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
