"""What a check is, apart from any run: for ``explain`` and ``--list-checks``."""

from __future__ import annotations

from msgspec import Struct


class CheckDescription(Struct, frozen=True):
    """One check in the user's language: its limits, what its finding means and what to do about it."""

    code: str
    title: str
    system: str
    warning: float | None = None
    critical: float | None = None
    unit: str | None = None
    meaning: str = ""
    confirm: tuple[str, ...] = ()
    fix: str = ""
    avoid: str = ""
