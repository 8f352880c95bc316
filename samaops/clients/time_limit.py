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
        """Shut this connection down when the time is over, at once if it already is.

        Watched is a duplicate: TLS takes the descriptor out of a socket, and a closed one may have a new owner.
        """
        with self._lock:
            self._sockets.append(connection.dup())
            if self._expired:
                _shut_down(self._sockets[-1])

    def cancel(self) -> None:
        """Stop watching, and let go of what was watched."""
        self._timer.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def _expire(self) -> None:
        with self._lock:
            self._expired = True
            for connection in self._sockets:
                _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed by the other side in the meantime
        connection.shutdown(socket.SHUT_RDWR)
