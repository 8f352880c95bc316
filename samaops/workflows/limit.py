"""End a piece of work that hangs: it runs on a thread of its own, which is left behind when its time is over."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")


class OverdueError(Exception):
    """The time of the whole run is over."""


class Limit:
    """The time that a run may take in all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, never less than a moment."""
        return max(0.05, self._ends_at - time.monotonic())

    def run(self, work: Callable[[], ResultT]) -> ResultT:
        """Return what the work returns, raise what it raises, or OverdueError when time is over."""
        results: list[ResultT] = []
        errors: list[BaseException] = []

        def attempt() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
                errors.append(error)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(attempt,), daemon=True)
        thread.start()
        thread.join(self.remaining())
        if errors:
            raise errors[0]
        if not results:
            raise OverdueError
        return results[0]
