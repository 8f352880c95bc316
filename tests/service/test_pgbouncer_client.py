"""PgBouncer's console and pools against the real thing, and against servers that fail on purpose."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest

from samaops.checks.registry import rules
from samaops.clients.errors import ClientError
from samaops.clients.pgbouncer import ConsoleClient
from samaops.collect.pgbouncer import CONSOLE_CODES, QUERY_CODE
from samaops.config.settings import PgBouncer
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.facts.selection import Selection
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.service import faulty
from tests.service.postgres_looks import finding, observe
from tests.service.postgres_server import (
    PgBouncerServer,
    PostgresServer,
    eventually,
    pgbouncer_server,  # noqa: F401 - a fixture
    postgres_server,  # noqa: F401 - a fixture
    running_pgbouncer,
    running_postgres,
)

pytestmark = pytest.mark.service

TIMEOUT_SECONDS = 1.0
SLACK_SECONDS = 0.7
ONLY_QUERY = Selection(only=(QUERY_CODE,))
# SHOW STATE came with 1.19; a later version than Debian's would have it.
# The others change something: tests/service/test_pool.py.
QUERIES = ("clients", "config", "databases", "lists", "pools", "servers", "stats")


@pytest.fixture
def pool(pgbouncer_server: PgBouncerServer) -> PgBouncerServer:  # noqa: F811
    return pgbouncer_server


@pytest.mark.parametrize("query", QUERIES)
def test_every_command_of_the_console_runs(pool: PgBouncerServer, query: str) -> None:
    settings = pool.settings()
    client = ConsoleClient("127.0.0.1", settings, 5.0)
    client.connect()
    try:
        assert isinstance(client.show(query), list)
        assert client.version().startswith("1.")
    finally:
        client.close()


@pytest.mark.parametrize("query", QUERIES)
def test_a_user_of_the_statistics_may_run_every_command(pool: PgBouncerServer, query: str) -> None:
    client = ConsoleClient("127.0.0.1", pool.settings(admin_user="samaconso_user"), 5.0)
    client.connect()
    try:
        client.show(query)
    finally:
        client.close()


def test_the_codes_of_the_console_are_those_registered() -> None:
    needing = {rule.code for rule in rules(("pgbouncer",)) if "console" in rule.needs}

    assert needing == set(CONSOLE_CODES)


def test_a_look_takes_a_connection_of_the_console_and_one_of_the_application(pool: PgBouncerServer) -> None:
    snapshot, found = observe(pool.settings(expected_settings={"default_pool_size": "2"}))

    assert snapshot.footprint.connections == 2
    for needs_postgresql in ("pgbouncer.pool.oversized", "pgbouncer.pool.bypassed"):
        assert found.pop(needs_postgresql).status is Status.SKIPPED
    assert {finding.status for finding in found.values()} == {Status.OK}


def test_without_the_applications_password_nothing_is_sent_through_the_pool(pool: PgBouncerServer) -> None:
    snapshot, found = observe(pool.settings(password=None))

    assert snapshot.footprint.connections == 1
    assert found[QUERY_CODE].status is Status.SKIPPED


def test_a_pool_that_gives_no_connection_is_critical_and_costs_two_seconds_at_most(
    pool: PgBouncerServer,
) -> None:
    pool.console("PAUSE")
    started = time.monotonic()
    _snapshot, found = observe(pool.settings())
    assert time.monotonic() - started < 2.0 + SLACK_SECONDS
    assert found[QUERY_CODE].status is Status.CRITICAL
    pool.console("RESUME")


def test_only_the_query_goes_through_the_pool(pool: PgBouncerServer) -> None:
    snapshot, found = observe(pool.settings(), selection=ONLY_QUERY)

    assert snapshot.footprint.connections == 1
    assert found[QUERY_CODE].status is Status.OK


def test_without_a_password_of_the_console_the_pool_is_used_and_the_rest_is_unknown(
    pool: PgBouncerServer,
) -> None:
    snapshot, found = observe(pool.settings(admin_password=None))

    assert snapshot.footprint.connections == 1
    assert found[QUERY_CODE].status is Status.OK
    assert found["pgbouncer.pool.waiting"].status is Status.UNKNOWN
    assert "admin_password" in found["pgbouncer.pool.waiting"].detail


def test_a_wrong_password_of_the_console_is_said_and_the_pool_still_judged(pool: PgBouncerServer) -> None:
    snapshot, found = observe(pool.settings(admin_password="canary-wrong"))

    assert snapshot.footprint.connections == 1
    assert found[QUERY_CODE].status is Status.OK
    assert found["pgbouncer.pool.paused"].evidence["kind"] == "authentication"
    assert "canary" not in repr(snapshot) + repr(found)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"password": "wrong", "admin_password": "wrong"}, "authentication"),
        ({"password": None, "admin_user": "samaops"}, "authentication"),  # known, but no admin
        ({"admin_password": None, "database": "absent"}, "missing"),
    ],
)
def test_a_refused_login_is_unknown_and_not_critical(
    pool: PgBouncerServer, changes: dict[str, Any], kind: str
) -> None:
    _snapshot, found = observe(pool.settings(**changes))

    assert found["pgbouncer.service.unreachable"].status is Status.UNKNOWN
    assert found["pgbouncer.service.unreachable"].evidence["kind"] == kind


FAULTS = [
    (faulty.refused_port, FailureKind.REFUSED),
    (faulty.silent, FailureKind.SILENT),
    (faulty.hanging, FailureKind.NO_ANSWER),
    (faulty.closing, FailureKind.CLOSED),
    (faulty.garbage, FailureKind.GARBAGE),
    (lambda: faulty.dripping(b"N", every_seconds=0.4, drop=b"R"), FailureKind.NO_ANSWER),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
@pytest.mark.parametrize("admin_password", ["x", None])
def test_each_fault_is_told_apart_within_the_timeout(
    fault: Any, kind: FailureKind, admin_password: str | None
) -> None:
    context: AbstractContextManager[tuple[str, int]] = fault()
    with context as (host, port):
        values = {"host": host, "port": port, "password": "x", "admin_password": admin_password}
        started = time.monotonic()
        _snapshot, found = observe(PgBouncer.model_validate({**values, "timeout": TIMEOUT_SECONDS}))

        assert time.monotonic() - started < TIMEOUT_SECONDS + SLACK_SECONDS
    assert found["pgbouncer.service.unreachable"].status is Status.CRITICAL
    assert found["pgbouncer.service.unreachable"].evidence["kind"] == kind.value


def test_a_hung_pgbouncer_is_hung_and_not_down(pool: PgBouncerServer) -> None:
    assert pool.process is not None
    os.kill(pool.process.pid, signal.SIGSTOP)
    try:
        _snapshot, found = observe(pool.settings(timeout=1.0))
    finally:
        os.kill(pool.process.pid, signal.SIGCONT)

    assert found["pgbouncer.service.unreachable"].evidence["kind"] == "no_answer"


def _run(client: psycopg.Connection[Any], statement: str) -> None:
    with contextlib.suppress(psycopg.Error):
        client.execute(statement.encode())


def test_a_paused_database_is_named_while_clients_wait_and_vanishes(pool: PgBouncerServer) -> None:
    pool.connect().close()
    with contextlib.closing(pool.connect()) as client:
        pool.console("PAUSE samaconso")
        thread = threading.Thread(target=_run, args=(client, "SELECT 1"), daemon=True)
        thread.start()
        found = eventually(lambda: _paused(pool))
        waiting = eventually(lambda: _bad(pool, "pgbouncer.pool.waiting"))
        stuck = finding("pgbouncer.login.stuck", pool.settings())
        through = finding(QUERY_CODE, pool.settings(timeout=1.0))
        pool.console("RESUME samaconso")
        thread.join(10)

    assert found.evidence["database"] == "samaconso"
    assert "pool databases" in (found.hint or "")
    assert waiting.value >= 1
    assert stuck.status is Status.OK  # paused is the reason, and said
    assert through.status is Status.CRITICAL
    assert through.evidence["kind"] == "no_answer"
    assert finding("pgbouncer.pool.paused", pool.settings()).status is Status.OK
    assert finding(QUERY_CODE, pool.settings()).status is Status.OK
    eventually(lambda: finding("pgbouncer.pool.waiting", pool.settings()).status is Status.OK)


def test_a_pause_of_everything_is_inferred_where_the_console_does_not_tell(pool: PgBouncerServer) -> None:
    with contextlib.closing(pool.connect()) as client:
        client.execute("SELECT 1")
        pool.console("PAUSE")
        thread = threading.Thread(target=_run, args=(client, "SELECT 1"), daemon=True)
        thread.start()
        found = eventually(lambda: _inferred(pool))
        stuck = finding("pgbouncer.login.stuck", pool.settings())
        pool.console("RESUME")
        thread.join(10)

    assert found.evidence["database"] == "samaconso"
    assert found.evidence["all"] is True
    assert stuck.status is Status.CRITICAL  # without a look at PostgreSQL this is all that can be said
    assert _inferred(pool) is None


def _inferred(pool: PgBouncerServer) -> Any:
    sections = (pool.settings(), pool.behind.settings())
    found = observe(*sections)[1]["pgbouncer.pool.paused"]
    return found if found.status is Status.CRITICAL else None


def _paused(pool: PgBouncerServer) -> Any:
    found = finding("pgbouncer.pool.paused", pool.settings())
    return found if found.evidence.get("cl_waiting") else None


def _bad(pool: PgBouncerServer, code: str) -> Any:
    found = finding(code, pool.settings())
    return found if found.status in (Status.WARNING, Status.CRITICAL) else None


def test_a_disabled_database_is_named_and_vanishes(pool: PgBouncerServer) -> None:
    pool.console("DISABLE samaconso")
    found = finding("pgbouncer.database.disabled", pool.settings())
    through = finding(QUERY_CODE, pool.settings())
    pool.console("ENABLE samaconso")

    assert found.status is Status.CRITICAL
    assert found.evidence["databases"] == ["samaconso"]
    assert through.status is Status.CRITICAL
    assert "disabled" in through.evidence["error"]
    assert finding("pgbouncer.database.disabled", pool.settings()).status is Status.OK


def test_a_full_pool_makes_clients_wait(pool: PgBouncerServer) -> None:
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(contextlib.closing(pool.connect())) for _number in range(2)]
        for holder in holders:
            holder.execute("BEGIN")
            holder.execute("SELECT 1")
        full = finding("pgbouncer.pool.saturated", pool.settings())
        assert full.status is Status.WARNING
        assert full.value == 100
        waiter = stack.enter_context(contextlib.closing(pool.connect()))
        thread = threading.Thread(target=_run, args=(waiter, "SELECT 1"), daemon=True)
        thread.start()
        waiting = eventually(lambda: _bad(pool, "pgbouncer.pool.waiting"))
        critical = eventually(lambda: _critical(pool, "pgbouncer.pool.saturated"))
        stuck = finding("pgbouncer.login.stuck", pool.settings())
        for holder in holders:
            holder.execute("COMMIT")
        thread.join(10)

        assert waiting.evidence["cl_waiting"] == 1
        assert waiting.evidence["pool_size"] == 2
        assert critical.evidence["sv_busy"] == 2
        assert stuck.status is Status.OK
        eventually(lambda: finding("pgbouncer.pool.waiting", pool.settings()).status is Status.OK)
        eventually(lambda: finding("pgbouncer.pool.saturated", pool.settings()).status is Status.OK)


def _critical(pool: PgBouncerServer, code: str) -> Any:
    found = finding(code, pool.settings())
    return found if found.status is Status.CRITICAL else None


def test_a_pool_that_cannot_log_in_is_stuck_until_postgresql_is_back() -> None:
    with running_postgres() as server, running_pgbouncer(server) as pool:
        with contextlib.closing(pool.connect()) as client:
            client.execute("SELECT 1")
            assert server.process is not None
            # A new login hangs, as when the server drops packets: the old connection goes first.
            pool.console("RECONNECT")
            os.kill(server.process.pid, signal.SIGSTOP)
            try:
                server_gone = threading.Thread(
                    target=_run, args=(client, "SELECT pg_backend_pid()"), daemon=True
                )
                server_gone.start()
                found = eventually(lambda: _bad(pool, "pgbouncer.login.stuck"))
            finally:
                os.kill(server.process.pid, signal.SIGCONT)
            server_gone.join(10)

        assert found.evidence["cl_waiting"] >= 1
        assert found.evidence["sv_busy"] == 0
        eventually(lambda: finding("pgbouncer.login.stuck", pool.settings()).status is Status.OK)


def test_postgresql_down_behind_the_pool_is_told_from_a_pool_that_is_down() -> None:
    with running_postgres() as server, running_pgbouncer(server) as pool:
        server.stop()
        first = observe(pool.settings(timeout=1.0), selection=ONLY_QUERY)[0].observations[0]
        _snapshot, found = observe(pool.settings())

        assert isinstance(first.facts, PgBouncerFacts)
        assert first.facts.query is not None
        assert first.facts.query.kind in ("no_answer", "dependency")
        assert found["pgbouncer.service.unreachable"].status is Status.OK
        server.start()
        eventually(lambda: finding(QUERY_CODE, pool.settings(timeout=1.0)).status is Status.OK)


def test_settings_that_differ_are_named(pool: PgBouncerServer) -> None:
    expected = {"pool_mode": "session", "default_pool_size": "2", "query_wait_timeout": "120"}
    found = finding("pgbouncer.settings.different", pool.settings(expected_settings=expected))

    assert found.status is Status.WARNING
    assert found.evidence["different"] == {"pool_mode": {"expected": "session", "actual": "transaction"}}
    fitting = pool.settings(expected_settings={**expected, "pool_mode": "transaction"})
    assert finding("pgbouncer.settings.different", fitting).status is Status.OK


def test_clients_are_counted_against_the_limit(pool: PgBouncerServer) -> None:
    with contextlib.ExitStack() as stack:
        for _number in range(41):
            stack.enter_context(contextlib.closing(pool.connect()))
        found = finding("pgbouncer.clients.high", pool.settings())

    assert found.status is Status.WARNING
    assert found.evidence["max_client_conn"] == 50
    eventually(lambda: finding("pgbouncer.clients.high", pool.settings()).status is Status.OK)


def test_pools_too_big_for_postgresql_are_seen(postgres_server: PostgresServer) -> None:  # noqa: F811
    with running_pgbouncer(postgres_server, "default_pool_size = 20\nreserve_pool_size = 5") as pool:
        found = finding("pgbouncer.pool.oversized", pool.settings(), postgres_server.settings())
        alone = finding("pgbouncer.pool.oversized", pool.settings())
        pool.console("SET default_pool_size = 5")
        eventually(lambda: _fits(pool, postgres_server))

    assert found.status is Status.WARNING
    assert found.evidence == {"most": 50, "limit": 22, "by_database": {"samaconso": 25, "second": 25}}
    assert alone.status is Status.SKIPPED


def _fits(pool: PgBouncerServer, server: PostgresServer) -> bool:
    return finding("pgbouncer.pool.oversized", pool.settings(), server.settings()).status is Status.OK


def test_names_of_databases_that_attack_the_terminal_stay_data(postgres_server: PostgresServer) -> None:  # noqa: F811
    hostile = "\x1b[31m[red]" + "x" * 40
    with running_pgbouncer(postgres_server) as pool:
        path = pool.directory / "pgbouncer.ini"
        path.write_text(path.read_text().replace("second =", "* ="))  # any name that a client gives
        pool.console("RELOAD")
        pool.connect(database=hostile).close()
        pool.console(f'PAUSE "{hostile}"')
        found = finding("pgbouncer.pool.paused", pool.settings())

    assert found.evidence["databases"] == [hostile]


def test_a_client_error_of_the_console_has_a_kind(pool: PgBouncerServer) -> None:
    client = ConsoleClient("127.0.0.1", pool.settings(admin_user="nobody"), 2.0)
    with pytest.raises(ClientError) as caught:
        client.connect()

    assert caught.value.kind is FailureKind.AUTHENTICATION
