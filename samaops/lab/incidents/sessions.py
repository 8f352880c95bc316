"""Sessions of incidents in PostgreSQL and on PgBouncer's console."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from samaops.i18n import _
from samaops.lab import database
from samaops.lab.incidents.site import PROGRAM_VARIABLE, Site
from samaops.lab.layout import DATABASE, DATABASE_USER, DB_ADDRESS, PGBOUNCER_PORT, POSTGRESQL_PORT
from samaops.lab.outside.places import python_environment
from samaops.lab.processes import StartError
from samaops.lab.specs import ProcessSpec
from samaops.lab.starting import wait_until

# Of PgBouncer's server_login_retry, 15 s, and some more.
POOL_SECONDS = 25.0
# Incidents with which clients of the pool wait.
HOLDING = {
    "pgbouncer-paused",
    "postgresql-stopped",
    "postgresql-connections-exhausted",
    "lock-chain",
    "server-down",
    "database-renamed",
}
_SQL = Path(__file__).parent / "sql"


@cache
def sql(name: str) -> bytes:
    """Return one of the incidents' statements by its file name without ending."""
    return (_SQL / f"{name}.sql").read_bytes()


def administrator(site: Site, name: str = DATABASE) -> Any:
    """Return the context manager of a superuser's session straight to PostgreSQL, autocommit."""
    return database.connection(site.secrets, database.SUPERUSER, name)


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


def await_pool(site: Site) -> None:
    """Wait until nobody waits for a connection of the pool. Raises StartError when somebody does for too long.

    A resumed pool opens its connections at its next turn; one that has lost PostgreSQL, after server_login_retry.
    """
    if (set(site.memory.broken()) - {site.incident}) & HOLDING:
        return  # another incident holds them
    if not wait_until(lambda: _waiting_clients(site) == 0, POOL_SECONDS):
        raise StartError(_("clients of the pool still wait"))


def longest_wait(site: Site) -> int:
    """Return for how many whole seconds the first client of the pool has waited for a connection."""
    return max((int(row["maxwait"]) for row in _pools(site)), default=0)


def _waiting_clients(site: Site) -> int:
    return sum(int(row["cl_waiting"]) for row in _pools(site))


def _pools(site: Site) -> list[dict[str, Any]]:
    with console(site) as cursor:
        pools = cursor.execute(b"SHOW POOLS")
        names = [column.name for column in pools.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in pools.fetchall()]
    return [row for row in rows if row["database"] == DATABASE]


def holder(site: Site, name: str, argv: tuple[str, ...]) -> ProcessSpec:
    """Describe a detached program of ``hold.py``, which connects as the application."""
    variables = {
        **python_environment(),
        PROGRAM_VARIABLE: name,
        "PGHOST": DB_ADDRESS,
        "PGPORT": str(POSTGRESQL_PORT),
        "PGDATABASE": DATABASE,
        "PGUSER": DATABASE_USER,
        "PGPASSWORD": site.secrets.samaconso_password,
    }
    return ProcessSpec(
        name=name,
        server="db",
        address=DB_ADDRESS,
        port=0,
        argv=(sys.executable, "-m", "samaops.lab.incidents.hold", *argv),
        ready=lambda: True,
        environment=variables,
    )
