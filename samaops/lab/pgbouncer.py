"""PgBouncer of server db: the guide's ini with pools that fit the lab's max_connections."""

from __future__ import annotations

import contextlib
import select
import shlex
from pathlib import Path
from typing import Any

import psycopg

from samaops.lab import database, templating
from samaops.lab.layout import (
    DATABASE,
    DATABASE_USER,
    MONITORING_USER,
    PGBOUNCER_PORT,
    POSTGRESQL_PORT,
    Layout,
    Secrets,
)
from samaops.lab.processes import ProcessSpec
from samaops.lab.requirements import program
from samaops.lab.servers import Server

ANSWER_SECONDS = 1.5
SETTINGS = {
    "pool_mode": "transaction",
    "max_client_conn": "1000",
    "default_pool_size": "20",
    "min_pool_size": "4",
    "reserve_pool_size": "5",
    "reserve_pool_timeout": "5",
    "query_wait_timeout": "120",
}


def prepare(layout: Layout, server: Server) -> None:
    """Write pgbouncer.ini and userlist.txt; the SCRAM secrets come from the running PostgreSQL."""
    directory = server.etc / "pgbouncer"
    auth_file = _auth_file(server)
    content = templating.render(
        "pgbouncer.ini",
        server=server,
        database=DATABASE,
        user=DATABASE_USER,
        monitoring_user=MONITORING_USER,
        port=PGBOUNCER_PORT,
        postgresql_port=POSTGRESQL_PORT,
        auth_file=auth_file,
        settings=SETTINGS,
    )
    templating.write(server.outer(directory / "pgbouncer.ini"), content)
    templating.write(server.outer(auth_file), _userlist(layout.secrets()), 0o644)
    server.outer(directory).chmod(0o755)


def _userlist(secrets: Secrets) -> str:
    users = [DATABASE_USER, MONITORING_USER, database.SUPERUSER]
    with database.connection(secrets, database.SUPERUSER, database.SUPERUSER) as session:
        rows = session.execute(database.sql("password_hashes"), (users,)).fetchall()
    return "".join(f'"{name}" "{verifier}"\n' for name, verifier in rows)


def secret_of(server: Server, user: str) -> str:
    """Return the secret with which PgBouncer knows a user."""
    rows = shlex.split(server.outer(_auth_file(server)).read_text(encoding="ascii"))
    return dict(zip(rows[::2], rows[1::2], strict=True))[user]


def _auth_file(server: Server) -> Path:
    return server.etc / "pgbouncer" / "userlist.txt"


def spec(layout: Layout, server: Server) -> ProcessSpec:
    """Return the pooler."""
    return ProcessSpec(
        name="pgbouncer",
        server=server.name,
        address=server.address,
        port=PGBOUNCER_PORT,
        argv=(program("pgbouncer"), str(server.etc / "pgbouncer" / "pgbouncer.ini")),
        ready=lambda: answers(server, layout.secrets()),
        user=database.system_user(),
        stop_signal=2,
    )


def answers(server: Server, secrets: Secrets) -> bool:
    """Tell whether a client gets a session of the application's database."""
    try:
        session = psycopg.connect(
            host=server.address,
            port=PGBOUNCER_PORT,
            user=DATABASE_USER,
            password=secrets.samaconso_password,
            dbname=DATABASE,
            connect_timeout=2,
            autocommit=True,
        )
    except psycopg.Error:
        return False
    with contextlib.closing(session):
        return _answers_query(session)


def _answers_query(session: psycopg.Connection[Any]) -> bool:
    """Ask a query and wait a moment only: PgBouncer keeps a client waiting while PostgreSQL is away."""
    try:
        session.pgconn.send_query(database.sql("ready"))
        readable, _writable, _faulty = select.select([session.fileno()], [], [], ANSWER_SECONDS)
        if not readable:
            return False
        session.pgconn.consume_input()
        result = session.pgconn.get_result()
    except psycopg.Error:
        return False
    return result is not None and result.status == psycopg.pq.ExecStatus.TUPLES_OK
