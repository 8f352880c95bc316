"""Look at PgBouncer: through its admin console, and with queries through a pool. Never both in one session."""

from __future__ import annotations

from typing import Any

from psycopg import conninfo

from samaops.clients.libpq import Session, accepted_logins, security
from samaops.clients.postgresql import quoted
from samaops.config.secrets import Secret
from samaops.config.settings import PgBouncer
from samaops.resources import sql


def _parameters(
    host: str, settings: PgBouncer, database: str, user: str, password: Secret | None
) -> dict[str, Any]:
    # No `options`: PgBouncer refuses start-up parameters that it does not know.
    return {
        **security(host, settings.tls, "prefer"),
        **accepted_logins(
            host,
            settings.tls,
            "prefer",
            has_password=password is not None,
            takes_clear_text=settings.clear_text_password,
        ),
        "port": settings.port,
        "dbname": database,
        "user": user,
        "password": password.reveal() if password else None,
        "gssencmode": "disable",
        "application_name": "samaops",
        "client_encoding": "UTF8",
        "keepalives_idle": 5,
        "tcp_user_timeout": round(settings.timeout * 1000),
    }


class ConsoleClient:
    """The admin console: SHOW commands only. Its columns differ between versions."""

    def __init__(self, host: str, settings: PgBouncer, seconds: float) -> None:
        parameters = _parameters(host, settings, "pgbouncer", settings.admin_user, settings.admin_password)
        self._session = Session(parameters, seconds, settings.timeout)

    def connect(self) -> None:
        """Log in to the console. Raises ClientError."""
        self._session.connect(simple_protocol=True)

    def version(self) -> str:
        """Return PgBouncer's version, such as 1.18.0."""
        return (self._session.parameter("server_version") or "").partition("/")[0]

    def show(self, name: str) -> list[dict[str, Any]]:
        """Run ``sql/pgbouncer/<name>.sql`` and return its rows by column name. Raises ClientError."""
        return self._session.query(command_of(name))

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class ConsoleAdministrator(ConsoleClient):
    """The admin console for one change."""

    def __enter__(self) -> ConsoleAdministrator:
        self.connect()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def run(self, name: str, database: str = "", size: int = 0) -> None:
        """Run a command of ``sql/pgbouncer``, see ``command_of``. Raises ClientError."""
        self._session.query(command_of(name, database, size))


def command_of(name: str, database: str = "", size: int = 0) -> str:
    """Return ``sql/pgbouncer/<name>.sql`` without its comments, which the console's parser does not know."""
    lines = [line for line in sql(f"pgbouncer/{name}").splitlines() if not line.startswith("--")]
    return "\n".join(lines).format(database=f'"{database}"', size=size)


def console_info(host: str, settings: PgBouncer) -> str:
    """Return how another program on PgBouncer's server connects to the console: all but the password."""
    return conninfo.make_conninfo(
        "",
        host=host,
        port=settings.port,
        dbname="pgbouncer",
        user=settings.admin_user,
        sslmode="require" if settings.tls else "prefer",
        gssencmode="disable",
        connect_timeout=5,
        application_name="samaops",
    )


class PooledClient:
    """A client like the application: it gets a server connection of the pool for each query."""

    def __init__(self, host: str, settings: PgBouncer, seconds: float) -> None:
        parameters = _parameters(host, settings, settings.database, settings.user, settings.password)
        self._session = Session(parameters, seconds, settings.timeout)

    def connect(self) -> None:
        """Log in to the pool, which may itself need PostgreSQL for that. Raises ClientError."""
        self._session.connect()

    def query_ms(self) -> float:
        """Return how long ``SELECT 1`` takes through the pool. Raises ClientError."""
        return self._session.query_ms(sql("postgresql/ping"))

    def read(self, name: str) -> list[dict[str, Any]]:
        """Run ``sql/postgresql/<name>.sql`` as the application and return its rows by column name. Raises ClientError."""
        return self._session.query(sql(f"postgresql/{name}"))

    def write_and_take_back(self, table: str, column: str) -> None:
        """Write a row of a table as it is, and roll that back; so does the pool when this ends before. Raises ClientError.

        An UPDATE proves the right to write, a session that may, and room for the row and its WAL. An INSERT would use up
        a number of a sequence and would have to invent a row; DDL needs rights that the application need not have.
        """
        words = {"table": quoted(table), "published": quoted(column)}
        self._session.query(sql("postgresql/probe_begin"))
        try:
            self._session.query(sql("postgresql/probe_row").format(**words))
        finally:
            self._session.query(sql("postgresql/probe_end"))

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
