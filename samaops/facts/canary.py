"""What is seen of one task on its way: its result in Redis the moment it is there, and what Flower heard of it.

Times are moments of this machine's monotonic clock: no clock of another server is believed.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Sighting(Struct, frozen=True):
    """What Redis said of a task. ``state`` is Celery's word, empty when there is nothing.

    ``began_at`` is when it was first seen to have begun, ``ended_at`` when its result was first seen.
    ``trouble`` says why Redis could not be read, when it last could not.
    """

    state: str = ""
    result: Any = None
    worker: str = ""
    began_at: float | None = None
    ended_at: float | None = None
    expires: bool = True
    trouble: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the task's result is there."""
        return self.ended_at is not None


class Heard(Struct, frozen=True):
    """What Flower heard of a task: Celery's word for its state, the worker, the exception."""

    state: str
    worker: str
    exception: str
