"""One SSH connection that is open: many commands side by side, each bounded in time and output."""

from __future__ import annotations

import contextlib
import math
import select
import shlex
import socket
import threading
import time
from collections.abc import Iterator

from samaops.clients import footprint
from samaops.clients.conversation import Conversation, text
from samaops.clients.errors import ClientError
from samaops.clients.shells import Completed
from samaops.clients.ssh_library import paramiko
from samaops.i18n import _
from samaops.model.failure import FailureKind

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
# sshd allows 10 sessions per connection by default (MaxSessions).
MAX_CHANNELS = 8


class Deadline:
    """One budget of seconds for many steps."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, never less than a moment."""
        return max(0.01, self._ends_at - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self._ends_at


class SshShell:
    """One authenticated connection to one server."""

    def __init__(self, connection: socket.socket, transport: paramiko.Transport) -> None:
        self._socket = connection
        self._transport = transport
        self._channels = threading.BoundedSemaphore(MAX_CHANNELS)
        self._has_failed = False

    @property
    def is_well(self) -> bool:
        """Whether the connection stands and every command was answered: a dead one may look alive for minutes."""
        return not self._has_failed and self._transport.is_active()

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command line under ``LC_ALL=C``; see Shell.run."""
        deadline = Deadline(timeout)
        if not self._channels.acquire(timeout=timeout):
            raise ClientError(
                FailureKind.NO_ANSWER, _("all SSH sessions of this connection are busy"), "ssh session"
            )
        try:
            completed = self._run(command, deadline, stdin)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(error, deadline, timeout) from error
        finally:
            self._channels.release()
        footprint.count(commands=1, bytes_read=len(completed.stdout) + len(completed.stderr))
        return completed

    def _run(self, command: str, deadline: Deadline, stdin: bytes) -> Completed:
        channel = self._transport.open_session(timeout=deadline.left())
        with contextlib.closing(channel), _closed_after(channel, deadline.left()):
            channel.exec_command(_bounded_on_server(command, deadline.left()))
            if stdin:
                channel.sendall(stdin)
            channel.shutdown_write()
            stdout, stderr = _read_all(channel, deadline)
            if not channel.status_event.wait(deadline.left()) or deadline.is_over:
                raise TimeoutError
            return Completed(channel.exit_status, text(stdout), text(stderr))

    def _lost(self, error: Exception, deadline: Deadline, timeout: float) -> ClientError:
        self._has_failed = True
        if deadline.is_over or isinstance(error, TimeoutError):
            message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
            return ClientError(FailureKind.NO_ANSWER, message, "ssh command")
        if isinstance(error, paramiko.ChannelException):
            return ClientError(FailureKind.ERROR, str(error), "ssh session")
        return ClientError(
            FailureKind.CLOSED, str(error) or _("the SSH connection was closed"), "ssh command"
        )

    def converse(self, command: str, timeout: float) -> Conversation:
        """Start a command line that answers each line it is told, until it is closed; see Conversation.

        It does not count among the sessions for commands: it would take one from them for good.
        """
        deadline = Deadline(timeout)
        try:
            channel = self._transport.open_session(timeout=deadline.left())
            with _closed_after(channel, deadline.left()):
                channel.exec_command(command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(error, deadline, timeout) from error
        return Conversation(channel)

    def close(self) -> None:
        """Close the connection at once."""
        close(self._socket, self._transport)


@contextlib.contextmanager
def _closed_after(channel: paramiko.Channel, seconds: float) -> Iterator[None]:
    """Close a channel when its time is over: paramiko waits without limit for the answer to an exec request."""
    watchdog = threading.Timer(seconds, channel.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


def _bounded_on_server(command: str, seconds: float) -> str:
    """Wrap a command so that nothing of it stays on the server when we are gone."""
    return f"env LC_ALL=C timeout -k 1 {math.ceil(seconds) + 1} sh -c {shlex.quote(command)}"


def _read_all(channel: paramiko.Channel, deadline: Deadline) -> tuple[bytes, bytes]:
    stdout, stderr = bytearray(), bytearray()
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        ended = channel.eof_received or channel.closed
        while channel.recv_ready():
            stdout += channel.recv(65536)
        while channel.recv_stderr_ready():
            stderr += channel.recv_stderr(65536)
        if len(stdout) + len(stderr) > MAX_OUTPUT_BYTES:
            message = _("more than {bytes} bytes of output").format(bytes=MAX_OUTPUT_BYTES)
            raise ClientError(FailureKind.ERROR, message, "ssh command")
        if ended:
            return bytes(stdout), bytes(stderr)
        if deadline.is_over:
            raise TimeoutError
        poll.poll(deadline.left() * 1000)


def close(connection: socket.socket, transport: paramiko.Transport | None) -> None:
    """Close a connection at once, however far it has come."""
    with contextlib.suppress(OSError):  # the other side may have been faster
        # wakes paramiko's reading thread, which otherwise looks only ten times a second
        connection.shutdown(socket.SHUT_RDWR)
    if transport is not None:
        transport.packetizer.complete_handshake()  # ends its timer, a thread that would outlive us
        transport.close()
    connection.close()
