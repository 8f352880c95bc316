"""Log in to a server over SSH with paramiko, within one time limit, and sort why it did not succeed.

The host key is always verified; nothing is ever added to known_hosts, and no ssh_config is read. Keys are those that
``ssh`` itself would show: ``key_file`` with the certificate beside it, or the agent's and those of ``~/.ssh``.
"""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import struct
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as formats
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from samaops.clients import footprint, known_hosts
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.known_hosts import KnownHost
from samaops.clients.shell import text
from samaops.config.settings import Ssh
from samaops.i18n import _
from samaops.model.failure import FailureKind

# A third of the time that importing paramiko takes goes to invoke, for a word of ssh_config ("Match exec"), which is
# not read here. paramiko does without it where it is not installed.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
import paramiko  # noqa: E402

if sys.modules["invoke"] is None:
    del sys.modules["invoke"]
# paramiko logs the traceback of each connection that did not end well; why it did not is one sentence of ours.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)

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
# An agent that hangs costs this, and not the log-in with another key.
_AGENT_SECONDS = 1.0
_DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
_RSA_ALGORITHMS = ("rsa-sha2-512", "rsa-sha2-256")
_ALGORITHMS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *_RSA_ALGORITHMS,
)
_CERTIFICATE = "-cert-v01@openssh.com"
# The cheapest in CPU first; the others stay allowed for servers that do not have these.
_FIRST_KEY_EXCHANGE = "curve25519-sha256@libssh.org"
_FIRST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_ResultT = TypeVar("_ResultT")
__all__ = ["close", "in_time", "log_in", "paramiko", "seconds_left"]


def log_in(address: str, settings: Ssh, seconds: float) -> paramiko.Transport:
    """Return an authenticated connection, at most ``seconds`` later. Raises ClientError."""
    ends_at = time.monotonic() + seconds
    host = _known_host(address, settings)
    keys = _own_keys(settings.key_file, ends_at) if settings.key_file else _usual_keys(ends_at)
    connection = _connect(address, settings.port, ends_at, seconds)
    try:
        _await_banner(connection, ends_at)
        transport = paramiko.Transport(connection)
    except BaseException:
        connection.close()
        raise
    try:
        _shake_hands(transport, host, ends_at)
        _verify_host_key(transport, host, address, settings)
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


def seconds_left(ends_at: float) -> float:
    """Return the seconds left, never zero: no library takes a timeout of zero as one."""
    return max(0.01, ends_at - time.monotonic())


def in_time(work: Callable[[], _ResultT], ends_at: float) -> _ResultT:
    """Return what ``work`` returns, which knows no timeout itself. Raises TimeoutError, and then it is left behind."""
    result: Future[_ResultT] = Future()

    def do() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            result.set_exception(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds_left(ends_at))
    if thread.is_alive():
        raise TimeoutError
    return result.result()


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
        return known_hosts.read(settings.known_hosts.expanduser(), address, settings.port)
    except OSError as error:
        words = f"{settings.known_hosts.expanduser()}: {error.strerror}"
        raise ClientError(FailureKind.MISSING, words, "known_hosts") from error


def _verify_host_key(transport: paramiko.Transport, host: KnownHost, address: str, settings: Ssh) -> None:
    key = transport.get_remote_server_key()
    certificate = key.public_blob.key_blob if key.public_blob else None
    plain = key.asbytes()
    fault = None
    if plain not in host.revoked:
        if plain in host.keys:
            return
        if certificate and host.authorities:
            fault = known_hosts.fault_of_certificate(certificate, address, host)
            if fault is None:
                return
    if fault:
        message = _("the certificate of {name} ({kind} {fingerprint}) does not prove who it is: {fault}")
    elif plain in host.revoked:
        message = _("the host key of {name} ({kind} {fingerprint}) is marked as revoked in {file}")
    elif host.keys:
        message = _(
            "the host key of {name} is not the one in {file}: reinstalled, or another machine answers there. It now "
            "shows {kind} {fingerprint}. Ask whoever runs the server before you replace the old key with: "
            "ssh-keygen -R '{name}' -f {file}"
        )
    else:
        message = _(
            "the host key of {name} is not in {file}; it shows {kind} {fingerprint}. Compare that on the server's "
            "own console with: ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub; if it is the same, add it with: "
            "ssh-keyscan -p {port} {address} >> {file}"
        )
    kind = known_hosts.key_type(plain)
    words = {
        "name": known_hosts.name_of(address, settings.port),
        "address": address,
        "port": settings.port,
        "file": settings.known_hosts.expanduser(),
        "kind": kind,
        "short": kind.removeprefix("ssh-").partition("-")[0],
        "fingerprint": key.fingerprint,
        "fault": fault,
    }
    raise ClientError(FailureKind.HOST_KEY, message.format(**words), "host key")


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


