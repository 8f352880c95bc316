"""PostgreSQL: one connection that only reads, or one that changes something; statements from ``sql/postgresql``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.sql import Identifier, Literal

from samaops.clients.libpq import Session, accepted_logins, security
from samaops.config.settings import PostgreSQL
from samaops.resources import sql

LOCK_TIMEOUT_MS = 500


def quoted(name: str | Sequence[str]) -> str:
    """Return a configured name, with its schema or without, or its parts, as SQL takes it: exactly as it is written."""
    return Identifier(*(name.split(".") if isinstance(name, str) else name)).as_string()


def statement_of(name: str, names: Mapping[str, str | Sequence[str]]) -> str:
    """Return ``sql/postgresql/<name>.sql`` without its comments, with these names where it has ``{key}``."""
    lines = [line for line in sql(f"postgresql/{name}").splitlines() if not line.startswith("--")]
    text = "\n".join(lines).strip()
    return text.format(**{key: quoted(value) for key, value in names.items()}) if names else text


def with_values(statement: str, values: Mapping[str, Any]) -> str:
    """Return a statement as a person would type it: with its values in the place of ``%(key)s``."""
    return (
        statement % {key: Literal(value).as_string() for key, value in values.items()}
        if values
        else statement
    )


def _parameters(
    host: str, settings: PostgreSQL, application: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        **security(host, settings.tls, settings.sslmode),
        **accepted_logins(
            host,
            settings.tls,
            settings.sslmode,
            has_password=settings.password is not None,
            takes_clear_text=settings.clear_text_password,
        ),
        "port": settings.port,
        "dbname": settings.database,
        "user": settings.user,
        "password": settings.password.reveal() if settings.password else None,
        "gssencmode": "disable",
        "application_name": application,
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        "keepalives_idle": 5,
        "tcp_user_timeout": round(settings.timeout * 1000),
    }


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
        parameters = _parameters(host, settings, "samaops", options)
        self._session = Session(parameters, seconds, settings.timeout)

    def connect(self) -> None:
        """Log in. Raises ClientError."""
        self._session.connect()

    def read(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Run ``sql/postgresql/<name>.sql`` and return its rows by column name. Raises ClientError."""
        statement = statement_of(name, names) if names else sql(f"postgresql/{name}")
        return self._session.query(statement, parameters)

    def read_of_table(self, name: str, names: Mapping[str, str]) -> dict[str, Any]:
        """Run a query of one row whose tables and columns are configured: ``{key}`` in it. Raises ClientError."""
        words = {key: quoted(value) for key, value in names.items()}
        return self._session.query(sql(f"postgresql/{name}").format(**words))[0]

    def read_one(self, name: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a query that returns exactly one row. Raises ClientError."""
        return self.read(name, parameters)[0]

    def of_statement(self, name: str, statement: str) -> list[dict[str, Any]]:
        """Run ``sql/postgresql/<name>.sql`` with somebody's statement as it is in place of ``{statement}``.

        The server itself refuses more than one: nothing can follow it. Raises ClientError.
        """
        return self._session.query_single(statement_of(name, {}).replace("{statement}", statement))

    def ping_ms(self) -> float:
        """Return how long ``SELECT 1`` takes on the open connection. Raises ClientError."""
        return self._session.query_ms(sql("postgresql/ping"))

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class WritingClient:
    """One connection for one change, straight to the server and never through a pool; each statement stands for itself.

    The server ends a statement after ``seconds`` and a wait for a lock after ``lock_timeout_ms`` (0: never). What runs
    is seen in pg_stat_activity under ``application``.
    """

    def __init__(
        self, host: str, settings: PostgreSQL, application: str, seconds: float, lock_timeout_ms: int = 0
    ) -> None:
        options = {
            "statement_timeout": round(seconds * 1000),
            "lock_timeout": lock_timeout_ms,
            "idle_in_transaction_session_timeout": 10_000,
            # A client that is gone must not leave its statement behind.
            "client_connection_check_interval": 2000,
        }
        # Application names with spaces are passed as they are: it is no option.
        parameters = _parameters(host, settings, application, options)
        self._session = Session(parameters, seconds + settings.timeout, settings.timeout)

    def connect(self) -> None:
        """Log in. Raises ClientError."""
        self._session.connect()

    def __enter__(self) -> WritingClient:
        self.connect()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process of the server that does our work."""
        return self._session.pid

    @property
    def notices(self) -> list[tuple[str, str]]:
        """What the server said besides: severity and words."""
        return self._session.notices

    def run(
        self,
        name: str,
        names: Mapping[str, str | Sequence[str]] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Run ``sql/postgresql/<name>.sql`` with these names and values and return its rows. Raises ClientError.

        The values stand in it as it is shown: many statements that change something take no parameters.
        """
        return self.execute(with_values(statement_of(name, names or {}), values or {}))

    def execute(self, statement: str) -> list[dict[str, Any]]:
        """Run a statement that the server itself wrote, such as the definition of an index. Raises ClientError."""
        return self._session.query(statement)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
