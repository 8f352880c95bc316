"""Quick questions that tell whether a stand-in is ready: under two seconds, never an exception."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

TIMEOUT_SECONDS = 1.5


def accepts(address: str, port: int) -> bool:
    """Tell whether something accepts connections there."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def greets(address: str, port: int, expected: bytes) -> bool:
    """Tell whether a server speaks first and begins with ``expected``."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_SECONDS) as connection:
            return connection.recv(len(expected)) == expected
    except OSError:
        return False


def answers_http(address: str, port: int) -> bool:
    """Tell whether an HTTP server answers anything at all."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(b"OPTIONS * HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def speaks_tls(address: str, port: int, host: str, ca_bundle: Path) -> bool:
    """Tell whether a TLS server shows a certificate for ``host`` that the bundle trusts."""
    try:
        context = ssl.create_default_context(cafile=str(ca_bundle))
        connection = socket.create_connection((address, port), timeout=TIMEOUT_SECONDS)
        with connection, context.wrap_socket(connection, server_hostname=host):
            return True
    except OSError:
        return False
