"""One time limit for a whole conversation, also when the other side still drips a byte now and then.

A socket's own timeout starts anew with each byte; this one does not. All clients of sockets live by it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from types import TracebackType

from samaops.clients import footprint
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.i18n import _
from samaops.model.failure import FailureKind

# How the other side hangs up, in the words of the system and of TLS.
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, ConnectionAbortedError)


class TimeLimit:
    """The time one conversation may take; at its end every watched socket is shut down."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._start()

    def _start(self) -> None:
        self._ends_at = time.monotonic() + self.seconds
        self._expired = False
        self._timer = threading.Timer(self.seconds, self._expire, (self._ends_at,))
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> TimeLimit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    @property
    def is_expired(self) -> bool:
        """Whether the time is over; an error after that is no answer in time, whatever it looks like."""
        return self._expired or time.monotonic() >= self._ends_at

    def remaining(self) -> float:
        """Return the seconds left, never zero: no library takes a timeout of zero as one."""
        return max(0.01, self._ends_at - time.monotonic())

    def restart(self, seconds: float) -> None:
        """Begin anew for the next conversation on the same connections, unless it was too late for the last one."""
        self._timer.cancel()
        with self._lock:
            if not self.is_expired:
                self.seconds = seconds
                self._start()

    def connect(self, host: str, port: int) -> socket.socket:
        """Open a TCP connection to the first address of a name that accepts, and watch it.

        Raises ClientError at the stage "name" or "connect".
        """
        last = OSError(_("no address"))
        for family, kind, protocol, _name, address in _addresses(host, port):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self.remaining())
                connection.connect(address)
            except OSError as error:
                connection.close()
                last = error
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            footprint.count(connections=1)
            self.watch(connection)
            return connection
        raise self.failure(last, "connect", is_connected=False) from last

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down when the time is over, at once if it already is.

        Watched is a duplicate: TLS takes the descriptor out of a socket, and a closed one may have a new owner.
        """
        with self._lock:
            self._sockets.append(connection.dup())
            if self.is_expired:
                _shut_down(self._sockets[-1])

    def end(self) -> None:
        """Let the time be over now: whoever waits on what is watched hears that it is closed."""
        self._timer.cancel()
        self._expire(self._ends_at)

    def cancel(self) -> None:
        """Stop watching, and let go of what was watched."""
        self._timer.cancel()
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()

    def failure(self, error: OSError, stage: str, is_connected: bool) -> ClientError:
        """Sort an error of a socket. Once the time is over it is that, but for a certificate that was shown."""
        if is_connected and self.is_expired and not isinstance(error, ssl.SSLCertVerificationError):
            error = TimeoutError()
        kind = kind_of_os_error(error, is_connected)
        if isinstance(error, _HUNG_UP):
            kind = FailureKind.CLOSED
        if isinstance(error, TimeoutError) and kind in (FailureKind.NO_ANSWER, FailureKind.SILENT):
            message = _("no answer within {seconds:g} s").format(seconds=self.seconds)
        else:
            message = error.strerror or str(error) or type(error).__name__
        return ClientError(kind, message, stage)

    def _expire(self, ends_at: float) -> None:
        with self._lock:
            if ends_at != self._ends_at:  # restarted in the meantime
                return
            self._expired = True
            for connection in self._sockets:
                _shut_down(connection)


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]
    except OSError as error:
        raise ClientError(FailureKind.NAME, f"{host}: {error.strerror or error}", "name") from error
    except UnicodeError as error:  # an empty or overlong label
        raise ClientError(FailureKind.NAME, f"{host}: {error}", "name") from error


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed by the other side in the meantime
        connection.shutdown(socket.SHUT_RDWR)
