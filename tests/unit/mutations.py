"""Documents that somebody, or a disk, has spoiled: copies of real ones with some of their values changed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from random import Random
from types import FrameType
from typing import Any

Place = tuple[Any, ...]
MOST_SECONDS = 20.0
_LONG = 20_000
_OF_ELSEWHERE = 0.65
# What is of no kind that anybody expects.
_STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**63, 2**64, -(10**25), 10**400, 0.0, -0.5, 1e308, 5e-324, float("nan"), float("inf"),
    "", " ", "\0", "\n", "a" * _LONG, " " * _LONG, "é\u202e", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00",
    "2026-01-31T03:12:00", "-x", "; touch x", "$(touch x)", "{}", "{x}", "%s", "[/]", "@", "/", "*", [], {}, [[]], [None],
    {"": None}, {"a": 1}, ["a"], {"x": {"y": {"z": ["1", 2]}}},
)  # fmt: skip


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every value in a document, without the document itself."""
    inner: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, one in inner:
        yield (*place, key)
        yield from places(one, (*place, key))


def spoiled(document: Any, known: Sequence[Place], chance: Random) -> Any:
    """Return a copy with one or some of its known values changed, most of them into others of their kind."""
    changed = json.loads(json.dumps(document))
    is_likely = chance.random() < 0.7
    for _number in range(chance.choice((1, 1, 1, 2, 3, 8, 30))):
        *to_parent, key = chance.choice(known)
        parent = at(changed, to_parent)
        if isinstance(parent, dict | list) and _has(parent, key):
            kind = 1.0 if is_likely else chance.random()
            other = at(changed, chance.choice(known)) if kind < _OF_ELSEWHERE else None
            _change(parent, key, chance, kind, other)
    return changed


def at(value: Any, place: Any) -> Any:
    """Return what stands at a place; None where nothing does any more."""
    for key in place:
        if not isinstance(value, dict | list) or not _has(value, key):
            return None
        value = value[key]
    return value


def _has(parent: Any, key: Any) -> bool:
    return key in parent if isinstance(parent, dict) else isinstance(key, int) and key < len(parent)


def _change(parent: Any, key: Any, chance: Random, kind: float, other: Any) -> None:
    if kind < 0.25:
        del parent[key]
    elif kind < 0.5:
        parent[key] = deepcopy(chance.choice(_STRANGE))
    elif kind < _OF_ELSEWHERE:
        parent[key] = deepcopy(other)
    elif kind < 0.75 and isinstance(parent, dict):
        parent[chance.choice(("", "x", "\n", f"{key}x", "-"))] = parent.pop(key)
    else:
        parent[key] = _of_its_kind(parent[key], chance)


def _of_its_kind(value: Any, chance: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice(
            (0, -1, 1, value * 1000, value // 1000, -value, 2**31, 10**12, 2**63, 100, 101, 137)
        )
    if isinstance(value, float):
        return chance.choice((0.0, -1.0, value * 1e3, -value, 1e308, -1e308, 5e-324, 1e15, 100.0, 1e11))
    if isinstance(value, str):
        strange = (
            "",
            "\0",
            "\n",
            "-x",
            "a" * _LONG,
            f"{value}\n{value}",
            value[:1],
            value * 50,
            "é\u202e\x1b[2J",
            "*",
        )
        return chance.choice((*strange, "; touch x", "{}{0}{x}", "%(x)s", "[x", "/"))
    if isinstance(value, list):
        return chance.choice(([], value * 2, value[:1], value + value[:1] * 50, value[::-1]))
    if isinstance(value, dict):
        return dict(list(value.items())[:: chance.choice((1, 2, 3))][1:])
    return chance.choice((0, "", 1.5, -1, True))


def bytes_of(text: bytes, chance: Random) -> bytes:
    """Return a file with one byte changed, or its end cut off; most often as it is."""
    kind = chance.random()
    if kind < 0.9 or not text:
        return text
    place = chance.randrange(len(text))
    return text[:place] if kind < 0.93 else text[:place] + bytes([chance.randrange(256)]) + text[place + 1 :]


def as_json(document: Any) -> bytes:
    """Return a document as Python writes it, with NaN and infinity."""
    return json.dumps(document).encode("ascii")


@contextmanager
def answered_in_time() -> Iterator[None]:
    """Fail when something takes so long that it may never end."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
