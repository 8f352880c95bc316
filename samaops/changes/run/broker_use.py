"""Whether anybody uses what RabbitMQ has, and its removal: what would lose something is left, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.facts.broker_definitions import Definition, Row
from samaops.i18n import N_, _, ngettext, some
from samaops.model.failure import FailureKind

_REFUSALS = {"not empty": N_("messages are in it"), "in use": N_("somebody uses it")}
Known = Mapping[Definition, Row]
# The broker sees to it itself, in the moment of the removal: what it shows of messages is some seconds old.
_ONLY_IF: Mapping[str, tuple[str, ...]] = {"queues": ("if-empty", "if-unused"), "exchanges": ("if-unused",)}


def of(api: ManagementApi, definition: Definition, now: Known, going: AbstractSet[Definition]) -> str:
    """Return why a definition must stay, "" where nothing is lost by its removal; ``going`` are removed with it. Raises ClientError."""
    asked = _ASKED.get(definition.kind)
    return asked(api, definition, now, going) if asked else ""


def _user(api: ManagementApi, user: Definition, now: Known, going: AbstractSet[Definition]) -> str:
    return _of_user(api, user.key[0], "") or _of_others(user, now, going, "user", user.key[0])


def _right(api: ManagementApi, right: Definition, now: Known, going: AbstractSet[Definition]) -> str:
    others = {each for each in now if each.kind == "topic_permissions" and each.key[:2] == right.key[:2]}
    if right.kind == "topic_permissions" and others - going:
        return _("its user has others there that were given since")
    return _of_user(api, right.key[1], right.key[0])


def _of_user(api: ManagementApi, user: str, vhost: str) -> str:
    api.require_everything("connections")
    rows = [
        row for row in api.list_of("connections")
        if row.get("user") == user and vhost in ("", row.get("vhost"))
    ]  # fmt: skip
    text = ngettext("{user} has {count} connection", "{user} has {count} connections", len(rows))
    return text.format(user=user, count=len(rows)) if rows else ""


def _of_others(
    definition: Definition,
    now: Known,
    going: AbstractSet[Definition],
    field: str,
    name: str,
) -> str:
    others = [
        each for each, row in now.items()
        if row.get(field) == name and each != definition and each not in going
    ]  # fmt: skip
    return _made_since(each.name for each in others)


def _made_since(names: Iterable[str]) -> str:
    shown = some(names, 5)
    return _("what was made for it since would go with it: {names}").format(names=shown) if shown else ""


def _of_vhost(api: ManagementApi, vhost: Definition, now: Known, going: AbstractSet[Definition]) -> str:
    (name,) = vhost.key
    api.require_everything("connections")
    if any(row.get("vhost") == name for row in api.list_of("connections")):
        return _("somebody is connected to it")
    made = [*_in(api, "queues", name), *(each for each in _in(api, "exchanges", name) if _is_own(each))]
    # Whoever makes a virtual host is given rights in it by the broker.
    ours = Definition("permissions", (name, api.user))
    return _made_since(made) or _of_others(vhost, now, going | {ours}, "vhost", name)


def _in(api: ManagementApi, kind: str, vhost: str) -> list[str]:
    return [str(row.get("name")) for row in objects_at(api, kind, vhost)]


def _is_own(exchange: str) -> bool:
    return bool(exchange) and not exchange.startswith("amq.")


def _of_queue(_api: ManagementApi, queue: Definition, now: Known, going: AbstractSet[Definition]) -> str:
    vhost, name = queue.key
    return _made_since(
        each.name for each in now if _leads_to(each, vhost, "queue", name) and each not in going
    )


def _leads_to(each: Definition, vhost: str, kind: str, name: str) -> bool:
    return each.kind == "bindings" and (each.key[0], each.key[2], each.key[3]) == (vhost, kind, name)


def _bound(api: ManagementApi, exchange: Definition, _now: Known, _going: AbstractSet[Definition]) -> str:
    vhost, name = exchange.key
    for direction in ("source", "destination"):
        if objects_at(api, "exchanges", vhost, name, "bindings", direction):
            return _("something is bound to it")
    return ""


_ASKED: Mapping[str, Callable[[ManagementApi, Definition, Known, AbstractSet[Definition]], str]] = {
    "users": _user,
    "permissions": _right,
    "topic_permissions": _right,
    "vhosts": _of_vhost,
    "queues": _of_queue,
    "exchanges": _bound,
}


def objects_at(api: ManagementApi, *names: str) -> list[dict[str, Any]]:
    """Return a list of what is there under these names. Raises ClientError."""
    return api.list_of(api.path(*names))


def remove(api: ManagementApi, definition: Definition) -> None:
    """Remove one definition. Raises ClientError, also where the broker sees that something is in it, or somebody uses it."""
    try:
        _remove(api, definition)
    except ClientError as error:
        known = next((text for words, text in _REFUSALS.items() if words in error.message), "")
        reason = _(known) if known else error.message
        raise ClientError(error.kind, f"{definition.name}: {reason}", error.stage) from error


def _remove(api: ManagementApi, definition: Definition) -> None:
    kind, key = definition.kind, definition.key
    if kind == "bindings":
        api.remove(*_binding(api, key))
    elif kind == "topic_permissions":
        api.remove("topic-permissions", *key[:2])
    elif kind == "parameters":
        vhost, component, name = key
        api.remove("parameters", component, vhost, name)
    else:
        api.remove(kind.replace("_", "-"), *key, only_if=_ONLY_IF.get(kind, ()))


def _binding(api: ManagementApi, key: tuple[str, ...]) -> tuple[str, ...]:
    """Return what leads to a binding: the broker names one by its routing key and arguments."""
    vhost, source, kind, target, routing, arguments = key
    way = ("bindings", vhost, "e", source, kind[0], target)
    for row in objects_at(api, *way):
        same = json.dumps(row.get("arguments") or {}, sort_keys=True) == arguments
        if row.get("routing_key") == routing and same:
            return (*way, str(row["properties_key"]))
    raise ClientError(FailureKind.MISSING, _("it is not there any more"), "bindings")