def _usual_keys(ends_at: float) -> list[paramiko.PKey]:
    """Return the keys of the agent, and those in ~/.ssh that need no passphrase."""
    keys = _agent_keys(ends_at)
    for name in _DEFAULT_KEYS:
        with suppress(ClientError, paramiko.PasswordRequiredException):
            keys += _keys_of(Path("~/.ssh").expanduser() / name)
    return keys


def _agent_keys(ends_at: float) -> list[paramiko.PKey]:
    try:
        agent = in_time(paramiko.Agent, min(ends_at, time.monotonic() + _AGENT_SECONDS))
    except (OSError, EOFError, ValueError, struct.error, paramiko.SSHException):
        return []  # as ssh does: an agent that is broken has no keys
    return list(agent.get_keys())


def _own_keys(file: Path, ends_at: float) -> list[paramiko.PKey]:
    """Return the configured key; one that is encrypted may be in the agent."""
    try:
        return _keys_of(file)
    except paramiko.PasswordRequiredException as error:
        public = _public_part(file)
        keys = [key for key in _agent_keys(ends_at) if public and key.asbytes() == public]
        if keys:
            return keys
        words = _("{file} needs a passphrase: load it into ssh-agent and leave key_file out")
        raise ClientError(FailureKind.MISSING, words.format(file=file), "ssh key") from error


def _keys_of(file: Path) -> list[paramiko.PKey]:
    """Return the key of a file, first with the certificate beside it. Raises PasswordRequiredException."""
    try:
        status, content = file.stat(), file.read_bytes()
    except OSError as error:
        raise ClientError(FailureKind.MISSING, f"{file}: {error.strerror}", "ssh key") from error
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        words = _("{file} can be read by others, and ssh refuses such a key: chmod 600 {file}")
        raise ClientError(FailureKind.MISSING, words.format(file=file), "ssh key")
    certificate = Path(f"{file}-cert.pub")
    try:
        keys = [_private_key(content)]
        if certificate.exists():
            keys.insert(0, _private_key(content))
            keys[0].load_certificate(str(certificate))
    except (ValueError, UnsupportedAlgorithm, paramiko.SSHException) as error:
        if isinstance(error, paramiko.PasswordRequiredException):
            raise
        words = _("{file} is not a private key that can be used").format(file=file)
        raise ClientError(FailureKind.MISSING, words, "ssh key") from error
    return keys


def _private_key(content: bytes) -> paramiko.PKey:
    """Return the key that is written here in whatever form; paramiko itself reads no PKCS #8."""
    try:
        try:
            key = formats.load_ssh_private_key(content, None)
        except ValueError:
            key = formats.load_pem_private_key(content, None)  # type: ignore[assignment]
    except TypeError as error:
        raise paramiko.PasswordRequiredException(str(error)) from error
    words = key.private_bytes(formats.Encoding.PEM, formats.PrivateFormat.OpenSSH, formats.NoEncryption())
    for key_type, reader in (
        (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
        (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
        (rsa.RSAPrivateKey, paramiko.RSAKey),
    ):
        if isinstance(key, key_type):
            return reader.from_private_key(io.StringIO(words.decode()))
    raise UnsupportedAlgorithm(type(key).__name__)


def _public_part(file: Path) -> bytes | None:
    with suppress(OSError, ValueError, IndexError):
        return b64decode(Path(f"{file}.pub").read_bytes().split()[1])
    return None
