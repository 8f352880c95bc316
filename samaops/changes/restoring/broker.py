"""What RabbitMQ lacks of the definitions in a backup, made again; what it has is left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from msgspec import Struct, to_builtins

from samaops.changes.readings import facts_in
from samaops.changes.restoring.work import backup_of
from samaops.changes.verbs import verb
from samaops.errors import UsageError
from samaops.facts.broker_definitions import KEYS, BrokerFacts, Definition
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _, ngettext
from samaops.model.plan import Operation, Plan, Risk, Step
from samaops.model.quantities import duration, moment
from samaops.site.site import Site

NAME = "restore broker"
DEFINE, UNDEFINE = "broker.define", "broker.undefine"
SECONDS = 60.0
_MOST_NAMES = 12
WORDS = {
    "vhosts": N_("virtual hosts"),
    "users": N_("users"),
    "permissions": N_("permissions"),
    "topic_permissions": N_("permissions on topics"),
    "parameters": N_("parameters"),
    "global_parameters": N_("global parameters"),
    "policies": N_("policies"),
    "exchanges": N_("exchanges"),
    "queues": N_("queues"),
    "bindings": N_("bindings"),
}


class Defining(Struct, frozen=True):
    """What of the backup ``id`` is made: all of one kind; ``part`` is where it lies there, with this sum."""

    id: str
    part: str
    sha256: str
    missing: tuple[Definition, ...]


class Undefining(Struct, frozen=True):
    """What of the backup ``id`` is removed again: what was ``made``, None where that is not known."""

    id: str
    part: str
    sha256: str
    kind: str
    made: tuple[Definition, ...] | None = None


def _looks(site: Site, _wanted: str, *kinds: str) -> tuple[str, ...]:
    backup_of(site)
    unknown = [kind for kind in kinds if kind not in KEYS]
    if unknown:
        text = _("RabbitMQ's definitions have no {names}; they have {known}")
        raise UsageError(text.format(names=", ".join(unknown), known=", ".join(KEYS)))
    return ()


def _typed(wanted: str, *kinds: str) -> tuple[str, ...]:
    return (*kinds, "--from", wanted)


@verb(NAME, looks=_looks, typed=_typed)
def plan_broker(snapshot: Snapshot, site: Site, _wanted: str, *kinds: str) -> Plan:
    """Plan that RabbitMQ has again what a backup knows and it has not, one kind after the other.

    Guard: nothing that is there is changed, nothing is removed.
    """
    seen = facts_in(snapshot, BrokerFacts)
    title = _("Make again what RabbitMQ lacks of {id}, of {moment} ({age} old)").format(
        id=seen.id, moment=moment(seen.epoch), age=duration(max(0.0, seen.seen_at - seen.epoch))
    )
    arguments = (seen.id, *kinds)
    missing = [each for each in seen.missing if each.kind in (kinds or KEYS)]
    notes = tuple(_notes(seen, frozenset(kinds or KEYS)))
    if not missing:
        text = ngettext(
            "RabbitMQ has {count} definition as the backup has it, and lacks none",
            "RabbitMQ has {count} definitions as the backup has them, and lacks none",
            seen.same,
        )
        return Plan(NAME, arguments, title, seen.id, nothing_to_do=text.format(count=seen.same), notes=notes)
    steps = tuple(
        _step(seen, kind, tuple(of_kind), site)
        for kind, of_kind in groupby(missing, key=lambda each: each.kind)
    )
    return Plan(NAME, arguments, title, seen.id, steps=steps, notes=notes)


def _step(seen: BrokerFacts, kind: str, missing: tuple[Definition, ...], site: Site) -> Step:
    server = site.settings.rabbitmq.server if site.settings.rabbitmq else None
    names = ", ".join(each.name for each in missing[:_MOST_NAMES])
    more = len(missing) - _MOST_NAMES
    if more > 0:
        names += ", " + ngettext("and {count} more", "and {count} more", more).format(count=more)
    text = _("Make {kind} again: {names}")
    return Step(
        DEFINE,
        text.format(kind=_(WORDS[kind]), names=names),
        Risk.DISRUPTIVE,
        Operation(DEFINE, to_builtins(Defining(seen.id, seen.part, seen.sha256, missing)), server, SECONDS),
        before=(),
        after=(),
        undo=Operation(
            UNDEFINE, to_builtins(Undefining(seen.id, seen.part, seen.sha256, kind)), server, SECONDS
        ),
        undo_restores=_("what it made is gone again, where nobody uses it and nothing is in it"),
        servers=(),
        about=f"rabbitmq/{kind}",
    )


def _notes(seen: BrokerFacts, kinds: frozenset[str]) -> Iterator[str]:
    for kind in KEYS:
        different = [each.name for each in seen.different if each.kind == kind and kind in kinds]
        if different:
            text = _("Left as they are, and others in the backup: {kind} {names}")
            names = different[:_MOST_NAMES]
            yield text.format(kind=_(WORDS[kind]), names=", ".join(names))
    if any(each.kind == "users" for each in seen.missing) and "users" in kinds:
        yield _("Users come back with the passwords that they had")
    if any(each.kind == "queues" for each in seen.missing) and "queues" in kinds:
        yield _("Queues come back empty: a backup holds no message")
