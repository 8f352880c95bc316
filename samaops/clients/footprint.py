"""Count what looking costs the observed systems: connections, bytes, commands, writes.

The engine opens one tally per run; clients add to whatever tally is open and know nothing of the engine.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar

from msgspec.structs import asdict

from samaops.model.report import Footprint


class Tally:
    """A footprint that many threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = asdict(Footprint())

    def add(self, **amounts: int) -> None:
        """Add amounts to the fields of the footprint, by their names."""
        with self._lock:
            for name, amount in amounts.items():
                self._counted[name] += amount

    def footprint(self) -> Footprint:
        """Return what was counted until now."""
        with self._lock:
            return Footprint(**self._counted)


_open_tally: ContextVar[Tally | None] = ContextVar("samaops_footprint", default=None)


def open_tally() -> Tally:
    """Start a new tally for this context and return it."""
    tally = Tally()
    _open_tally.set(tally)
    return tally


def count(connections: int = 0, bytes_read: int = 0, commands: int = 0, writes: int = 0) -> None:
    """Add to the open tally, if any."""
    tally = _open_tally.get()
    if tally is not None:
        tally.add(connections=connections, bytes_read=bytes_read, commands=commands, writes=writes)
