"""How a RabbitMQ broker is set up: its definitions, in one request. The hashes of passwords in them are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from samaops.clients.rabbitmq import ManagementApi
from samaops.facts.portrait import Row, Things, Trait, gather
from samaops.journal import digests

KINDS = ("user", "vhost", "permission", "policy", "parameter", "queue", "exchange", "binding")
# Parameters that are limits and policies; those of shovels and federations hold passwords.
_OPEN_COMPONENTS = ("vhost-limits", "operator_policy")
Raw = Mapping[str, Any]


def read_definitions(api: ManagementApi) -> Things:
    """Return users, permissions, policies, limits and what is declared to last. Raises ClientError."""
    raw = api.get("definitions")
    return gather(KINDS, _rows(raw if isinstance(raw, dict) else {}))


def _rows(raw: Raw) -> Iterator[Row]:
    for user in _listed(raw, "users"):
        yield _row("user", user, "tags", _tags(user.get("tags")))
        yield from _each("user", str(user.get("name")), "limit", user.get("limits"))
    for vhost in _listed(raw, "vhosts"):
        yield "vhost", str(vhost.get("name")), "", Trait("")
    for kind in ("permissions", "topic_permissions"):
        for permission in _listed(raw, kind):
            name = _in_vhost(str(permission.get("user")), permission)
            topic = f" {permission['exchange']}" if permission.get("exchange") else ""
            for right in ("configure", "write", "read"):
                if right in permission:
                    yield "permission", name, right + topic, Trait(_text(permission[right]))
    for policy in _listed(raw, "policies"):
        for attribute in ("pattern", "apply-to", "priority", "definition"):
            yield _row("policy", policy, attribute, policy.get(attribute))
    for parameter in (*_listed(raw, "parameters"), *_listed(raw, "global_parameters")):
        component, value = str(parameter.get("component", "")), _text(parameter.get("value"))
        name = _in_vhost(f"{component} {parameter.get('name')}".strip(), parameter)
        yield "parameter", name, "", Trait(value if component in _OPEN_COMPONENTS else digests.of(value))
    yield from _declared(raw)


def _declared(raw: Raw) -> Iterator[Row]:
    """Yield what lasts: the rest comes and goes with who uses it."""
    lasting = {("queue", queue.get("vhost"), queue.get("name")) for queue in _lasting(raw, "queues")}
    lasting |= {("exchange", place.get("vhost"), place.get("name")) for place in _lasting(raw, "exchanges")}
    for queue in _lasting(raw, "queues"):
        yield _row("queue", queue, "durable", True)
        yield from _each(
            "queue", _in_vhost(str(queue.get("name")), queue), "argument", queue.get("arguments")
        )
    for exchange in _lasting(raw, "exchanges"):
        yield _row("exchange", exchange, "type", exchange.get("type"))
        name = _in_vhost(str(exchange.get("name")), exchange)
        yield from _each("exchange", name, "argument", exchange.get("arguments"))
    for binding in _listed(raw, "bindings"):
        target = (binding.get("destination_type"), binding.get("vhost"), binding.get("destination"))
        if target in lasting:
            words = f"{binding.get('source')} -> {binding.get('destination')} ({binding.get('routing_key')})"
            arguments = binding.get("arguments") or {}
            value = "" if not arguments else _text(arguments)
            yield "binding", _in_vhost(words, binding), "", Trait(value)


def _listed(raw: Raw, name: str) -> list[Raw]:
    rows = raw.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _lasting(raw: Raw, name: str) -> list[Raw]:
    return [
        row for row in _listed(raw, name) if row.get("durable") is True and row.get("auto_delete") is not True
    ]


def _row(kind: str, raw: Raw, attribute: str, value: object) -> Row:
    return kind, _in_vhost(str(raw.get("name")), raw), attribute, Trait(_text(value))


def _each(kind: str, name: str, word: str, values: object) -> Iterator[Row]:
    for key, value in (values if isinstance(values, dict) else {}).items():
        yield kind, name, f"{word} {key}", Trait(_text(value))


def _in_vhost(name: str, raw: Raw) -> str:
    vhost = raw.get("vhost", "/")
    return name if vhost == "/" else f"{name} in {vhost}"


def _tags(tags: object) -> str:
    return ",".join(sorted(map(str, tags))) if isinstance(tags, list) else str(tags or "")


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return digests.bounded(text)
