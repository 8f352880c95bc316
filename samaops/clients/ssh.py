"""Run commands on a server over SSH with paramiko: one connection, many channels (``ssh_login`` opens it).

paramiko waits without end for some answers, so what a frozen server may keep from ending is done in a thread that is
left behind when time is up.
"""

from __future__ import annotations

import logging
import math
import select
import shlex
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from samaops.clients import footprint, ssh_login
from samaops.clients.errors import ClientError
from samaops.clients.shell import LONGEST_LINE_BYTES, MAX_OUTPUT_BYTES, Completed, Sink, text
from samaops.clients.ssh_library import in_time, paramiko, seconds_left
from samaops.config.settings import Ssh
from samaops.i18n import _
from samaops.model.failure import FailureKind

logger = logging.getLogger(__name__)
# sshd allows 10 sessions per connection by default (MaxSessions); a lock may hold one of them.
MAX_SESSIONS = 8
# How long a command waits for a session that another gives back, before there is a second connection.
_PATIENCE_SECONDS = 1.0
_TRY_AGAIN_SECONDS = 0.05
# The longest that paramiko's thread needs to say that its connection is lost, once what ran on it has ended.
_END_SECONDS = 0.5
# What ssh itself ends with when a command ended without an exit code.
_NO_EXIT_CODE = 255
# How long a poll waits while there is input that the server does not take yet.
_POLL_SECONDS_WITH_INPUT = 0.02
_BLOCK_BYTES = 64 * 1024
# Of what a command whose output is poured away said on its standard error, the end is kept.
_LONGEST_WORDS_BYTES = 16 * 1024
_STAGE = "ssh command"


def connect(address: str, settings: Ssh) -> SshShell:
    """Log in within ``settings.timeout`` in all. Raises ClientError."""
    return SshShell(address, settings)


class _RefusedError(Exception):
    """The server gives us no further session on this connection."""


