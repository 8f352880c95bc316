"""Set how much memory Redis may use and what it evicts then; give back what its allocator keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.readings import facts_in, known
from samaops.changes.redis.server import MEMORY, command, configured, facts
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.redis import RedisFacts
from samaops.facts.servers import ServerFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.model.quantities import size
from samaops.site.site import Site

PURGE = "redis.purge"
# Redis's own, of CONFIG SET maxmemory: "kb" are 1024 bytes, "k" are 1000.
_UNITS = {
    "": 1, "b": 1, "k": 10**3, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30,
}  # fmt: skip
_AMOUNT = re.compile(r"(\d+)\s*([a-z]*)", re.IGNORECASE)
POLICIES = (
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
    "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
)  # fmt: skip
# causes.md R12: what the data takes is not all; fragmentation, buffers and a fork's pages come on top.
_MOST_OF_LIMIT = 0.9
_FULL_PERCENT = 95.0


class Room(Struct, frozen=True):
    """What is around Redis, in bytes: the limit of its container (0: none), and the memory of its server."""

    container: int
    total: int
    available: int


def amount(text: str) -> int:
    """Return an amount of memory in bytes. Raises UsageError."""
    match = _AMOUNT.fullmatch(text.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or not int(match[1]):
        raise UsageError(_("{text!r} is no amount of memory, as 200mb or 2gb").format(text=text))
    return int(match[1]) * unit


def _maxmemory_looks(site: Site, text: str) -> tuple[str, ...]:
    section = configured(site)
    amount(text)
    return (*MEMORY, "servers.memory", *(("docker.container",) if section.container else ()))


@verb("redis set-maxmemory", looks=_maxmemory_looks)
def plan_maxmemory(snapshot: Snapshot, site: Site, text: str) -> Plan:
    """Plan another limit of its memory, by CONFIG SET.

    Guards: it fits into the container and into the server's memory, and holds what Redis holds now.
    """
    seen, wanted = facts(snapshot), amount(text)
    now = seen.memory.maximum
    was = size(now) if now else _("no limit")
    title = _("Set maxmemory of Redis from {now} to {wanted}").format(now=was, wanted=size(wanted))
    plan = Plan("redis set-maxmemory", (text,), title, target="redis")
    if wanted == now:
        return replace(plan, nothing_to_do=_("maxmemory is {size}").format(size=size(now)))
    room = _room(snapshot, site)
    _guard_room(site, seen, wanted, room)
    step = Step(
        "redis.set_maxmemory",
        title,
        Risk.SAFE,
        operation=command(site, "CONFIG", "SET", "maxmemory", str(wanted)),
        undo=command(site, "CONFIG", "SET", "maxmemory", str(now)),
        before=(Condition("redis.maxmemory", (), now, _("maxmemory is {size}").format(size=was)),),
        after=(Condition("redis.maxmemory", (), wanted, _("maxmemory is {size}").format(size=size(wanted))),),
        servers=site.servers_of("redis"),
    )
    return replace(plan, steps=(step,), notes=tuple(_notes(site, seen, room, wanted)))


def _room(snapshot: Snapshot, site: Site) -> Room:
    section = configured(site)
    server = facts_in(snapshot, ServerFacts, section.server)
    if not section.container:
        return Room(0, server.memory_total, server.memory_available)
    container = facts_in(snapshot, DockerFacts, section.server).named(section.container)
    words = _("which memory limit the container {name} has").format(name=section.container)
    return Room(known(container, words).memory_limit, server.memory_total, server.memory_available)


def _guard_room(site: Site, seen: RedisFacts, wanted: int, room: Room) -> None:
    memory, section = seen.memory, configured(site)
    if wanted < memory.counted:
        text = _(
            "Redis holds {used} already: with {wanted} it would evict keys or refuse writes at once; see who has it first"
        )
        raise RefusedError(
            text.format(used=size(memory.counted), wanted=size(wanted)), hint="samaops redis memory"
        )
    most = int(room.container * _MOST_OF_LIMIT)
    if room.container and wanted > most:
        text = _(
            "{wanted} does not fit: the container {name} may use {limit}, and Redis needs room beside its data; at most {most}"
        )
        words = {"wanted": size(wanted), "name": section.container, "limit": size(room.container)}
        raise RefusedError(text.format(most=size(most), **words))
    kept = room.total * site.settings.safety.minimum_free_percent / 100
    if room.available - max(0, wanted - memory.used) < kept:
        text = _(
            "{server} has {free} of memory to spare ({total} in all): Redis may not take {more} more of it"
        )
        words = {"free": size(room.available), "total": size(room.total), "more": size(wanted - memory.used)}
        raise RefusedError(text.format(server=section.server, **words))


def _notes(site: Site, seen: RedisFacts, room: Room, wanted: int) -> Iterator[str]:
    section = configured(site)
    container = size(room.container) if room.container else _("without a limit of its own")
    text = _("It uses {used} now; its container {name}: {container}; {server}: {free} free of {total}")
    yield text.format(
        used=size(seen.memory.used),
        name=section.container or "-",
        container=container,
        server=section.server,
        free=size(room.available),
        total=size(room.total),
    )
    text = _("It lasts until Redis starts again: write --maxmemory {bytes} where it is started too")
    yield text.format(bytes=wanted)


def _policy_looks(site: Site, policy: str) -> tuple[str, ...]:
    configured(site)
    if policy not in POLICIES:
        text = _("{policy!r} is none of {policies}")
        raise UsageError(text.format(policy=policy, policies=", ".join(POLICIES)))
    return MEMORY


@verb("redis set-policy", looks=_policy_looks)
def plan_policy(snapshot: Snapshot, site: Site, policy: str) -> Plan:
    """Plan another policy of eviction, by CONFIG SET. Guard: a full Redis is not forbidden to evict."""
    seen, now = facts(snapshot), facts(snapshot).memory.policy
    title = _("Set maxmemory-policy of Redis from {now} to {policy}").format(now=now, policy=policy)
    plan = Plan("redis set-policy", (policy,), title, target="redis")
    if policy == now:
        return replace(plan, nothing_to_do=_("the policy is {policy}").format(policy=now))
    is_full = (seen.memory.used_percent or 0) >= _FULL_PERCENT
    evicts_nothing = policy == "noeviction" or (policy.startswith("volatile-") and not seen.keys_with_expiry)
    if is_full and evicts_nothing:
        text = _(
            "Redis is {percent} % full, and {policy} has nothing to evict: it would refuse writes at once"
        )
        raise RefusedError(
            text.format(percent=seen.memory.used_percent, policy=policy), hint="samaops redis memory"
        )
    step = Step(
        "redis.set_policy",
        title,
        Risk.DISRUPTIVE if is_full else Risk.SAFE,
        operation=command(site, "CONFIG", "SET", "maxmemory-policy", policy),
        undo=command(site, "CONFIG", "SET", "maxmemory-policy", now),
        before=(Condition("redis.policy", (), now, _("the policy is {policy}").format(policy=now)),),
        after=(Condition("redis.policy", (), policy, _("the policy is {policy}").format(policy=policy)),),
        servers=site.servers_of("redis"),
    )
    return replace(plan, steps=(step,), notes=tuple(_policy_notes(seen, policy, is_full=is_full)))


def _policy_notes(seen: RedisFacts, policy: str, *, is_full: bool) -> Iterator[str]:
    forever = seen.keys - seen.keys_with_expiry
    if policy.startswith("allkeys-") and forever:
        text = _(
            "{policy} may evict any key, also the {count} that have no expiry, Celery's results among them"
        )
        yield text.format(policy=policy, count=forever)
    if is_full:
        yield _("Redis is full: it evicts as soon as something is written")
    text = _("It lasts until Redis starts again: write --maxmemory-policy {policy} where it is started too")
    yield text.format(policy=policy)


def _purge_looks(site: Site) -> tuple[str, ...]:
    configured(site)
    return MEMORY


@verb("redis purge-memory", looks=_purge_looks)
def plan_purge(snapshot: Snapshot, site: Site) -> Plan:
    """Plan that the allocator gives back what it keeps and nobody uses, by MEMORY PURGE."""
    memory = facts(snapshot).memory
    title = _("Let Redis give back the memory that its allocator keeps")
    plan = Plan("redis purge-memory", (), title, target="redis")
    if memory.purgeable is not None and memory.purgeable <= 0:
        return replace(plan, nothing_to_do=_("its allocator keeps nothing that it could give back"))
    step = Step(
        "redis.purge_memory",
        title,
        Risk.SAFE,
        operation=Operation(PURGE, {}, configured(site).server, 30.0),
        before=(),
        after=(),
        no_undo=_("memory that is free is taken again when it is needed"),
        servers=site.servers_of("redis"),
    )
    text = _("The process holds {resident} for {used} of data; the allocator could give back {purgeable}")
    words = {"resident": size(memory.resident), "used": size(memory.used)}
    purgeable = "?" if memory.purgeable is None else size(memory.purgeable)
    notes = [text.format(purgeable=purgeable, **words)]
    if memory.fragmented:
        text = _("{size} more lie between what is used: only a restart in a quiet hour gives those back")
        notes.append(text.format(size=size(memory.fragmented)))
    return replace(plan, steps=(step,), notes=tuple(notes))
