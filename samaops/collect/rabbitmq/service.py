"""What decides whether the broker takes a publish: its virtual host, limits, exchanges, bindings, and the users' rights.

Only read; nothing is published. What only an administrator may see is None to others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from samaops.clients.rabbitmq import ManagementApi, objects
from samaops.collect.values import lacking, needed, table, text, whole
from samaops.facts.rabbitmq import Exchange, Limit, Rights, Routing

# Exchanges of the broker itself and of Celery's own talk: events, control commands and the replies to them.
_NOT_THE_APPLICATION_S = ("amq.", "celeryev", "celery.pidbox", "reply.celery.pidbox")
_CONNECTIONS, _CHANNELS, _QUEUES = "max-connections", "max-channels", "max-queues"
DEFAULT_EXCHANGE = ""


def vhost_states(api: ManagementApi, vhost: str) -> Mapping[str, str]:
    """Return whether our virtual host runs, node by node. Raises ClientError where the broker does not tell.

    It is asked for in the list: one alone is shown to administrators only.
    """
    listed = api.list_of("vhosts", columns="name,cluster_state")
    raw = next((row for row in listed if needed(row, "name", stage="vhost") == vhost), {})
    states = {
        name: state for name, state in table(raw, "cluster_state").items() if isinstance(state, str) and state
    }
    if len(states) < len(table(raw, "cluster_state")) or not states:
        raise lacking("cluster_state", stage="vhost")
    return states


def limits(
    api: ManagementApi, vhost: str, connections: Sequence[Mapping[str, Any]], queues: int | None
) -> tuple[Limit, ...]:
    """Return the limits of our virtual host and of users, with what is used of each. Raises ClientError."""
    of_vhost = _declared(objects(api.in_vhost("vhost-limits"), "vhost-limits"), "vhost")
    of_users = _declared(api.list_of("user-limits"), "user") if "administrator" in api.tags else ()
    by_user = Counter(str(needed(connection, "user", stage="connections")) for connection in connections)
    places = [text(connection, "vhost") for connection in connections]
    in_vhost = None if None in places else places.count(vhost)
    used_by_vhost = {_CONNECTIONS: in_vhost, _QUEUES: queues}
    found = [Limit("vhost", name, what, most, used_by_vhost.get(what)) for name, what, most in of_vhost]
    for name, what, most in of_users:
        channels = [
            whole(connection, "channels") for connection in connections if connection.get("user") == name
        ]
        counted = None if None in channels else sum(filter(None, channels))
        found.append(Limit("user", name, what, most, by_user[name] if what == _CONNECTIONS else counted))
    return tuple(found)


def _declared(rows: Iterable[Mapping[str, Any]], kind: str) -> list[tuple[str, str, int]]:
    """Return each limit that is set; a negative number sets none."""
    declared = [
        (str(needed(row, kind, stage="limits")), what, whole(table(row, "value"), what))
        for row in rows
        for what in needed(row, "value", stage="limits")
    ]
    if any(most is None for _name, _what, most in declared):
        raise lacking("value", stage="limits")
    return [(name, what, most) for name, what, most in declared if most is not None and most >= 0]


def routing(api: ManagementApi, exchanges: Sequence[Mapping[str, Any]]) -> Routing:
    """Return where an application may publish to, and who may. Raises ClientError."""
    bindings = objects(api.in_vhost("bindings"), "bindings")
    reached = _reached(bindings)
    listed = [
        Exchange(
            name=str(raw["name"])[:200],
            type=text(raw, "type") or "?",
            published=_published(raw),
            queues=tuple(sorted(reached.get(raw["name"], ()))),
        )
        for raw in exchanges
        if isinstance(raw.get("name"), str) and not raw["name"].startswith(_NOT_THE_APPLICATION_S)
    ]
    return Routing(tuple(listed), _rights(api))


def _reached(bindings: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the queues that each exchange reaches, also through other exchanges."""
    queues: dict[str, set[str]] = {}
    exchanges: list[tuple[str, str]] = []
    for binding in bindings:
        source, destination = binding.get("source"), binding.get("destination")
        if not isinstance(source, str) or not isinstance(destination, str):
            continue
        if binding.get("destination_type") == "exchange":
            exchanges.append((source, destination))
        else:
            queues.setdefault(source, set()).add(destination)
    for _round in exchanges:  # a chain is no longer than there are bindings between exchanges
        for source, destination in exchanges:
            queues.setdefault(source, set()).update(queues.get(destination, ()))
    return queues


def _published(raw: Mapping[str, Any]) -> int | None:
    return whole(table(raw, "message_stats"), "publish_in")


def _rights(api: ManagementApi) -> tuple[Rights, ...] | None:
    if "administrator" not in api.tags:
        return None
    rows = objects(api.in_vhost("vhosts", "permissions"), "permissions")
    names = ("user", "configure", "write", "read")
    if not all(isinstance(row.get(name), str) for row in rows for name in names):
        raise lacking(*names, stage="permissions")
    return tuple(Rights(*(str(row[name]) for name in names)) for row in rows)
