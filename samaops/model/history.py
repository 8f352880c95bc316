"""What was changed, as people and programs are shown it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Moment(Struct, frozen=True):
    """One event of a change. ``details`` are plain JSON values."""

    at: str
    kind: str
    step: int | None
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


class PastChange(Struct, frozen=True):
    """One change of the history. ``status`` is verified, applied, failed, reverted, refused, running or interrupted."""

    id: str
    at: str
    user: str
    host: str
    verb: str
    title: str
    status: str
    reason: str
    unfinished_step: str
    undoes: str | None
    undone_by: str | None
    moments: tuple[Moment, ...] = ()
