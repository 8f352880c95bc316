"""Quick questions that tell whether a stand-in is ready: under two seconds, never an exception."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import psycopg

TIMEOUT_SECONDS = 1.5


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
        connection = socket.create_connection((address, port), timeout=TIMEOUT_SECONDS)
        with connection, context.wrap_socket(connection, server_hostname=host):
            return True
    except OSError:
        return False
