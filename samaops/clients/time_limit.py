"""End a conversation when its time is over, also when the other side still drips a byte now and then.

A socket's own timeout starts anew with each byte; this one does not.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class TimeLimit:
    """The time one conversation may take; at its end every watched socket is shut down."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._expired = False
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    @property
    def is_expired(self) -> bool:
        """Whether the time is over; an error after that is no answer in time, whatever it looks like."""
        return self._expired

    def remaining(self) -> float:
        """Return the seconds left, never zero: no library takes a timeout of zero as one."""
        return max(0.01, self._ends_at - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is over, at once if it already is."""
        with self._lock:
            self._sockets.append(connection)
            if not self._expired:
                return
        _shut_down(connection)

    def cancel(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def _expire(self) -> None:
        with self._lock:
            self._expired = True
            watched = list(self._sockets)
        for connection in watched:
            _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed by its owner in the meantime
        connection.shutdown(socket.SHUT_RDWR)
