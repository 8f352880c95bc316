"""Structs as plain JSON values, and back. What does not fit is refused with the place of the wrong value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from functools import reduce
from operator import getitem
from typing import Any, TypeVar

import msgspec

from samaops.i18n import _
from samaops.model.typed import ready

ValueT = TypeVar("ValueT")
# The fields, keys and numbers that lead to a value.
Place = tuple[str | int, ...]


class MisfitError(ValueError):
    """A value is not of the kind that was saved."""


def encode(value: Any) -> Any:
    """Return structs, and what they hold, as plain JSON values."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):  # one that msgspec does not know, such as a read-only view
        return dict(value)
    raise NotImplementedError(type(value).__name__)


def decode(value: Any, kind: type[ValueT], within: str = "") -> ValueT:
    """Return plain JSON values as the type they were encoded from; a field that was not there yet has its default.

    Raises MisfitError when they do not fit, which names the place: after ``within``, where the value itself stands.
    """
    try:
        return msgspec.convert(value, ready(kind), str_keys=True)
    except msgspec.ValidationError as error:
        place = written(_place(value, kind, error), within)
        raise MisfitError(_("{place}: not of the right kind").format(place=place or "?")) from error


def written(place: Place, within: str = "") -> str:
    """Return a place as a person writes it: ``observations[3].facts.by_state['idle in transaction']``."""
    text = within
    for part in place:
        is_name = isinstance(part, str) and part.isidentifier()
        text += (f".{part}" if text else str(part)) if is_name else f"[{part!r}]"
    return text


# How msgspec names a place: a field, the number in a list, or just that it is some value of a table.
_PART = re.compile(r"\.(?P<field>\w+)|\[(?P<number>\d+)\]|\[\.\.\.\]")
_RawPlace = tuple[str | int | None, ...]


def _raw_place(error: msgspec.ValidationError) -> _RawPlace:
    tail = re.search(r"`\$(?P<place>[^`]*)`$", str(error))
    parts = _PART.finditer(tail["place"] if tail else "")
    return tuple(part["field"] or (int(part["number"]) if part["number"] else None) for part in parts)


def _place(value: Any, kind: Any, error: msgspec.ValidationError) -> Place:
    """Return where a value does not fit; under which key of a table is found by leaving half of it out, and again."""
    raw = _raw_place(error)
    place: Place = ()
    for depth, name in enumerate(raw, start=1):
        part = name
        if part is None:
            table = reduce(getitem, place, value)
            if not isinstance(table, dict):
                break
            keys = list(table)
            while len(keys) > 1:
                half = keys[: len(keys) // 2]
                narrowed = _put(value, place, {key: table[key] for key in half})
                keys = half if _misfit(narrowed, kind)[:depth] == raw[:depth] else keys[len(half) :]
            value, part = _put(value, place, {keys[0]: table[keys[0]]}), keys[0]
        place = (*place, part)
    return place


def _misfit(value: Any, kind: Any) -> _RawPlace:
    try:
        msgspec.convert(value, ready(kind), str_keys=True)
    except msgspec.ValidationError as error:
        return _raw_place(error)
    return ()


def _put(value: Any, place: Place, new: Any) -> Any:
    """Return a copy of a value with another one at a place."""
    if not place:
        return new
    copied = copy(value)
    copied[place[0]] = _put(copied[place[0]], place[1:], new)
    return copied


def keyed(value: Any) -> dict[str, Any]:
    """Return a value that must be a JSON object. Raises MisfitError."""
    if not isinstance(value, dict):
        raise MisfitError(_("{value!r} is not of the right kind").format(value=str(value)[:80]))
    return value
