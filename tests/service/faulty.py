"""Servers that fail on purpose, on real sockets of 127.0.0.1: one per way a system can be broken.

Each is a context manager that yields ``(host, port)``:

====================  ==================================================================================
``refused_port()``    nothing listens: connections are refused
``silent()``          the listening backlog is full: connections are never accepted nor refused
``hanging()``         connections are accepted, requests are read, nothing is ever answered
``dripping(first)``   ``first`` is sent, then one byte a second for ever: never silent, never done
``garbage(data)``     ``data`` is sent at once, to whatever was asked; then the connection stays open
``closing()``         connections are accepted and closed at once
``closing_the_first`` the first connection is closed at once, the others are passed on
``asking_in_clear``   PostgreSQL's protocol: no TLS, and the password itself is asked for
``answering(data)``   what was asked is read first, then ``data`` is sent and the connection is closed
====================  ==================================================================================

``dripping``, ``garbage``, ``hanging``, ``closing`` and ``answering`` speak TLS (with a certificate nobody
trusts) when given ``tls=True``.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import itertools
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

LOOPBACK = "127.0.0.1"
Address = tuple[str, int]
Talk = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def refused_port() -> Iterator[Address]:
    """Yield an address where nothing listens; it stays reserved, so that nobody else takes it."""
    with socket.socket() as reserved:
        reserved.bind((LOOPBACK, 0))  # bound and never listening: the kernel answers with a reset
        yield reserved.getsockname()


@contextlib.contextmanager
def silent() -> Iterator[Address]:
    """Yield an address whose backlog is full: a SYN is dropped, as by a firewall or a dead host."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _number in range(4):  # more than the kernel keeps for a backlog of 0
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


@contextlib.contextmanager
def hanging(tls: bool = False) -> Iterator[Address]:
    """Yield a server that accepts, reads, and never answers."""

    def talk(peer: socket.socket, stopped: threading.Event) -> None:
        while not stopped.is_set() and _read_some(peer):
            pass

    with _serving(talk, tls) as address:
        yield address


@contextlib.contextmanager
def dripping(
    first: bytes = b"", every_seconds: float = 1.0, drop: bytes = b"x", tls: bool = False
) -> Iterator[Address]:
    """Yield a server that sends ``first`` and then one ``drop`` after the other, for ever."""

    def talk(peer: socket.socket, stopped: threading.Event) -> None:
        peer.sendall(first)
        while not stopped.wait(every_seconds):
            peer.sendall(drop)

    with _serving(talk, tls) as address:
        yield address


@contextlib.contextmanager
def garbage(data: bytes = b"\x00\xffgarbage\r\n" * 40, tls: bool = False) -> Iterator[Address]:
    """Yield a server that sends ``data`` to everybody and then keeps the connection open."""

    def talk(peer: socket.socket, stopped: threading.Event) -> None:
        peer.sendall(data)
        while not stopped.is_set() and _read_some(peer):
            pass

    with _serving(talk, tls) as address:
        yield address


@contextlib.contextmanager
def answering(data: bytes, tls: bool = False) -> Iterator[Address]:
    """Yield a server that reads a request, sends ``data`` and closes; once per connection."""

    def talk(peer: socket.socket, stopped: threading.Event) -> None:
        if _read_some(peer):
            peer.sendall(data)

    with _serving(talk, tls) as address:
        yield address


@contextlib.contextmanager
def asking_in_clear() -> Iterator[tuple[Address, list[bytes]]]:
    """Yield a PostgreSQL that has no TLS and asks for the password itself, and the passwords that it was given."""
    given: list[bytes] = []

    def talk(peer: socket.socket, stopped: threading.Event) -> None:
        if _read_some(peer)[4:8] == b"\x04\xd2\x16\x2f":  # SSLRequest
            peer.sendall(b"N")
            _read_some(peer)
        peer.sendall(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))
        answer = _read_some(peer)
        if answer:
            given.append(answer)

    with _serving(talk, tls=False) as address:
        yield address, given


@contextlib.contextmanager
def closing(tls: bool = False) -> Iterator[Address]:
    """Yield a server that accepts connections and closes them at once."""

    def talk(peer: socket.socket, stopped: threading.Event) -> None:
        return

    with _serving(talk, tls) as address:
        yield address


@contextlib.contextmanager
def closing_the_first(behind: Address) -> Iterator[Address]:
    """Yield a server that closes its first connection at once, and passes on all later ones to another."""
    connections = itertools.count()

    def talk(peer: socket.socket, stopped: threading.Event) -> None:
        if next(connections) == 0:
            return
        with socket.create_connection(behind) as other:
            while not stopped.is_set():
                readable, _writable, _failed = select.select([peer, other], [], [], 0.2)
                for stream in readable:
                    data = stream.recv(65536)
                    if not data:
                        return
                    (other if stream is peer else peer).sendall(data)

    with _serving(talk, tls=False) as address:
        yield address


def http_response(
    body: bytes, status: str = "200 OK", headers: str = "Content-Type: application/json\r\n"
) -> bytes:
    """Return a complete HTTP answer, for ``answering`` and ``garbage``."""
    return (
        f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )


@contextlib.contextmanager
def _serving(talk: Talk, tls: bool) -> Iterator[Address]:
    stopped = threading.Event()
    peers: list[socket.socket] = []
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(16)
        acceptor = threading.Thread(target=_accept, args=(listener, talk, tls, peers, stopped), daemon=True)
        acceptor.start()
        try:
            yield listener.getsockname()
        finally:
            stopped.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
            for peer in peers:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)


def _accept(
    listener: socket.socket, talk: Talk, tls: bool, peers: list[socket.socket], stopped: threading.Event
) -> None:
    while not stopped.is_set():
        try:
            peer, _address = listener.accept()
        except OSError:
            return
        peers.append(peer)
        threading.Thread(target=_talk, args=(peer, talk, tls, stopped), daemon=True).start()


def _talk(peer: socket.socket, talk: Talk, tls: bool, stopped: threading.Event) -> None:
    with contextlib.suppress(OSError), peer:  # the client hangs up whenever it likes
        if tls:
            with untrusted_context().wrap_socket(peer, server_side=True) as wrapped:
                talk(wrapped, stopped)
        else:
            talk(peer, stopped)


def _read_some(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""


@functools.cache
def untrusted_context() -> ssl.SSLContext:
    """Return a server's TLS context with a fresh self-signed certificate for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "server.pem"
        path.write_bytes(self_signed())
        context.load_cert_chain(path)
    return context


def self_signed(address: str = "192.0.2.1") -> bytes:
    """Return a key and a certificate for an IP address, as one PEM file."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "untrusted.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
