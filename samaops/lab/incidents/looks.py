"""Short looks by which an incident sees its own fault; raw sockets, none of them raises."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from samaops.i18n import _

TIMEOUT_SECONDS = 1.5


def refuses(address: str, port: int) -> str | None:
    """Return words when nothing listens on a port, None when something accepts."""
    try:
        socket.create_connection((address, port), timeout=TIMEOUT_SECONDS).close()
    except ConnectionRefusedError:
        return _("connection to {address}:{port} is refused").format(address=address, port=port)
    except OSError as error:
        return _("connection to {address}:{port} fails: {reason}").format(
            address=address, port=port, reason=error
        )
    return None


def accepts_and_is_silent(address: str, port: int, request: bytes) -> str | None:
    """Return words when a connection opens and a request gets no byte in time."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            try:
                connection.recv(1)
            except TimeoutError:
                return _("{address}:{port} accepts, and sends nothing for {seconds} s").format(
                    address=address, port=port, seconds=TIMEOUT_SECONDS
                )
    except OSError:
        return None
    return None


def connect_answer(proxy: tuple[str, int], host: str) -> str:
    """Return the first line of a proxy's answer to CONNECT, empty when it has none."""
    try:
        with socket.create_connection(proxy, timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(_connect_request(host))
            return connection.recv(4096).split(b"\r\n", 1)[0].decode("latin-1")
    except OSError:
        return ""


def distrust_through(proxy: tuple[str, int], host: str, trusted: Path) -> str:
    """Return "" when a host behind the proxy shows a trusted certificate, else why TLS refuses it."""
    context = ssl.create_default_context(cafile=str(trusted))
    try:
        with socket.create_connection(proxy, timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(_connect_request(host))
            connection.recv(4096)
            with context.wrap_socket(connection, server_hostname=host):
                return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError:
        return ""


def _connect_request(host: str) -> bytes:
    return f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode("ascii")
