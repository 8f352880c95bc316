"""Short looks at a port: is somebody there, and does it speak the expected protocol. None of them raises."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psycopg

TIMEOUT_SECONDS = 1.0
# A handshake of a busy machine takes longer than its connection.
TLS_SECONDS = 1.5


def accepts(address: str, port: int) -> bool:
    """Tell whether a TCP connection is accepted."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def greets(address: str, port: int, greeting: bytes, request: bytes = b"") -> bool:
    """Tell whether the server's first bytes, after ``request`` if any, are the greeting."""
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_SECONDS) as connection:
            if request:
                connection.sendall(request)
            return connection.recv(len(greeting)) == greeting
    except OSError:
        return False


def answers_sql(address: str, port: int, database: str, user: str, password: str) -> bool:
    """Tell whether a PostgreSQL server lets this user in."""
    try:
        psycopg.connect(
            host=address, port=port, dbname=database, user=user, password=password, connect_timeout=2
        ).close()
    except psycopg.Error:
        return False
    return True


def speaks_tls(address: str, port: int, host: str, ca_bundle: Path) -> bool:
    """Tell whether a TLS server shows a certificate for ``host`` that the bundle trusts."""
    try:
        context = ssl.create_default_context(cafile=str(ca_bundle))
        connection = socket.create_connection((address, port), timeout=TLS_SECONDS)
        with connection, context.wrap_socket(connection, server_hostname=host):
            return True
    except OSError:
        return False


def answers_http(url: str, authorization: str = "") -> bool:
    """Tell whether a GET is answered with a status under 400, without any proxy."""
    return _get(url, authorization) is not None


def get_json(url: str, authorization: str = "") -> Any:
    """Return the JSON document at a URL; None when there is none."""
    body = _get(url, authorization)
    try:
        return json.loads(body) if body is not None else None
    except ValueError:
        return None


def basic_authorization(user: str, password: str) -> str:
    """Return the Authorization header of HTTP basic authentication."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _get(url: str, authorization: str) -> bytes | None:
    headers = {"Authorization": authorization} if authorization else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - only the lab's own http URLs
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return bytes(answer.read())
    except (OSError, HTTPException, ValueError):
        return None
