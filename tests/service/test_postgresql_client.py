"""The client of PostgreSQL against the real server and against servers that fail on purpose."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.libpq import Session
from samaops.clients.postgresql import PostgresClient
from samaops.collect.postgresql.reading import EXTENSIONS, LIMITS
from samaops.config.settings import PostgreSQL
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.selection import Selection
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from samaops.resources import directory
from samaops.site import chosen
from tests.service import faulty
from tests.service.postgres_looks import observe
from tests.service.postgres_server import (
    PASSWORD,
    PostgresServer,
    as_postgres,
    eventually,
    postgres_server,  # noqa: F401 - a fixture
    running_postgres,
)

pytestmark = pytest.mark.service

TIMEOUT_SECONDS = 1.0
SLACK_SECONDS = 0.7  # two busy cores
ALL = {
    path.stem: path.read_text(encoding="utf-8") for path in (directory("sql") / "postgresql").glob("*.sql")
}
TIMES = {"table": "pg_stat_activity", "due": "query_start", "published": "state_change"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "settings": {"names": list(LIMITS)},
    "extensions": {"names": list(EXTENSIONS)},
    "notifications_table": TIMES,
    "application": {"database": "postgres", "user": "postgres"},
    "application_rights": {"user": "postgres", "table": "pg_stat_activity"},
}
# What is no query though it begins as one.
ACTS = ("reload", "role")


def _is_query(name: str) -> bool:
    """Return whether a statement only reads, and needs no values or names that only its own tests have."""
    statement = "\n".join(line for line in ALL[name].splitlines() if not line.startswith("--")).strip()
    takes = re.search(r"%\(|\{[a-z_]+\}", statement) and name not in (*PARAMETERS, "notifications_due")
    return statement.startswith(("SELECT", "WITH")) and not takes and name not in ACTS


QUERIES = sorted(filter(_is_query, ALL))
# The third: without its extension, as here.
NOT_15 = {"checkpoints_17", "slots_17", "dirty_buffers"}
NEED_MONITOR = {
    "wal", "temp_files", "data_directories", "slots_to_drop", "backup_about", "socket_directories",
}  # fmt: skip


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:  # noqa: F811
    return postgres_server


def connect(settings: PostgreSQL, seconds: float = 5.0) -> PostgresClient:
    client = PostgresClient(str(settings.host), settings, seconds)
    client.connect()
    return client


def failure_of(settings: PostgreSQL, seconds: float = 5.0) -> ClientError:
    with pytest.raises(ClientError) as caught:
        connect(settings, seconds).ping_ms()
    return caught.value


# Of a table that is everywhere: a view of the server's own, with two columns of times.
def run(client: PostgresClient, query: str) -> None:
    """Run a query as the facts do."""
    if query == "notifications_due":
        client.read_of_table(query, TIMES)
    else:
        client.read(query, PARAMETERS.get(query))


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_runs_as_a_monitor(server: PostgresServer, query: str) -> None:
    client = connect(server.settings())
    try:
        if query in NOT_15:
            with pytest.raises(ClientError) as caught:
                client.read(query)
            assert caught.value.kind is FailureKind.MISSING
        else:
            run(client, query)
    finally:
        client.close()


@pytest.mark.parametrize("query", [query for query in QUERIES if query not in NOT_15])
def test_every_query_runs_or_is_refused_without_rights(server: PostgresServer, query: str) -> None:
    client = connect(server.settings(user="outsider"))
    try:
        if query in NEED_MONITOR:
            with pytest.raises(ClientError) as caught:
                client.read(query)
            assert caught.value.kind is FailureKind.PERMISSION
        else:
            run(client, query)
    finally:
        client.close()


@pytest.mark.parametrize("statement", sorted(ALL))
def test_every_statement_says_its_purpose_and_what_it_needs(statement: str) -> None:
    lines = ALL[statement].splitlines()

    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("-- "))]
    assert head[0].startswith("-- ")
    assert any("Needs: " in line for line in head)


def test_the_session_is_read_only_bounded_and_named(server: PostgresServer) -> None:
    client = connect(server.settings())
    try:
        rows = server.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'samaops'")
        names = ["default_transaction_read_only", "statement_timeout", "lock_timeout"]
        shown = {row["name"]: row["shown"] for row in client.read("settings", {"names": names})}
    finally:
        client.close()

    assert len(rows) == 1
    assert shown == {
        "default_transaction_read_only": "on",
        "statement_timeout": "3s",
        "lock_timeout": "500ms",
    }


def session(settings: PostgreSQL, seconds: float = 5.0, **changes: Any) -> Session:
    assert settings.password is not None
    parameters = {
        "host": str(settings.host),
        "port": settings.port,
        "dbname": settings.database,
        "user": settings.user,
        "password": settings.password.reveal(),
        **changes,
    }
    return Session(parameters, seconds, TIMEOUT_SECONDS)


def test_values_come_in_types_of_python_and_are_counted(server: PostgresServer) -> None:
    tally = footprint.open_tally()
    connection = session(server.settings())
    connection.connect()
    try:
        rows = connection.query(
            "SELECT 1 AS a, 'x' AS b, timestamptz '2026-01-31 03:12:00.25+00' AS c, 1.5::numeric AS d, NULL AS e,"
            " ARRAY[1,2] AS f, %(given)s AS g",
            {"given": "it's"},
        )
        took = connection.query_ms("SELECT 1")
        version = connection.parameter("server_version")
    finally:
        connection.close()

    types = ["int", "str", "datetime", "Decimal", "NoneType", "list", "str"]
    assert [type(value).__name__ for value in rows[0].values()] == types
    assert rows[0]["g"] == "it's"
    assert (tally.footprint().connections, tally.footprint().commands) == (1, 2)
    assert tally.footprint().bytes_read > 10
    assert 0 < took < 1000
    assert version is not None
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("changes", "kind", "stage"),
    [
        ({"password": "wrong"}, FailureKind.AUTHENTICATION, "login"),
        ({"dbname": "absent"}, FailureKind.MISSING, "login"),
        ({"port": 1}, FailureKind.REFUSED, "connect"),
    ],
)
def test_a_refusal_says_how_far_the_log_in_came(
    server: PostgresServer, changes: dict[str, Any], kind: FailureKind, stage: str
) -> None:
    with pytest.raises(ClientError) as caught:
        session(server.settings(), **changes).connect()

    assert (caught.value.kind, caught.value.stage) == (kind, stage)


@pytest.mark.parametrize(
    ("fault", "kind", "stage"),
    [
        (faulty.silent, FailureKind.SILENT, "connect"),
        (faulty.hanging, FailureKind.NO_ANSWER, "login"),
    ],
)
def test_a_server_that_says_nothing_costs_the_time_of_the_connection(
    server: PostgresServer, fault: Any, kind: FailureKind, stage: str
) -> None:
    context: AbstractContextManager[tuple[str, int]] = fault()
    with context as (host, port):
        started = time.monotonic()
        with pytest.raises(ClientError) as caught:
            session(server.settings(), host=host, port=port).connect()

    assert (caught.value.kind, caught.value.stage) == (kind, stage)
    assert time.monotonic() - started < TIMEOUT_SECONDS + SLACK_SECONDS


def test_a_query_that_hangs_is_over_when_the_time_is(server: PostgresServer) -> None:
    connection = session(server.settings(), TIMEOUT_SECONDS)
    connection.connect()
    started = time.monotonic()
    try:
        with pytest.raises(ClientError) as caught:
            connection.query("SELECT pg_sleep(30)")
    finally:
        connection.close()
    took = time.monotonic() - started
    # It would sleep on: a server notices that a client has gone when it answers.
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'")

    assert caught.value.kind is FailureKind.NO_ANSWER
    assert TIMEOUT_SECONDS / 2 < took < TIMEOUT_SECONDS + SLACK_SECONDS


def test_a_look_takes_one_connection_and_little_time(server: PostgresServer) -> None:
    observe(server.settings())
    started = time.monotonic()
    snapshot, _found = observe(server.settings())

    assert snapshot.footprint.connections == 1
    assert snapshot.footprint.writes == 0
    assert snapshot.footprint.bytes_read > 0
    assert time.monotonic() - started < 0.5  # well under 0.1 on a quiet machine
    facts = snapshot.observations[0].facts
    assert isinstance(facts, PostgresFacts)
    assert facts.ping_ms < facts.connect_ms + 50


def test_without_rights_the_hidden_parts_are_unknown_and_the_rest_is_judged(server: PostgresServer) -> None:
    snapshot, found = observe(server.settings(user="outsider"))
    missing = snapshot.observations[0].missing

    assert set(missing) == {"activity", "locks", "wal", "temp_files"}
    assert {failure.kind for failure in missing.values()} == {FailureKind.PERMISSION}
    assert "pg_monitor" in missing["activity"].message
    assert found["postgresql.locks.chain"].status is Status.UNKNOWN
    assert found["postgresql.service.unreachable"].status is Status.OK
    assert found["postgresql.connections.high"].value
    assert Status.CRITICAL not in {finding.status for finding in found.values()}


def test_only_what_was_asked_is_queried(server: PostgresServer) -> None:
    snapshot, _found = observe(server.settings(), selection=Selection(only=("postgresql.latency.high",)))

    assert snapshot.footprint.commands == 2  # SELECT 1 and who we are


FAULTS = [
    (faulty.refused_port, FailureKind.REFUSED),
    (faulty.silent, FailureKind.SILENT),
    (faulty.hanging, FailureKind.NO_ANSWER),
    (faulty.closing, FailureKind.CLOSED),
    (faulty.garbage, FailureKind.GARBAGE),
    (lambda: faulty.answering(faulty.http_response(b"{}")), FailureKind.GARBAGE),
    (lambda: faulty.dripping(b"N", every_seconds=0.4, drop=b"R"), FailureKind.NO_ANSWER),
    (lambda: faulty.dripping(b"NR\0\0", every_seconds=0.2, drop=b"\0"), FailureKind.GARBAGE),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
def test_each_fault_is_told_apart_within_the_timeout(fault: Any, kind: FailureKind) -> None:
    context: AbstractContextManager[tuple[str, int]] = fault()
    with context as (host, port):
        started = time.monotonic()
        error = failure_of(PostgreSQL(host=host, port=port, timeout=TIMEOUT_SECONDS), TIMEOUT_SECONDS)

        assert time.monotonic() - started < TIMEOUT_SECONDS + SLACK_SECONDS
        assert error.kind is kind
        assert error.message


def test_a_name_that_does_not_resolve_is_said() -> None:
    assert failure_of(PostgreSQL(host="nowhere.invalid")).kind is FailureKind.NAME


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (
            {"password": "canary-of-a-wrong-password"},
            FailureKind.AUTHENTICATION,
            "password authentication failed",
        ),
        ({"user": "nobody_knows"}, FailureKind.AUTHENTICATION, "nobody_knows"),
        ({"database": "absent"}, FailureKind.MISSING, "absent"),
        ({"sslmode": "require"}, FailureKind.TLS, "SSL"),
    ],
)
def test_a_refused_login_says_why(
    server: PostgresServer, changes: dict[str, str], kind: FailureKind, words: str
) -> None:
    error = failure_of(server.settings(**changes))

    assert error.kind is kind
    assert words in error.message
    assert "canary" not in error.message
    assert error.stage == "login"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"password": "wrong"}, FailureKind.AUTHENTICATION),
        ({"database": "absent"}, FailureKind.MISSING),
        ({"user": "postgres", "database": "template0"}, FailureKind.UNAVAILABLE),
    ],
)
def test_a_libpq_that_cannot_trace_leaves_the_words_to_judge(
    server: PostgresServer, changes: dict[str, str], kind: FailureKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")

    assert failure_of(server.settings(**changes)).kind is kind


def test_a_certificate_nobody_trusts_is_a_tls_failure() -> None:
    # The server says yes to TLS ("S") and then shows a certificate that no CA has signed.
    with _tls_server() as (host, port):
        error = failure_of(PostgreSQL(host=host, port=port, sslmode="verify-full", timeout=2))

    assert error.kind is FailureKind.TLS


@contextlib.contextmanager
def _tls_server() -> Iterator[tuple[str, int]]:
    with faulty.garbage(b"Snot a handshake" * 10) as address:
        yield address


def test_a_database_that_this_user_may_not_enter_is_a_permission(server: PostgresServer) -> None:
    server.run("CREATE DATABASE closed")
    server.run("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    try:
        assert failure_of(server.settings(user="outsider", database="closed")).kind is FailureKind.PERMISSION
    finally:
        server.run("DROP DATABASE closed")


def test_exhausted_connections_are_an_outage_and_end(server: PostgresServer) -> None:
    with contextlib.ExitStack() as stack:
        for _number in range(22):  # all but the three reserved ones
            stack.enter_context(server.connect(user="samaconso_user"))
        _snapshot, found = observe(server.settings())

    refused = found["postgresql.service.unreachable"]
    assert refused.status is Status.CRITICAL
    assert refused.evidence["kind"] == "unavailable"
    assert refused.evidence["stage"] == "slot"
    assert "remaining connection slots" in refused.detail
    eventually(lambda: observe(server.settings())[1]["postgresql.service.unreachable"].status is Status.OK)


def test_a_server_that_stops_in_the_middle_costs_only_what_was_not_read() -> None:
    with running_postgres() as server:
        settings = server.settings(timeout=1.5)
        client = connect(settings, 1.5)
        client.ping_ms()
        backend = server.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'samaops'")[0][0]
        try:
            os.kill(backend, signal.SIGSTOP)
            started = time.monotonic()
            with pytest.raises(ClientError) as caught:
                client.ping_ms()
            with pytest.raises(ClientError) as again:
                client.ping_ms()
        finally:
            client.close()
            os.kill(backend, signal.SIGCONT)

    assert caught.value.kind is FailureKind.NO_ANSWER
    assert again.value.kind is FailureKind.NO_ANSWER
    assert time.monotonic() - started < 1.5 + 2 * SLACK_SECONDS + 3  # the stop of the server is in it


def test_a_stopped_postmaster_is_hung_and_not_down() -> None:
    with running_postgres() as server:
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            _snapshot, found = observe(server.settings(timeout=1.0))
        finally:
            os.kill(server.process.pid, signal.SIGCONT)

    assert found["postgresql.service.unreachable"].evidence["kind"] == "no_answer"


def test_a_server_that_starts_up_says_so() -> None:
    with running_postgres("recovery_min_apply_delay = 0") as server:
        # Without hot_standby a standby answers every login with 57P03 for as long as it recovers.
        server.stop()
        (server.directory / "data" / "standby.signal").touch()
        with (server.directory / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("hot_standby = off\n")
        with contextlib.suppress(AssertionError):
            _start_without_waiting(server)
        error = eventually(lambda: _unavailable(server))

    assert error.kind is FailureKind.UNAVAILABLE


def _start_without_waiting(server: PostgresServer) -> None:
    import subprocess

    from tests.service.postgres_server import binaries

    server.process = subprocess.Popen(
        as_postgres(binaries() / "postgres", "-D", server.directory / "data"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _unavailable(server: PostgresServer) -> ClientError | None:
    error = failure_of(server.settings())
    return None if error.kind is FailureKind.REFUSED else error


def test_a_statement_that_takes_too_long_is_ended_by_the_server(server: PostgresServer) -> None:
    with server.connect() as blocker:
        blocker.autocommit = False
        blocker.execute("LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE")
        client = connect(server.settings())
        try:
            started = time.monotonic()
            with pytest.raises(ClientError) as caught:
                client.read("extensions", PARAMETERS["extensions"])
            took = time.monotonic() - started
            client.ping_ms()  # the connection is still good
        finally:
            client.close()
            blocker.rollback()

    assert caught.value.kind is FailureKind.NO_ANSWER
    assert took < 2


def test_hostile_text_does_not_break_the_look(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "_is_verbose", True)  # else none of it is kept
    server.run("CREATE DATABASE raw TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        hostile = "/* \x1b[31m [red]bold[/red] " + "x" * 10_000 + " */"
        with (
            server.connect(database="raw", client_encoding="SQL_ASCII", application_name="\x07[red]é") as raw,
            server.connect() as other,
        ):
            raw.autocommit = other.autocommit = False
            raw.execute(b"SELECT 'caf\xe9 \xff\xfe'")  # not UTF-8
            other.execute(hostile.encode() + b"SELECT 1")
            snapshot, _found = observe(server.settings())
    finally:
        server.run("DROP DATABASE raw")
    facts = snapshot.observations[0].facts

    assert isinstance(facts, PostgresFacts)
    assert facts.activity is not None
    queries = [one.query for one in facts.activity.idle_in_transaction]
    assert any("caf\\xe9" in query for query in queries), queries
    assert all(len(query) <= 300 for query in queries)


def test_passwords_in_queries_are_masked(server: PostgresServer) -> None:
    with server.connect() as admin:
        admin.autocommit = False
        admin.execute("ALTER ROLE outsider PASSWORD 'canary-one'; SELECT 1")
        snapshot, found = observe(server.settings())
        admin.rollback()

    assert "***" in repr(snapshot)
    assert "canary-one" not in repr(snapshot) + repr(found)
    assert PASSWORD not in repr(snapshot)


def test_a_reader_of_the_lock_table_never_waits_for_a_locked_table(server: PostgresServer) -> None:
    server.run("CREATE TABLE locked_one AS SELECT 1 AS id")
    try:
        with server.connect() as holder:
            holder.autocommit = False
            holder.execute("LOCK TABLE locked_one IN ACCESS EXCLUSIVE MODE")
            snapshot, _found = observe(server.settings())
            holder.rollback()
    finally:
        server.run("DROP TABLE locked_one")

    assert not snapshot.observations[0].missing


def test_a_port_that_speaks_another_protocol_first_is_garbage() -> None:
    with faulty.garbage(b"SSH-2.0-OpenSSH_9.2\r\n") as (host, ssh_port):
        # "S" happens to be PostgreSQL's yes to TLS: what follows is no handshake.
        error = failure_of(PostgreSQL(host=host, port=ssh_port, timeout=2))
    assert error.kind in (FailureKind.TLS, FailureKind.GARBAGE)


def test_a_missing_password_is_said(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    error = failure_of(server.settings(password=None))

    assert error.kind is FailureKind.AUTHENTICATION
