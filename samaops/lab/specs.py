"""What a part of the lab is, before it runs: plain descriptions that the lab starts and stops."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct, field


class ProcessSpec(Struct, frozen=True):
    """One daemon in the foreground, on one server of the lab.

    ``ready`` is called again and again until it returns True or the start deadline passes; it must
    itself be quick (under 2 s) and must not raise.
    """

    name: str
    server: str
    address: str
    port: int
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    directory: Path | None = None
    ready_seconds: float = 20.0
    # What asks this daemon for a quick clean end.
    stop_signal: int = signal.SIGTERM
