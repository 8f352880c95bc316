"""PostgreSQL of server db: made with initdb, configured as the guide does, filled with the application's tables."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from samaops.lab import templating
from samaops.lab.layout import (
    DATABASE,
    DATABASE_USER,
    DB_ADDRESS,
    POSTGRESQL_PORT,
    Layout,
    Secrets,
)
from samaops.lab.processes import ProcessSpec, StartError
from samaops.lab.release import releases
from samaops.lab.requirements import postgresql_programs
from samaops.lab.servers import Server, checked_in

SQL_DIRECTORY = Path(__file__).parent / "sql"
APPLICATION_SQL = Path(__file__).parent / "app" / "sql"
SUPERUSER = "postgres"
# The guide's values, scaled down; diagnose on the lab expects exactly these.
SETTINGS = {
    "max_connections": "60",
    "shared_buffers": "64MB",
    "effective_cache_size": "192MB",
    "maintenance_work_mem": "32MB",
    "work_mem": "4MB",
    "wal_level": "replica",
    "max_wal_size": "256MB",
    "min_wal_size": "80MB",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "200",
    "log_min_duration_statement": "500ms",
}


def system_user() -> str | None:
    """Return the user PostgreSQL runs as: it refuses root."""
    return SUPERUSER if os.geteuid() == 0 else None


def data_directory(server: Server) -> Path:
    """Return where the cluster is, as the server sees it."""
    return server.data / "postgresql" / postgresql_programs().parent.name / "main"


def configuration_directory(server: Server) -> Path:
    """Return where postgresql.conf is, as the server sees it: where Debian has it."""
    return server.etc / "postgresql" / postgresql_programs().parent.name / "main"


def initialise(layout: Layout, server: Server) -> bool:
    """Make the cluster unless it exists; write its configuration. Return whether it was made."""
    _write_configuration(server)
    data = data_directory(server)
    if server.outer(data / "global" / "pg_control").exists():
        return False
    password_file = server.run / "postgresql" / "initial_password"
    templating.write(server.outer(password_file), layout.secrets().postgres_password, 0o644)
    _own(server, data)
    options = ["--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-U", SUPERUSER, f"--pwfile={password_file}"]
    argv = [str(postgresql_programs() / "initdb"), *options, "-A", "scram-sha-256", "-D", str(data)]
    try:
        checked_in(server, argv, system_user())
    finally:
        server.outer(password_file).unlink()
    return True


def _own(server: Server, data: Path) -> None:
    """Make the directories that PostgreSQL's user must own."""
    for path in (data, server.log / "postgresql"):
        outer = server.outer(path)
        outer.mkdir(parents=True, exist_ok=True)
        if system_user():
            checked_in(server, ["chown", f"{SUPERUSER}:", str(path)])
    server.outer(data).chmod(0o700)


def _write_configuration(server: Server) -> None:
    directory = configuration_directory(server)
    (server.outer(server.run) / "postgresql").mkdir(exist_ok=True)
    (server.outer(server.run) / "postgresql").chmod(0o1777)
    content = templating.render("postgresql.conf", server=server, port=POSTGRESQL_PORT, settings=SETTINGS)
    templating.write(server.outer(directory / "postgresql.conf"), content)
    access = templating.render("pg_hba.conf", peer=system_user() is not None)
    templating.write(server.outer(directory / "pg_hba.conf"), access)


def spec(layout: Layout, server: Server) -> ProcessSpec:
    """Return the database server."""
    directory = configuration_directory(server)
    return ProcessSpec(
        name="postgresql",
        server=server.name,
        address=server.address,
        port=POSTGRESQL_PORT,
        argv=(
            str(postgresql_programs() / "postgres"),
            "-D",
            str(data_directory(server)),
            "-c",
            f"config_file={directory / 'postgresql.conf'}",
            "-c",
            f"hba_file={directory / 'pg_hba.conf'}",
        ),
        ready=lambda: answers(layout.secrets()),
        user=system_user(),
        stop_signal=signal.SIGINT,
    )


def answers(secrets: Secrets) -> bool:
    """Tell whether PostgreSQL accepts the superuser and a query."""
    try:
        with connection(secrets, SUPERUSER, SUPERUSER) as session:
            session.execute(sql("ready"))
    except psycopg.Error:
        return False
    return True


@contextmanager
def connection(
    secrets: Secrets, user: str, database: str = DATABASE, port: int = POSTGRESQL_PORT
) -> Iterator[psycopg.Connection[Any]]:
    """Open a session to PostgreSQL, straight unless ``port`` is that of the pool; autocommit."""
    passwords = {SUPERUSER: secrets.postgres_password, DATABASE_USER: secrets.samaconso_password}
    with psycopg.connect(
        host=DB_ADDRESS,
        port=port,
        user=user,
        password=passwords[user],
        dbname=database,
        connect_timeout=2,
        autocommit=True,
        application_name="samaops lab",
    ) as session:
        yield session


@cache
def sql(name: str) -> bytes:
    """Return one of the lab's statements by its file name without ending."""
    return (SQL_DIRECTORY / f"{name}.sql").read_bytes()


def fill(secrets: Secrets) -> bool:
    """Create roles, database, tables and rows where they are missing. Return whether rows were loaded."""
    _create_database(secrets)
    with connection(secrets, SUPERUSER) as session:
        session.execute(sql("extensions"))
        session.execute(sql("grant_settings"))
    with connection(secrets, DATABASE_USER) as session:
        row = session.execute(sql("rows_loaded")).fetchone()
        if row is not None and row[0]:
            return False
        _load(session)
    with connection(secrets, SUPERUSER) as session:
        for step in ("checkpoint", "reset_statistics", "vacuum_analyze", "warm_up"):
            session.execute(sql(step))
    return True


def _create_database(secrets: Secrets) -> None:
    with connection(secrets, SUPERUSER, SUPERUSER) as session:
        session.execute(sql("set_passwords"), (secrets.samaconso_password, secrets.monitoring_password))
        session.execute(sql("create_roles"))
        row = session.execute(sql("database_exists"), (DATABASE,)).fetchone()
        if row is None or not row[0]:
            session.execute(sql("create_database"))


def _load(session: psycopg.Connection[Any]) -> None:
    """Create and fill the application's tables in one transaction."""
    try:
        with session.transaction():
            session.execute((APPLICATION_SQL / "schema.sql").read_bytes())
            session.execute((APPLICATION_SQL / "seed.sql").read_bytes())
            session.execute(sql("version_table"))
            session.execute(sql("stamp"), (releases.FIRST.revisions[-1],))
            session.execute(sql("grant_notifications"))
            session.execute(sql("mark_loaded"))
    except psycopg.Error as error:
        raise StartError(f"samaconso: {str(error).strip()}") from error
