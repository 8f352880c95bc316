"""What the looks of this process still wait for, for a screen that shows it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

_looks: list[Callable[[], Iterable[str]]] = []


@contextmanager
def told(pending: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Let ``systems`` name what a look waits for, as long as it is taken."""
    _looks.append(pending)
    try:
        yield
    finally:
        _looks.remove(pending)


def systems() -> tuple[str, ...]:
    """Return the systems that have not answered yet, each once."""
    return tuple(dict.fromkeys(name for pending in tuple(_looks) for name in pending()))
