"""How the stand-in for Google behaves, in a small JSON file that it reads at every request.

Incidents change it with ``write``; an absent file means everything is fine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from msgspec import Struct, to_builtins

Mode = Literal[
    "ok",
    "quota",
    "unavailable",
    "internal",
    "invalid_argument",
    "sender_id_mismatch",
    "third_party_auth",
]


class Control(Struct, frozen=True):
    """The switches.

    ``mode`` is what FCM answers to every message. ``unregistered_share`` (0 to 1) of the tokens are dead,
    always the same ones. ``delay_seconds`` comes before each answer of FCM. ``clock_offset_seconds`` is how
    far Google's clock, and its Date header, is from this machine's. ``token_seconds`` is how long an access
    token lives: one minute here, so that a fault of OAuth shows soon (one hour in reality).
    """

    mode: Mode = "ok"
    oauth_mode: Literal["ok", "unavailable"] = "ok"
    unregistered_share: float = 0.0
    delay_seconds: float = 0.0
    clock_offset_seconds: float = 0.0
    token_seconds: int = 60


def read(path: Path) -> Control:
    """Read the switches.

    Raises:
        ValueError, TypeError: the file is not JSON, or has a switch that does not exist.
    """
    if not path.exists():
        return Control()
    return Control(**json.loads(path.read_text(encoding="utf-8")))


def write(path: Path, control: Control) -> None:
    """Change the switches at once for every later request."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(to_builtins(control), indent=1), encoding="utf-8")
    temporary.replace(path)
