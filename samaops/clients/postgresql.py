"""Look at PostgreSQL: one read-only connection, queries from ``sql/postgresql``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.sql import Identifier

from samaops.clients.libpq import Session, security
from samaops.config.settings import PostgreSQL
from samaops.resources import sql

LOCK_TIMEOUT_MS = 500


def quoted(name: str) -> str:
    """Return a configured name, with its schema or without, as SQL takes it: exactly as it is written."""
    return Identifier(*name.split(".")).as_string()


class PostgresClient:
    """One connection that cannot write, and on which no statement outlives its share of the time."""

    def __init__(self, host: str, settings: PostgreSQL, seconds: float) -> None:
        statement_ms = max(200, round(min(settings.timeout, seconds) * 600))
        options = {
            "default_transaction_read_only": "on",
            "statement_timeout": statement_ms,
            "lock_timeout": min(LOCK_TIMEOUT_MS, statement_ms),
            "idle_in_transaction_session_timeout": 10_000,
        }
        parameters = {
            **security(host, settings.tls, settings.sslmode),
            "port": settings.port,
            "dbname": settings.database,
            "user": settings.user,
            "password": settings.password.reveal() if settings.password else None,
            "gssencmode": "disable",
            "application_name": "samaops",
            "client_encoding": "UTF8",
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "keepalives_idle": 5,
            "tcp_user_timeout": round(settings.timeout * 1000),
        }
        self._session = Session(parameters, seconds, settings.timeout)

    def connect(self) -> None:
        """Log in. Raises ClientError."""
        self._session.connect()

    def read(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run ``sql/postgresql/<name>.sql`` and return its rows by column name. Raises ClientError."""
        return self._session.query(sql(f"postgresql/{name}"), parameters)

    def read_of_table(self, name: str, names: Mapping[str, str]) -> dict[str, Any]:
        """Run a query of one row whose tables and columns are configured: ``{key}`` in it. Raises ClientError."""
        words = {key: quoted(value) for key, value in names.items()}
        return self._session.query(sql(f"postgresql/{name}").format(**words))[0]

    def read_one(self, name: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a query that returns exactly one row. Raises ClientError."""
        return self.read(name, parameters)[0]

    def ping_ms(self) -> float:
        """Return how long ``SELECT 1`` takes on the open connection. Raises ClientError."""
        return self._session.query_ms(sql("postgresql/ping"))

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
