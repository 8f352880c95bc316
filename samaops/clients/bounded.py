"""Sockets with one time limit for everything: connecting, each read, and the sum of all reads.

A server that sends one byte a second keeps a per-read timeout alive for ever; here it does not.
"""

from __future__ import annotations

import io
import socket
import ssl
import time

from samaops.clients import footprint
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.i18n import _
from samaops.model.failure import FailureKind

# Never a timeout of zero: that would make a socket non-blocking.
LEAST_SECONDS = 0.001


class Deadline:
    """The moment at which something must be over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left. Raises TimeoutError when there are none."""
        left = self._ends_at - time.monotonic()
        if left < LEAST_SECONDS:
            raise TimeoutError(_("not finished within {seconds:g} s").format(seconds=self.seconds))
        return left


class _Reader(io.RawIOBase):
    """The receiving side of a socket, each read within what is left of the deadline."""

    def __init__(self, owner: BoundedSocket) -> None:
        super().__init__()
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._owner.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            self._owner.reader_closed()
        super().close()


class BoundedSocket:
    """A connected socket, plain or TLS, whose every operation ends with the deadline.

    It has what ``http.client`` asks of a socket: ``sendall``, ``makefile`` and ``close``.
    """

    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self.raw = raw
        self.deadline = deadline
        self.first_byte_at: float | None = None
        self._readers = 0
        self._is_closing = False

    def sendall(self, data: bytes) -> None:
        """Send everything, and forget when the last answer began."""
        self.first_byte_at = None
        self.raw.settimeout(self.deadline.remaining())
        self.raw.sendall(data)

    def receive_into(self, buffer: memoryview) -> int:
        """Read what has come, waiting for the first byte of it."""
        self.raw.settimeout(self.deadline.remaining())
        size = self.raw.recv_into(buffer)
        if self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        footprint.count(bytes_read=size)
        return size

    def makefile(self, mode: str = "rb", *_arguments: object, **_options: object) -> io.BufferedReader:
        """Return a buffered reader; closing it leaves the socket open."""
        if mode != "rb":
            raise ValueError(mode)
        self._readers += 1
        return io.BufferedReader(_Reader(self))

    def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Shake hands. Raises OSError, of which ssl.SSLError is a kind."""
        self.raw.settimeout(self.deadline.remaining())
        self.raw = context.wrap_socket(self.raw, server_hostname=server_name)

    def close(self) -> None:
        """Close the connection once nobody reads from it any more.

        As with a real socket: http.client closes it before it has read the body of a last answer.
        """
        self._is_closing = True
        if self._readers == 0:
            self.abort()

    def reader_closed(self) -> None:
        """Note that one of the readers is done."""
        self._readers -= 1
        if self._is_closing:
            self.close()

    def abort(self) -> None:
        """Close the connection now."""
        self.raw.close()


def connect(host: str, port: int, deadline: Deadline) -> BoundedSocket:
    """Open a TCP connection to the first address of a name that accepts.

    Raises ClientError at the stage "name" or "connect".
    """
    last: OSError = OSError(_("no address"))
    for family, kind, protocol, _name, address in _addresses(host, port):
        raw = socket.socket(family, kind, protocol)
        try:
            raw.settimeout(deadline.remaining())
            raw.connect(address)
        except OSError as error:
            raw.close()
            last = error
            continue
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        footprint.count(connections=1)
        return BoundedSocket(raw, deadline)
    raise os_error(last, "connect", connected=False, deadline=deadline) from last


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ClientError(FailureKind.NAME, f"{host}: {error.strerror or error}", "name") from error
    except UnicodeError as error:  # an empty or overlong label
        raise ClientError(FailureKind.NAME, f"{host}: {error}", "name") from error
    return found  # type: ignore[return-value]


def os_error(error: OSError, stage: str, connected: bool, deadline: Deadline) -> ClientError:
    """Sort an operating-system error of a bounded socket into a ClientError."""
    kind = kind_of_os_error(error, connected)
    if isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, ConnectionAbortedError)
    ):
        kind = FailureKind.CLOSED
    if isinstance(error, TimeoutError) and kind in (FailureKind.NO_ANSWER, FailureKind.SILENT):
        message = _("no answer within {seconds:g} s").format(seconds=deadline.seconds)
    else:
        message = error.strerror or str(error) or type(error).__name__
    return ClientError(kind, message, stage)
