"""A statement that a thread runs while another session looks on, and that is ended when it must."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from samaops.clients.errors import ClientError

_CANCEL_EVERY_SECONDS = 0.3


class Watched:
    """Work that was begun; ``failure`` is why it ended, None where it did what it was to do, or goes on.

    ``cancel`` asks the server, over another session, to end it.
    """

    def __init__(self, work: Callable[[], object], cancel: Callable[[], object]) -> None:
        self._work, self._cancel = work, cancel
        self.failure: ClientError | None = None
        self._thread = threading.Thread(target=self._do, daemon=True)
        self._thread.start()

    def _do(self) -> None:
        try:
            self._work()
        except ClientError as error:
            self.failure = error

    def has_ended(self, within: float = 0.0) -> bool:
        """Wait for its end, at most so many seconds, and return whether it has ended."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def end(self, within: float) -> bool:
        """Cancel it, again and again, and return whether that has ended it within so many seconds."""
        ends_at = time.monotonic() + within
        while not self.has_ended() and time.monotonic() < ends_at:
            with suppress(ClientError):
                self._cancel()
            self.has_ended(_CANCEL_EVERY_SECONDS)
        return self.has_ended()
