"""What monthly maintenance observes beside what a diagnosis does: updates, an audit, who may log in, who did."""

from __future__ import annotations

from msgspec import Struct


class AuditSeen(Struct, frozen=True):
    """What an audit warned of ``at`` (seconds since the epoch): the ids of its tests. ``index`` is its own mark, 0 to 100."""

    at: float
    warnings: tuple[str, ...]
    suggestions: tuple[str, ...]
    index: int | None = None


class AccessSeen(Struct, frozen=True):
    """Who could log in ``at``, who had all rights, and which keys were let in, each as words of its own."""

    at: float
    logins: tuple[str, ...]
    administrators: tuple[str, ...]
    keys: tuple[str, ...]
