"""Sessions of incidents in PostgreSQL and on PgBouncer's console."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from samaops.i18n import _
from samaops.lab import database
from samaops.lab.incidents.site import Site
from samaops.lab.layout import DATABASE, DATABASE_USER, DB_ADDRESS, PGBOUNCER_PORT, POSTGRESQL_PORT
from samaops.lab.outside.places import python_environment
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

# Of PgBouncer's server_login_retry, 15 s, and some more.
POOL_SECONDS = 25.0
# Incidents with which clients of the pool wait.
HOLDING = {
    "pgbouncer-paused",
    "pgbouncer-login-refused",
    "postgresql-stopped",
    "postgresql-connections-exhausted",
    "lock-chain",
    "server-down",
    "database-renamed",
    "pool-too-small",
    "application-holds-transactions",
}
_SQL = Path(__file__).parent / "sql"


@cache
def sql(name: str) -> bytes:
    """Return one of the incidents' statements by its file name without ending."""
    return (_SQL / f"{name}.sql").read_bytes()


def administrator(site: Site, name: str = DATABASE) -> Any:
    """Return the context manager of a superuser's session straight to PostgreSQL, autocommit."""
    return database.connection(site.secrets, database.SUPERUSER, name)


def run(site: Site, name: str, values: Mapping[str, object] | None = None) -> tuple[Any, ...]:
    """Run a statement as the superuser; return its first row, empty when it has none."""
    with administrator(site) as session:
        cursor = session.execute(sql(name), values)
        return tuple((cursor.fetchone() if cursor.description else None) or ())


def has_row(site: Site, name: str) -> bool:
    """Tell whether a statement finds a row."""
    with administrator(site) as session:
        return session.execute(sql(name)).fetchone() is not None


def run_as_owner(site: Site, name: str) -> None:
    """Run a statement as the application, to whom what it makes then belongs."""
    with database.connection(site.secrets, DATABASE_USER) as session:
        session.execute(sql(name))


def end(site: Site, application_name: str) -> None:
    """End the sessions of a program; a server that is down has none."""
    with suppress(psycopg.OperationalError):
        run(site, "end_sessions", {"application_name": application_name})


def refusal(site: Site) -> str:
    """Return with which words PostgreSQL refuses the application a session, empty when it admits it."""
    try:
        with database.connection(site.secrets, DATABASE_USER):
            return ""
    except psycopg.OperationalError as error:
        # Before a session exists libpq tells no SQLSTATE, only the server's words.
        return str(error).strip().splitlines()[-1]


@contextmanager
def console(site: Site) -> Iterator[psycopg.ClientCursor[Any]]:
    """Open PgBouncer's admin console; it knows the simple protocol only."""
    with psycopg.connect(
        host=DB_ADDRESS,
        port=PGBOUNCER_PORT,
        user=database.SUPERUSER,
        password=site.secrets.postgres_password,
        dbname="pgbouncer",
        connect_timeout=2,
        autocommit=True,
        cursor_factory=psycopg.ClientCursor,
    ) as connection:
        yield connection.cursor()  # type: ignore[misc]


def show(site: Site, what: str) -> list[dict[str, Any]]:
    """Return what PgBouncer's console shows, row by row."""
    with console(site) as cursor:
        rows = cursor.execute(b"SHOW " + what.encode("ascii"))
        names = [column.name for column in rows.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def command(site: Site, words: str) -> None:
    """Give PgBouncer a command on its console."""
    with console(site) as cursor:
        cursor.execute(words.encode("ascii"))


def await_pool(site: Site) -> None:
    """Wait until nobody waits for a connection of the pool. Raises StartError when somebody does for too long.

    A resumed pool opens its connections at its next turn; one that has lost PostgreSQL, after server_login_retry.
    """
    if (set(site.memory.broken()) - {site.incident}) & HOLDING:
        return  # another incident holds them
    # Clients that have given up wait no more, while the pool still does not try: so it must answer one too.
    if not wait_until(lambda: _waiting_clients(site) == 0 and _answers(site), POOL_SECONDS):
        raise StartError(_("clients of the pool still wait"))


def _answers(site: Site) -> bool:
    try:
        with database.connection(site.secrets, DATABASE_USER, port=PGBOUNCER_PORT) as session:
            session.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def longest_wait(site: Site) -> int:
    """Return for how many whole seconds the first client of the pool has waited for a connection."""
    return max((int(pool["maxwait"]) for pool in _pools(site)), default=0)


def _waiting_clients(site: Site) -> int:
    return sum(int(pool["cl_waiting"]) for pool in _pools(site))


def _pools(site: Site) -> list[dict[str, Any]]:
    return [pool for pool in show(site, "POOLS") if pool["database"] == DATABASE]


def count(site: Site, application_name: str, doing: str) -> int:
    """Return how many sessions of a program are in a state, or wait for something of that kind."""
    return int(run(site, "count_sessions", {"application_name": application_name, "doing": doing})[0])


def hold(site: Site, *arguments: str, is_pooled: bool = False) -> None:
    """Start ``hold.py`` beside the database, connected as the application: straight, or through the pool."""
    variables = {
        **python_environment(),
        "PGHOST": DB_ADDRESS,
        "PGPORT": str(PGBOUNCER_PORT if is_pooled else POSTGRESQL_PORT),
        "PGDATABASE": DATABASE,
        "PGUSER": DATABASE_USER,
        "PGPASSWORD": site.secrets.samaconso_password,
    }
    site.spawn("db", [sys.executable, "-m", "samaops.lab.incidents.tools.hold", *arguments], variables)