class SshShell:
    """One authenticated connection to one server: many commands side by side, each bounded in time and output.

    Where sshd allows fewer sessions than that, a command waits for another to end; when it is not a command but a lock
    that holds the last one, there is a second connection.
    """

    def __init__(self, address: str, settings: Ssh) -> None:
        self._address, self._settings = address, settings
        self._transports = [ssh_login.log_in(address, settings, settings.timeout)]
        self._connecting = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_SESSIONS)
        self._has_failed = False
        self._is_closed = False

    @property
    def is_well(self) -> bool:
        """Whether the connection stands and every command was answered: a dead one may look alive for minutes."""
        return not (self._has_failed or self._is_closed) and self._transports[-1].is_active()

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command line under ``LC_ALL=C``; see Shell.run."""
        logger.debug("%s: %s", self._address, command)
        ends_at = time.monotonic() + timeout
        if not self._places.acquire(timeout=timeout):
            words = _("all SSH sessions of this connection are busy")
            raise ClientError(FailureKind.NO_ANSWER, words, "ssh session")
        try:
            channel = self._start(_bounded_on_server(command, seconds_left(ends_at)), ends_at)
            return self._completed(channel, stdin, ends_at)
        except TimeoutError as error:
            self._has_failed = True
            message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
            raise ClientError(FailureKind.NO_ANSWER, message, _STAGE) from error
        finally:
            self._places.release()

    def stream(self, command: str, timeout: float, source: Iterable[bytes], sink: Sink) -> Completed:
        """Run a command line whose input and output have no end that fits into memory; see Shell.stream."""
        logger.debug("%s: %s", self._address, command)
        ends_at = time.monotonic() + timeout
        try:
            channel = self._start(_bounded_on_server(command, seconds_left(ends_at)), ends_at)
        except TimeoutError as error:
            raise self._silent(timeout) from error
        try:
            exit_code, errors, count = _pour(channel, iter(source), sink, ends_at)
        except BaseException as error:
            threading.Thread(target=_close, args=(channel,), daemon=True).start()
            if isinstance(error, TimeoutError):
                raise self._silent(timeout) from error
            raise
        _close(channel)
        if exit_code < 0 and _has_ended(channel.get_transport()):
            raise self._lost(channel.get_transport())
        footprint.count(commands=1, bytes_read=count)
        return Completed(exit_code if exit_code >= 0 else _NO_EXIT_CODE, "", text(errors))

    def _silent(self, timeout: float) -> ClientError:
        self._has_failed = True
        message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
        return ClientError(FailureKind.NO_ANSWER, message, _STAGE)

    def converse(self, command: str, timeout: float) -> Conversation:
        """Start a command line that answers each line it is told, until it is closed; see Conversation.

        It does not count among the sessions for commands: it would take one from them for good.
        """
        try:
            return Conversation(self._start(command, time.monotonic() + timeout))
        except TimeoutError as error:
            self._has_failed = True
            words = _("the SSH session did not begin")
            raise ClientError(FailureKind.NO_ANSWER, words, "ssh session") from error

    def close(self) -> None:
        """Close the connection at once."""
        self._is_closed = True
        for transport in self._transports:
            ssh_login.close(transport)

    def _start(self, command: str, ends_at: float) -> paramiko.Channel:
        """Start a command as soon as the server allows it. Raises TimeoutError, ClientError."""
        patient_until = time.monotonic() + _PATIENCE_SECONDS
        refusal = None
        while True:
            try:
                return self._open(command, ends_at)
            except _RefusedError as error:
                refusal = error
            except TimeoutError:
                if refusal is None:
                    raise
            if time.monotonic() + _TRY_AGAIN_SECONDS > ends_at:
                words = _("logged in, but sshd allows no session more (MaxSessions)")
                raise ClientError(FailureKind.ERROR, words, "ssh session") from refusal
            if time.monotonic() > patient_until:
                self._connect_again(ends_at)
            time.sleep(_TRY_AGAIN_SECONDS)  # sshd tells nobody when a session is free

    def _connect_again(self, ends_at: float) -> None:
        with self._connecting:
            if len(self._transports) == 1:
                seconds = min(self._settings.timeout, seconds_left(ends_at))
                self._transports.append(ssh_login.log_in(self._address, self._settings, seconds))

    def _open(self, command: str, ends_at: float) -> paramiko.Channel:
        """Start a command on the newest connection. Raises _RefusedError, TimeoutError, ClientError."""
        transport = self._transports[-1]

        def begin() -> paramiko.Channel:
            try:
                # longer than we wait, so that an error here is the server's answer
                channel = transport.open_session(timeout=seconds_left(ends_at) + 1)
            except paramiko.SSHException as error:
                if transport.is_active():
                    raise _RefusedError from error
                raise
            channel.exec_command(command)
            return channel

        try:
            return in_time(begin, ends_at)
        except TimeoutError:
            raise
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not _has_ended(transport):
                words = _("the server runs no commands for this user")
                raise ClientError(FailureKind.ERROR, words, "ssh session") from error
            raise self._lost(transport) from error

    def _completed(self, channel: paramiko.Channel, stdin: bytes, ends_at: float) -> Completed:
        try:
            exit_code, stdout, stderr = _exchange(channel, stdin, ends_at)
        except (TimeoutError, ClientError):
            # To close takes its turn to write, which a frozen server may never give.
            threading.Thread(target=_close, args=(channel,), daemon=True).start()
            raise
        _close(channel)
        if exit_code < 0 and _has_ended(channel.get_transport()):
            raise self._lost(channel.get_transport())
        footprint.count(commands=1, bytes_read=len(stdout) + len(stderr))
        return Completed(exit_code if exit_code >= 0 else _NO_EXIT_CODE, text(stdout), text(stderr))

    def _lost(self, transport: paramiko.Transport) -> ClientError:
        self._has_failed = True
        reason = transport.saved_exception
        if reason is None or isinstance(reason, EOFError):  # the server hung up
            return ClientError(FailureKind.CLOSED, _("the SSH connection was closed"), _STAGE)
        words = _("the SSH connection was lost: {reason}").format(reason=str(reason) or type(reason).__name__)
        return ClientError(FailureKind.CLOSED, words, _STAGE)


def _has_ended(transport: paramiko.Transport) -> bool:
    """Tell whether a connection is lost: its thread ends what runs on it a moment before it says so."""
    transport.join(_END_SECONDS)
    return not transport.is_active()


def _close(channel: paramiko.Channel) -> None:
    with suppress(OSError, EOFError, paramiko.SSHException):  # the connection may have ended meanwhile
        channel.close()


def _exchange(channel: paramiko.Channel, stdin: bytes, ends_at: float) -> tuple[int, bytes, bytes]:
    """Give a command its input and return its exit code (-1: none) and all that it wrote.

    Raises TimeoutError, ClientError for too much output.
    """
    stdout, stderr = bytearray(), bytearray()
    unsent, is_input_open = stdin, True
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        if is_input_open:
            with suppress(OSError):  # a command that has closed its input has had enough
                if unsent and channel.send_ready():
                    unsent = unsent[channel.send(unsent[:_BLOCK_BYTES]) :]
                if not unsent:
                    channel.shutdown_write()
                    is_input_open = False
        is_over = channel.eof_received or channel.closed
        if channel.recv_ready():
            stdout += channel.recv(_BLOCK_BYTES)
        if channel.recv_stderr_ready():
            stderr += channel.recv_stderr(_BLOCK_BYTES)
        if len(stdout) + len(stderr) > MAX_OUTPUT_BYTES:
            message = _("more than {bytes} bytes of output").format(bytes=MAX_OUTPUT_BYTES)
            raise ClientError(FailureKind.ERROR, message, _STAGE)
        if is_over and not (channel.recv_ready() or channel.recv_stderr_ready()):
            if not channel.status_event.wait(seconds_left(ends_at)):
                raise TimeoutError
            return channel.recv_exit_status(), bytes(stdout), bytes(stderr)
        if time.monotonic() >= ends_at:
            raise TimeoutError
        left = seconds_left(ends_at)
        poll.poll(1000 * (min(left, _POLL_SECONDS_WITH_INPUT) if is_input_open else left))


def _pour(
    channel: paramiko.Channel, source: Iterator[bytes], sink: Sink, ends_at: float
) -> tuple[int, bytes, int]:
    """Give a command all of ``source`` and what it writes to ``sink``, a block at a time.

    Return its exit code (-1: none), the end of what it said on its standard error, and how many bytes it wrote.
    Raises TimeoutError, and what the two raise.
    """
    errors, unsent, is_input_open, count = b"", b"", True, 0
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        is_moving = False
        while is_input_open and channel.send_ready() and not channel.recv_ready():
            unsent = unsent or next(source, b"")
            try:
                if not unsent:
                    channel.shutdown_write()
                    is_input_open = False
                    break
                unsent = unsent[channel.send(unsent[:_BLOCK_BYTES]) :]
            except OSError:  # a command that has closed its input has had enough
                is_input_open = False
            if time.monotonic() >= ends_at:
                raise TimeoutError
        is_over = channel.eof_received or channel.closed
        while channel.recv_ready():
            block = channel.recv(_BLOCK_BYTES)
            count += len(block)
            sink(block)
            is_moving = True
        if channel.recv_stderr_ready():
            errors = (errors + channel.recv_stderr(_BLOCK_BYTES))[-_LONGEST_WORDS_BYTES:]
            is_moving = True
        if is_over and not (channel.recv_ready() or channel.recv_stderr_ready()):
            if not channel.status_event.wait(seconds_left(ends_at)):
                raise TimeoutError
            return channel.recv_exit_status(), errors, count
        if time.monotonic() >= ends_at:
            raise TimeoutError
        if not is_moving:
            left = seconds_left(ends_at)
            poll.poll(1000 * (min(left, _POLL_SECONDS_WITH_INPUT) if is_input_open else left))


class Conversation:
    """A command on a server that lives as long as somebody talks with it: a line to it, a line from it.

    Its standard input ends with this process, however that ends. After the first error it is over.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._unread = b""

    def ask(self, line: str, timeout: float) -> str:
        """Tell it a line and return the line that it answers. Raises ClientError."""
        self.tell(line, timeout)
        return self.hear(timeout)

    def tell(self, line: str, timeout: float) -> None:
        """Send a line. Raises ClientError."""
        self._channel.settimeout(timeout)
        if self._channel.eof_sent:  # paramiko would try again without end
            raise self._over()
        try:
            self._channel.sendall(line.encode("utf-8") + b"\n")
        except TimeoutError as error:
            raise _silence() from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._over() from error

    def hear(self, timeout: float) -> str:
        """Return the next line, at most ``timeout`` seconds later. Raises ClientError."""
        ends_at = time.monotonic() + timeout
        while b"\n" not in self._unread:
            self._channel.settimeout(seconds_left(ends_at))
            try:
                block = self._channel.recv(65536)
            except TimeoutError as error:
                raise _silence() from error
            self._unread += block
            if not block or len(self._unread) > LONGEST_LINE_BYTES:
                raise self._over()
        line, _newline, self._unread = self._unread.partition(b"\n")
        return text(line)

    def finish(self, timeout: float) -> None:
        """End its standard input, and wait until it has ended too."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()
            self._channel.status_event.wait(timeout)
        _close(self._channel)

    def _over(self) -> ClientError:
        errors = self._channel.recv_stderr(4096) if self._channel.recv_stderr_ready() else b""
        words = text(errors).strip() or _("the SSH connection was closed")
        return ClientError(FailureKind.CLOSED, words.splitlines()[-1], "ssh session")


def _silence() -> ClientError:
    return ClientError(FailureKind.NO_ANSWER, _("no answer came"), "ssh session")


def _bounded_on_server(command: str, seconds: float) -> str:
    """Wrap a command so that nothing of it stays on the server when we are gone."""
    return f"env LC_ALL=C timeout -k 1 {math.ceil(seconds) + 1} sh -c {shlex.quote(command)}"
