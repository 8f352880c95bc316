"""End one connection to Redis."""

from __future__ import annotations

import re

from msgspec.structs import replace

from samaops.changes.readings import known, reading
from samaops.changes.redis.server import command, configured, facts
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts import selection
from samaops.facts.observation import Snapshot
from samaops.facts.redis import RedisClientSeen
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.model.quantities import duration
from samaops.site.site import Site

CLIENT = "redis.client"
_NAMED = re.compile(r"\d+|\S+:\d+")
# Of CLIENT LIST: its replicas, and who it replicates from.
_REPLICATION = "MS"


def _codes(*of: object) -> tuple[str, ...]:
    return (selection.of(CLIENT, str(of[0])),)


def _clients(snapshot: Snapshot) -> tuple[RedisClientSeen, ...]:
    return known(facts(snapshot).clients, _("who is connected to Redis"))


@reading("redis.has_client", codes=_codes)
def has_client(snapshot: Snapshot, number: int | str) -> Scalar:
    """Return whether the connection with this id is there."""
    return any(client.id == int(number) for client in _clients(snapshot))


def _looks(site: Site, word: str) -> tuple[str, ...]:
    configured(site)
    if not _NAMED.fullmatch(word):
        text = _("{word!r} is neither the id of a client nor its address")
        raise UsageError(text.format(word=word), hint="samaops redis clients")
    return _codes(word)


@verb("redis kill-client", looks=_looks)
def plan_kill(snapshot: Snapshot, site: Site, word: str) -> Plan:
    """Plan that one connection ends. Guard: no replication is cut."""
    named = [client for client in _clients(snapshot) if word in (str(client.id), client.address)]
    title = _("End the connection {word} to Redis").format(word=word)
    plan = Plan("redis kill-client", (word,), title, target=word)
    client = next((client for client in named if not client.is_ours), None)
    if client is None:
        return replace(plan, nothing_to_do=_("no client {word} is connected").format(word=word))
    if any(flag in client.flags for flag in _REPLICATION):
        text = _("{address} replicates: without it, writes may be refused and a replica begins anew")
        raise RefusedError(text.format(address=client.address), hint="samaops redis cli -- info replication")
    of = (client.id,)
    there = _("client {id} ({address}) is connected").format(id=client.id, address=client.address)
    gone = _("client {id} is not connected").format(id=client.id)
    step = Step(
        "redis.kill_client",
        title,
        Risk.DISRUPTIVE,
        operation=command(site, "CLIENT", "KILL", "ID", str(client.id)),
        before=(Condition("redis.has_client", of, True, there),),
        after=(Condition("redis.has_client", of, False, gone),),
        no_undo=_("its program connects again, if it does"),
        servers=site.servers_of("redis"),
    )
    text = _("{address} {name}: last command {command}, {idle} ago; its program may connect again at once")
    words = {"address": client.address, "name": client.name, "command": client.command or "-"}
    return replace(plan, steps=(step,), notes=(text.format(idle=duration(client.idle_seconds), **words),))
