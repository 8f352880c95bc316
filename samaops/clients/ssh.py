"""Run commands on a server over SSH: one connection, many channels, every step bounded in total.

The host key is always verified; nothing is ever added to known_hosts.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Iterable

from samaops.clients import footprint, ssh_keys
from samaops.clients.conversation import text
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.host_keys import KnownHost
from samaops.clients.ssh_library import paramiko
from samaops.clients.ssh_session import Deadline, SshShell, close
from samaops.config.settings import Ssh
from samaops.i18n import _
from samaops.model.failure import FailureKind

# paramiko logs what it also raises; without a handler Python would print that to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# The cheapest in CPU first; the others stay allowed for servers that do not have these.
_FAST_KEX = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")
_BANNER = b"SSH-"
# What sshd says instead of a banner when it has too many log-ins or punishes our address.
_BUSY = (b"Exceeded MaxStartups", b"Not allowed at this time")


def connect(address: str, settings: Ssh) -> SshShell:
    """Log in within ``settings.timeout`` in all. Raises ClientError."""
    deadline = Deadline(settings.timeout)
    known_host = KnownHost(address, settings.port, settings.known_hosts.expanduser())
    own_key = ssh_keys.load(settings.key_file) if settings.key_file else None
    connection = _open_socket(address, settings.port, deadline)
    transport = None
    try:
        _await_banner(connection, deadline)
        transport = paramiko.Transport(connection)
        _negotiate(transport, known_host, deadline)
        _log_in(transport, settings.user, own_key, deadline)
    except BaseException:
        close(connection, transport)
        raise
    footprint.count(connections=1)
    return SshShell(connection, transport)


class _PromptSocket(socket.socket):
    """A socket that acknowledges what it has read at once.

    sshd sends small packets one after the other and waits for the first one's acknowledgement; the kernel
    holds that back for 40 ms, several times in a log-in and once in every command.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive as ever."""
        received = super().recv(size, flags)
        if received and hasattr(socket, "TCP_QUICKACK"):  # holds until the next packet only
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return received


def _open_socket(address: str, port: int, deadline: Deadline) -> socket.socket:
    try:
        opened = socket.create_connection((address, port), timeout=deadline.left())
    except OSError as error:
        raise ClientError(kind_of_os_error(error, connected=False), str(error), "connect") from error
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    timeout = opened.gettimeout()
    connection = _PromptSocket(opened.family, opened.type, opened.proto, fileno=opened.detach())
    connection.settimeout(timeout)
    return connection


def _await_banner(connection: socket.socket, deadline: Deadline) -> None:
    """Wait until an SSH server has begun to speak, without taking its words from the socket."""
    seen = b""
    while not deadline.is_over:
        if not select.select([connection], [], [], deadline.left())[0]:
            break
        try:
            peeked = connection.recv(4096, socket.MSG_PEEK)
        except OSError as error:
            raise ClientError(kind_of_os_error(error, connected=True), str(error), "ssh banner") from error
        if not peeked:
            message = _("the connection was closed before a word")
            raise ClientError(FailureKind.CLOSED, message, "ssh banner")
        if any(line.startswith(_BANNER) for line in peeked.split(b"\n")):
            return
        if peeked == seen and _has_hung_up(connection):
            break
        if b"\n" in peeked or not _BANNER.startswith(peeked[: len(_BANNER)]):
            raise _not_ssh(peeked)
        seen = peeked
        time.sleep(0.02)  # MSG_PEEK leaves the words in the socket: select would return at once again
    if seen:
        raise _not_ssh(seen)
    message = _("connected, but no SSH banner came")
    raise ClientError(FailureKind.NO_ANSWER, message, "ssh banner")


def _has_hung_up(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


def _not_ssh(words: bytes) -> ClientError:
    first_line = text(words[:200]).splitlines()[0]
    kind = FailureKind.UNAVAILABLE if words.startswith(_BUSY) else FailureKind.GARBAGE
    return ClientError(kind, _("it says: {words}").format(words=repr(first_line)), "ssh banner")


def _negotiate(transport: paramiko.Transport, known_host: KnownHost, deadline: Deadline) -> None:
    try:
        transport.banner_timeout = transport.handshake_timeout = deadline.left()
        options = transport.get_security_options()
        options.kex = _first(_FAST_KEX, options.kex)
        options.ciphers = _first(_FAST_CIPHERS, options.ciphers)
        options.key_types = known_host.prefer(tuple(options.key_types))
        transport.start_client(timeout=deadline.left())
        key = transport.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError) as error:
        if deadline.is_over:
            message = _("the SSH handshake did not end")
            raise ClientError(FailureKind.NO_ANSWER, message, "ssh handshake") from error
        raise ClientError(_kind_of_handshake(error), str(error), "ssh handshake") from error
    known_host.verify(key)


def _kind_of_handshake(error: Exception) -> FailureKind:
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return FailureKind.ERROR
    if isinstance(error, (EOFError, ConnectionError)):
        return FailureKind.CLOSED
    return FailureKind.GARBAGE


def _log_in(
    transport: paramiko.Transport, user: str, own_key: paramiko.PKey | None, deadline: Deadline
) -> None:
    keys = iter([own_key]) if own_key else ssh_keys.of_this_user()
    refusal = _("no SSH key to show: set key_file")
    for key in keys:
        transport.auth_timeout = deadline.left()
        try:
            transport.auth_publickey(user, key)
        except paramiko.ssh_exception.AuthenticationException as error:
            if deadline.is_over:
                break
            refusal = str(error)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if deadline.is_over:
                break
            raise ClientError(FailureKind.CLOSED, str(error), "ssh log-in") from error
        else:
            return
    if deadline.is_over:
        raise ClientError(FailureKind.NO_ANSWER, _("the SSH log-in did not end"), "ssh log-in")
    message = _("user {user}: {refusal}").format(user=user, refusal=refusal)
    raise ClientError(FailureKind.AUTHENTICATION, message, "ssh log-in")


def _first(preferred: tuple[str, ...], supported: Iterable[str]) -> tuple[str, ...]:
    names = tuple(supported)
    return (*(one for one in preferred if one in names), *(one for one in names if one not in preferred))
