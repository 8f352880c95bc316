"""What a backup holds of RabbitMQ's definitions, beside those of now: values without what they say, which has hashes of passwords."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

# The lists of RabbitMQ's definitions in the order in which each needs those before it, and what tells two of a list apart.
KEYS: Mapping[str, tuple[str, ...]] = {
    "vhosts": ("name",),
    "users": ("name",),
    "permissions": ("vhost", "user"),
    "topic_permissions": ("vhost", "user", "exchange"),
    "parameters": ("vhost", "component", "name"),
    "global_parameters": ("name",),
    "policies": ("vhost", "name"),
    "exchanges": ("vhost", "name"),
    "queues": ("vhost", "name"),
    "bindings": ("vhost", "source", "destination_type", "destination", "routing_key", "arguments"),
}
# The broker writes its own anew when it starts.
_OF_THE_NODE = ("cluster_name", "internal_cluster_id")
_DECLARED = ("exchanges", "queues")
Row = Mapping[str, Any]
Definitions = Mapping[str, Any]


class Definition(Struct, frozen=True):
    """One thing that is defined: in which list, and by what it is known there."""

    kind: str
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        if self.kind == "bindings":
            _vhost, source, _type, target, routing, _arguments = self.key
            words = f"{source} -> {target}" + (f" ({routing})" if routing not in ("", target) else "")
        elif self.kind in ("permissions", "topic_permissions"):
            words = " ".join(filter(None, self.key[1:]))
        else:
            words = self.key[-1]
        vhost = self.key[0] if KEYS[self.kind][0] == "vhost" else "/"
        return words if vhost == "/" else f"{words} in {vhost}"


class BrokerFacts(Struct, frozen=True):
    """The definitions of the backup ``id``, begun at ``epoch`` (seconds since 1970), ``seen_at`` when they were looked at.

    ``part`` is the file of the backup that holds them, ``sha256`` its sum. ``missing`` the broker has not, ``different`` it has
    otherwise, ``same`` is how many are as they were.
    """

    id: str
    epoch: float
    seen_at: float
    part: str
    sha256: str
    missing: tuple[Definition, ...]
    different: tuple[Definition, ...]
    same: int


def lasts(row: Row) -> bool:
    """Return whether a queue or an exchange is there to stay: the rest comes and goes with who uses it."""
    return row.get("durable") is True and row.get("auto_delete") is not True


def defined(raw: Definitions) -> dict[Definition, Row]:
    """Return all that definitions hold and that is there to stay, by what it is known by."""
    return dict(_each(raw))


def _each(raw: Definitions) -> Iterator[tuple[Definition, Row]]:
    rows = {kind: [row for row in raw.get(kind) or () if isinstance(row, dict)] for kind in KEYS}
    targets = {
        (kind.removesuffix("s"), row.get("vhost"), row.get("name"))
        for kind in _DECLARED
        for row in rows[kind]
        if lasts(row)
    }
    for kind, names in KEYS.items():
        for row in rows[kind]:
            target = (row.get("destination_type"), row.get("vhost"), row.get("destination"))
            if (kind in _DECLARED and not lasts(row)) or (kind == "bindings" and target not in targets):
                continue
            if kind == "global_parameters" and row.get("name") in _OF_THE_NODE:
                continue
            yield Definition(kind, tuple(_text(row.get(name)) for name in names)), row


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value or {}, sort_keys=True)
