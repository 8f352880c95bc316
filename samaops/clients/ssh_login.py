"""Log in to a server over SSH with paramiko, within one time limit, and sort why it did not succeed.

The host key is always verified; nothing is ever added to known_hosts, and no ssh_config is read. Keys are those that
``ssh`` itself would show: ``key_file`` with the certificate beside it, or the agent's and those of ``~/.ssh``.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from samaops.clients import footprint, known_hosts, ssh_keys
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.known_hosts import KnownHost
from samaops.clients.shell import text
from samaops.clients.ssh_library import in_time, paramiko, seconds_left
from samaops.config.settings import Ssh
from samaops.i18n import _
from samaops.model.failure import FailureKind

# What sshd says instead of a banner when it has too many log-ins or punishes our address.
_BUSY = (b"Exceeded MaxStartups", b"Not allowed at this time")
_BANNER = re.compile(rb"^SSH-(2\.0|1\.99)-.*\n", re.MULTILINE)
_LONGEST_BANNER_BYTES = 64 * 1024
_LONGEST_WORDS = 200
# A server that has not yet proved who it is gets no more of our memory than a log-in takes.
_MOST_BYTES_OF_LOG_IN = 1024 * 1024
# A connection on which nothing arrives any more ends: three questions without so much as an acknowledgement.
_KEEPALIVE_SECONDS = 10
_DEAD_AFTER_MS = 30_000
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")
_ALGORITHMS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *_RSA_ALGORITHMS,
)
_CERTIFICATE = "-cert-v01@openssh.com"
# The cheapest in CPU first; the others stay allowed for servers that do not have these.
_FIRST_KEY_EXCHANGE = "curve25519-sha256@libssh.org"
_FIRST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


def log_in(address: str, settings: Ssh, seconds: float) -> paramiko.Transport:
    """Return an authenticated connection, at most ``seconds`` later. Raises ClientError."""
    ends_at = time.monotonic() + seconds
    host = _known_host(address, settings)
    keys = ssh_keys.own(settings.key_file, ends_at) if settings.key_file else ssh_keys.usual(ends_at)
    connection = _connect(address, settings.port, ends_at, seconds)
    try:
        _await_banner(connection, ends_at)
        transport = paramiko.Transport(connection)
    except BaseException:
        connection.close()
        raise
    try:
        _shake_hands(transport, host, ends_at)
        _require_known(transport, host, address, settings)
        _authenticate(transport, settings.user, keys, ends_at)
    except BaseException:
        close(transport)
        raise
    connection.bytes_allowed = None
    transport.set_keepalive(_KEEPALIVE_SECONDS)
    footprint.count(connections=1)
    return transport


def close(transport: paramiko.Transport) -> None:
    """Close a connection at once, however far it has come; paramiko's own close waits for its thread."""
    with suppress(OSError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.packetizer.complete_handshake()  # ends the timer of a handshake that nobody waits for


class _Socket(socket.socket):
    """A connection without waits for acknowledgements, from which the banner has been read before.

    sshd and we write small packets one after the other. With Nagle's algorithm the second waits for the acknowledgement
    of the first, which the other side delays by 40 ms (RFC 1122, 4.2.3.2). Linux forgets TCP_QUICKACK with each packet.
    """

    read_before = b""
    bytes_allowed: int | None = _MOST_BYTES_OF_LOG_IN

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what has come, at most ``size`` bytes."""
        if self.read_before:
            data, self.read_before = self.read_before[:size], self.read_before[size:]
            return data
        data = super().recv(size, flags)
        self._acknowledge_at_once()
        if self.bytes_allowed is not None:
            self.bytes_allowed -= len(data)
            if self.bytes_allowed < 0:
                raise paramiko.SSHException("too many bytes before the log-in")
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        """Send some of the bytes, and return how many."""
        sent = super().send(data, flags)
        self._acknowledge_at_once()
        return sent

    def _acknowledge_at_once(self) -> None:
        with suppress(OSError):  # it was closed meanwhile, and whoever uses it next hears of that
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _connect(address: str, port: int, ends_at: float, seconds: float) -> _Socket:
    """Connect to the first address of a name that accepts."""
    silence = _("no answer within {seconds:.1f} s").format(seconds=seconds)
    try:
        targets = in_time(lambda: socket.getaddrinfo(address, port, type=socket.SOCK_STREAM), ends_at)
    except TimeoutError as error:
        raise ClientError(FailureKind.NAME, silence, "name") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: an empty or overlong label
        reason = getattr(error, "strerror", None) or error
        raise ClientError(FailureKind.NAME, f"{address}: {reason}", "name") from error
    failure: OSError = TimeoutError()
    for family, kind, protocol, _name, target in targets:
        connection = _Socket(family, kind, protocol)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
        connection.settimeout(seconds_left(ends_at))
        try:
            connection.connect(target)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    words = failure.strerror or (silence if isinstance(failure, TimeoutError) else str(failure))
    raise ClientError(kind_of_os_error(failure, connected=False), words, "connect") from failure


def _await_banner(connection: _Socket, ends_at: float) -> None:
    """Wait for the line that an SSH server begins with, before paramiko hears of anything; others may come first."""
    received, is_busy, block = b"", False, b" "
    try:
        while block and not is_busy and b"\0" not in received and len(received) < _LONGEST_BANNER_BYTES:
            connection.settimeout(seconds_left(ends_at))
            block = connection.recv(4096)
            received += block
            banner = _BANNER.search(received)
            if banner:
                connection.read_before = received[banner.start() :]
                return
            is_busy = any(words in received for words in _BUSY)
    except OSError as error:
        kind = kind_of_os_error(error, connected=True)
        if b"\n" not in received:
            words = _("connected, but no SSH banner came")
            raise ClientError(kind, words, "ssh banner") from error
    if not received:
        raise ClientError(FailureKind.CLOSED, _("the SSH connection was closed"), "ssh banner")
    words = repr(text(received).splitlines()[-1].strip()[:_LONGEST_WORDS])
    if b"\0" in received:
        words = _("characters that are no text")
    kind = FailureKind.UNAVAILABLE if is_busy else FailureKind.GARBAGE
    raise ClientError(kind, _("it says: {words}").format(words=words), "ssh banner")


def _shake_hands(transport: paramiko.Transport, host: KnownHost, ends_at: float) -> None:
    """Agree on keys, and let the server show a host key that we know if it has one."""
    known = [
        algorithm
        for kind in host.key_types()
        for algorithm in (_RSA_ALGORITHMS if kind == "ssh-rsa" else (kind,))
        if algorithm in _ALGORITHMS
    ]
    certificates = [f"{algorithm}{_CERTIFICATE}" for algorithm in _ALGORITHMS] if host.authorities else []
    options = transport.get_security_options()
    options.key_types = tuple(dict.fromkeys([*certificates, *known, *_ALGORITHMS]))
    options.kex = tuple(dict.fromkeys([_FIRST_KEY_EXCHANGE, *options.kex]))
    options.ciphers = tuple(dict.fromkeys([*_FIRST_CIPHERS, *options.ciphers]))
    is_over = threading.Event()
    transport.start_client(event=is_over)
    if not is_over.wait(seconds_left(ends_at)):
        raise ClientError(FailureKind.NO_ANSWER, _("the SSH handshake did not end"), "ssh handshake")
    if not transport.is_active():
        raise _broken(transport, "ssh handshake")


def _broken(transport: paramiko.Transport, stage: str) -> ClientError:
    """Sort the end of a connection that paramiko gave up."""
    error = transport.get_exception()
    if error is None or isinstance(error, (EOFError, OSError)):
        return ClientError(FailureKind.CLOSED, _("the SSH connection was closed"), stage)
    is_honest = isinstance(error, paramiko.ssh_exception.IncompatiblePeer)
    return ClientError(FailureKind.ERROR if is_honest else FailureKind.GARBAGE, str(error), stage)


def _known_host(address: str, settings: Ssh) -> KnownHost:
    try:
        return known_hosts.read(settings.known_hosts, address, settings.port)
    except OSError as error:
        words = f"{settings.known_hosts}: {error.strerror}"
        raise ClientError(FailureKind.MISSING, words, "known_hosts") from error


def _require_known(transport: paramiko.Transport, host: KnownHost, address: str, settings: Ssh) -> None:
    key = transport.get_remote_server_key()
    certificate = key.public_blob.key_blob if key.public_blob else None
    known_hosts.require_known(
        host, known_hosts.ShownKey(key.asbytes(), certificate, key.fingerprint), address, settings
    )


def _authenticate(
    transport: paramiko.Transport, user: str, keys: list[paramiko.PKey], ends_at: float
) -> None:
    """Show one key after the other, as ssh does."""
    refusal = _("no SSH key to show: set key_file")
    for count, key in enumerate(keys):
        is_answered = threading.Event()
        transport.auth_publickey(user, key, is_answered)
        if not is_answered.wait(seconds_left(ends_at)):
            raise ClientError(FailureKind.NO_ANSWER, _("the SSH log-in did not end"), "ssh log-in")
        if transport.is_authenticated():
            return
        if not transport.is_active() and not count:
            raise _broken(transport, "ssh log-in")
        if not transport.is_active():
            refusal = _("the server ended the log-in after {count} keys").format(count=count)
            break
        refusal, answer = "Permission denied (publickey)", transport.get_exception()
        if isinstance(answer, paramiko.ssh_exception.PartialAuthentication):
            methods = ", ".join(answer.allowed_types)
            refusal = _("the key is right, and the server asks for more: {methods}").format(methods=methods)
        elif isinstance(answer, paramiko.BadAuthenticationType):
            refusal = f"Permission denied ({','.join(answer.allowed_types)})"
    message = _("user {user}: {refusal}").format(user=user, refusal=refusal)
    raise ClientError(FailureKind.AUTHENTICATION, message, "ssh log-in")
