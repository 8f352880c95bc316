"""What is observed of a log: its last lines that may say why something fails."""

from __future__ import annotations

from msgspec import Struct


class LogLine(Struct, frozen=True):
    """One line, without secrets. ``at`` is in seconds since the epoch; None where the line has no time."""

    at: float | None
    text: str
