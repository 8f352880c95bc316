"""The time that a run may take in all, and its parts: what hangs is left behind."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from samaops.i18n import _

# What the history, or a file on a disk that hangs, may take.
PART_SECONDS = 20.0
ResultT = TypeVar("ResultT")
OtherT = TypeVar("OtherT")


class OverdueError(Exception):
    """The time of the whole run is over."""


class Limit:
    """The time that a run may take in all. Work that hangs is left behind on a thread of its own when it is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, never less than a moment."""
        return max(0.05, self._ends_at - time.monotonic())

    def run(self, work: Callable[[], ResultT], most_seconds: float = math.inf) -> ResultT:
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
        thread.join(min(self.remaining(), most_seconds))
        if errors:
            raise errors[0]
        if not results:
            raise OverdueError
        return results[0]


def bounded(work: Callable[[], ResultT], limit: Limit, otherwise: OtherT) -> ResultT | OtherT:
    """Return what a part returns, or what stands for it when it hangs."""
    try:
        return limit.run(work, PART_SECONDS)
    except OverdueError:
        return otherwise


def no_answer() -> str:
    """Return why a part that hung has no result."""
    return _("no answer within {seconds:g} s").format(seconds=PART_SECONDS)
