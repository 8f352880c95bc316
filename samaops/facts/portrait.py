"""How a site is set up, as plain text: what a person or a deployment changes, and nothing that changes by itself."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

# Longer texts differ by the digest at their end.
TEXT_CHARACTERS = 200
NAME_CHARACTERS = 200


class Trait(Struct, frozen=True, array_like=True):
    """One value, and when it came about (seconds since the epoch) where that is known.

    A value that begins with ``#`` is a keyed digest: it can be compared, and says nothing else.
    """

    value: str
    at: float | None = None


# kind ("setting") -> name of the thing ("work_mem") -> attribute ("" for its value) -> trait
Things = dict[str, dict[str, dict[str, Trait]]]
Row = tuple[str, str, str, Trait]


def gather(kinds: Iterable[str], rows: Iterable[Row]) -> Things:
    """Return rows of kind, name, attribute and trait as things.

    ``kinds`` are those that were looked at: one without any row is empty, and not unknown.
    """
    things: Things = {kind: {} for kind in kinds}
    for kind, name, attribute, trait in rows:
        attributes = things.setdefault(kind, {}).setdefault(name[:NAME_CHARACTERS], {})
        attributes[attribute[:NAME_CHARACTERS]] = trait
    return things


def joined(*parts: Things | None) -> Things:
    """Return things that were looked at in several ways as one; what is None was not."""
    things: Things = {}
    for part in parts:
        for kind, named in (part or {}).items():
            of_kind = things.setdefault(kind, {})
            for name, attributes in named.items():
                of_kind[name] = {**of_kind.get(name, {}), **attributes}
    return things
