"""A real PostgreSQL and a real PgBouncer for tests: free ports of 127.0.0.1, a temporary place, gone afterwards.

Use the fixtures by importing them: ``from tests.service.postgres_server import postgres_server, pgbouncer_server``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from samaops.config.settings import PgBouncer, PostgreSQL

PASSWORD = "s3cret-of-tests"
DATABASE = "samaconso"
START_SECONDS = 30.0
BINARIES = (
    Path("/usr/lib/postgresql/15/bin"),
    Path("/usr/lib/postgresql/16/bin"),
    Path("/usr/lib/postgresql/17/bin"),
)
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{directory}'
port = {port}
max_connections = 25
superuser_reserved_connections = 3
max_prepared_transactions = 5
wal_level = logical
fsync = off
shared_buffers = 16MB
max_wal_size = 32MB
min_wal_size = 32MB
autovacuum = off
deadlock_timeout = 100ms
shared_preload_libraries = 'pg_stat_statements'
{extra}
"""
POOL_CONFIGURATION = """
[databases]
{database} = host=127.0.0.1 port={server_port} dbname={database}
second = host=127.0.0.1 port={server_port} dbname={database}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {directory}/userlist.txt
pool_mode = transaction
max_client_conn = 50
default_pool_size = 2
reserve_pool_size = 0
query_wait_timeout = 120
server_connect_timeout = 2
server_login_retry = 1
admin_users = postgres
stats_users = samaconso_user
logfile = {directory}/pgbouncer.log
{extra}
"""


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return the first true answer of ``condition``; fail when there is none in time."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{condition} did not become true within {seconds} s")


def binaries() -> Path:
    """Return the directory of the server's programs, or skip the test and name what is missing."""
    for directory in BINARIES:
        if (directory / "initdb").exists():
            return directory
    pytest.skip("needs the Debian package postgresql-15")


def as_postgres(*command: str | Path) -> list[str]:
    """Return the command run as the user postgres: the servers refuse root."""
    words = [str(word) for word in command]
    return (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]
        if os.geteuid() == 0
        else words
    )


@dataclass
class PostgresServer:
    """One running server, its superuser ``postgres`` and the roles samaops, outsider and samaconso_user."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    def connect(
        self, user: str = "postgres", database: str = DATABASE, **options: Any
    ) -> psycopg.Connection[Any]:
        """Open a connection as any of the roles; autocommit unless told otherwise."""
        options.setdefault("autocommit", True)
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=PASSWORD, dbname=database, **options
        )

    def run(self, statement: str, **options: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser and return its rows."""
        with self.connect(**options) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def settings(self, **changes: Any) -> PostgreSQL:
        """Return the section of the configuration that leads here."""
        values = {"host": "127.0.0.1", "port": self.port, "user": "samaops", "password": PASSWORD, **changes}
        return PostgreSQL.model_validate(values)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                as_postgres(binaries() / "postgres", "-D", self.directory / "data"), stdout=log, stderr=log
            )
        eventually(self._answers, START_SECONDS)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server (SIGINT is PostgreSQL's fast shutdown)."""
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(START_SECONDS)
            except (
                subprocess.TimeoutExpired
            ):  # a test left a backend stopped: an immediate shutdown ends it too
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(START_SECONDS)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError((self.directory / "server.log").read_text())
        try:
            self.connect(database="postgres").close()
        except psycopg.OperationalError:
            return False
        return True


ROLES = f"""
CREATE ROLE samaops LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor;
CREATE ROLE outsider LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE samaconso_user LOGIN PASSWORD '{PASSWORD}';
GRANT pg_signal_backend, pg_checkpoint TO samaops
"""


@contextmanager
def running_postgres(extra: str = "") -> Iterator[PostgresServer]:
    """Run a server with further lines of configuration, and remove it at the end."""
    programs = binaries()
    directory = Path(tempfile.mkdtemp(prefix="samaops-pg-"))
    server = PostgresServer(free_port(), directory)
    try:
        (directory / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (directory, directory / "password"):
                shutil.chown(path, "postgres", "postgres")
        command = as_postgres(
            programs / "initdb", "-D", directory / "data", "-U", "postgres", "--pwfile", directory / "password",
            "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, cwd=directory)
        lines = CONFIGURATION.format(directory=directory, port=server.port, extra=extra)
        with (directory / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(lines)
        server.start()
        for statement in ROLES.split(";"):
            server.run(statement, database="postgres")
        server.run(f"CREATE DATABASE {DATABASE} OWNER samaconso_user", database="postgres")
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@dataclass
class PgBouncerServer:
    """One running pool in front of a PostgresServer; the console's user is postgres."""

    port: int
    directory: Path
    behind: PostgresServer
    process: subprocess.Popen[bytes] | None = None

    def connect(self, database: str = DATABASE, **options: Any) -> psycopg.Connection[Any]:
        """Open a client connection of the application to the pool."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="samaconso_user", password=PASSWORD, dbname=database,
            autocommit=True, prepare_threshold=None, **options,
        )  # fmt: skip

    def console(self, command: str) -> list[tuple[Any, ...]]:
        """Run one command of the admin console."""
        connection = psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=PASSWORD, dbname="pgbouncer",
            autocommit=True, cursor_factory=psycopg.ClientCursor,
        )  # fmt: skip
        with connection:
            cursor = connection.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def settings(self, **changes: Any) -> PgBouncer:
        """Return the section of the configuration that leads here."""
        values = {
            "host": "127.0.0.1", "port": self.port, "password": PASSWORD, "admin_password": PASSWORD, **changes,
        }  # fmt: skip
        return PgBouncer.model_validate(values)

    def start(self) -> None:
        """Start the pool and wait until its console answers."""
        command = as_postgres(
            shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", "-q", self.directory / "pgbouncer.ini"
        )
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._answers, START_SECONDS)

    def stop(self) -> None:
        """Stop the pool at once."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_SECONDS)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "pgbouncer ended"
        try:
            self.console("SHOW VERSION")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_pgbouncer(behind: PostgresServer, extra: str = "") -> Iterator[PgBouncerServer]:
    """Run a pool of two connections in front of a server, and remove it at the end."""
    if not (shutil.which("pgbouncer") or Path("/usr/sbin/pgbouncer").exists()):
        pytest.skip("needs the Debian package pgbouncer")
    directory = Path(tempfile.mkdtemp(prefix="samaops-pool-"))
    pool = PgBouncerServer(free_port(), directory, behind)
    try:
        values = {"database": DATABASE, "server_port": behind.port, "port": pool.port, "directory": directory}
        (directory / "pgbouncer.ini").write_text(POOL_CONFIGURATION.format(extra=extra, **values))
        users = "".join(f'"{user}" "{PASSWORD}"\n' for user in ("postgres", "samaconso_user", "samaops"))
        (directory / "userlist.txt").write_text(users)
        if os.geteuid() == 0:
            for path in (directory, *directory.iterdir()):
                shutil.chown(path, "postgres", "postgres")
        pool.start()
        yield pool
    finally:
        pool.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of the whole test session, with two-phase commit on and autovacuum off."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def pgbouncer_server(postgres_server: PostgresServer) -> Iterator[PgBouncerServer]:
    """A PgBouncer of one test in front of the session's PostgreSQL."""
    with running_pgbouncer(postgres_server) as pool:
        yield pool
