"""Sessions of a real PostgreSQL that are ended: cancelled first, the root of a chain, those that idle, prepared transactions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql

from samaops.errors import RefusedError
from samaops.model.plan import ActionStatus
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import change
from tests.service.postgres_server import PASSWORD, PostgresServer, eventually, postgres_server
from tests.service.test_db_sessions import site, sleeping

__all__ = ["postgres_server", "site"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
# What takes a cancel for its own: an application that tries again inside its statement.
STUBBORN = """
DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$
"""


@pytest.fixture(autouse=True)
def table(postgres_server: PostgresServer) -> Iterator[None]:
    """A table of two rows, which is gone afterwards."""
    postgres_server.run("CREATE TABLE ended AS SELECT 1 AS id, 0 AS counted UNION SELECT 2, 0")
    postgres_server.run("ALTER TABLE ended OWNER TO samaconso_user")
    postgres_server.run("GRANT samaconso_user TO samaops")
    yield
    for (gid,) in postgres_server.run("SELECT gid FROM pg_prepared_xacts"):
        postgres_server.run(sql.SQL("ROLLBACK PREPARED {}").format(gid).as_string())
    postgres_server.run("DROP TABLE ended")
    postgres_server.run("REVOKE samaconso_user FROM samaops")


@contextmanager
def session(server: PostgresServer, application: str = "api") -> Iterator[psycopg.Connection[Any]]:
    """Open a transaction of the application."""
    with server.connect(user="samaconso_user", autocommit=False, application_name=application) as connection:
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def in_background(connection: psycopg.Connection[Any], statement: str) -> Iterator[list[str]]:
    """Run a statement beside the test; yields the list in which it writes how it ended."""
    ended: list[str] = []

    def run() -> None:
        try:
            connection.execute(statement.encode())
            ended.append("done")
        except psycopg.Error as error:
            ended.append(type(error).__name__)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        thread.join(20)
        assert not thread.is_alive()


def terminate(site: Site, *words: str) -> Report:
    """Plan and make it."""
    return change.apply(site, change.prepare(site, "db terminate", words), 10)


def state_of(server: PostgresServer, pid: int) -> str | None:
    rows = server.run(f"SELECT state FROM pg_stat_activity WHERE pid = {pid}")
    return rows[0][0] if rows else None


def test_a_cancel_is_enough_where_the_statement_ends_by_it(
    site: Site, postgres_server: PostgresServer
) -> None:
    with sleeping(postgres_server, "samaconso_user") as pid:
        report = terminate(site, str(pid))
        assert [each.status for each in report.actions] == [ActionStatus.VERIFIED], report.errors
        assert state_of(postgres_server, pid) == "idle"


def test_a_statement_that_survives_its_cancel_loses_its_session(
    site: Site, postgres_server: PostgresServer
) -> None:
    with session(postgres_server) as connection, in_background(connection, STUBBORN) as ended:
        pid = connection.info.backend_pid
        eventually(lambda: state_of(postgres_server, pid) == "active")
        report = terminate(site, str(pid))
        assert [each.status for each in report.actions] == [ActionStatus.VERIFIED], report.errors
        assert state_of(postgres_server, pid) is None
    assert ended == ["AdminShutdown"]


def test_the_root_of_a_chain_is_ended_and_the_others_go_on(
    site: Site, postgres_server: PostgresServer
) -> None:
    with session(postgres_server, "batch") as root, session(postgres_server) as waiter:
        root.execute("UPDATE ended SET counted = 1 WHERE id = 1")
        with in_background(waiter, "UPDATE ended SET counted = 2 WHERE id = 1") as ended:
            pid = waiter.info.backend_pid
            eventually(
                lambda: postgres_server.run(f"SELECT 1 FROM pg_locks WHERE pid = {pid} AND NOT granted")
            )
            plan = change.prepare(site, "db terminate", ("--root",))
            assert f"1 session waits behind it: pid {pid}" in plan.notes
            report = change.apply(site, plan, 10)
            assert [each.status for each in report.actions] == [ActionStatus.VERIFIED], report.errors
            assert state_of(postgres_server, root.info.backend_pid) is None
        assert ended == ["done"]
    assert change.prepare(site, "db terminate", ("--root",)).nothing_to_do == "no session waits for a lock"


def test_a_prepared_transaction_as_root_is_rolled_back_as_its_owner(
    site: Site, postgres_server: PostgresServer
) -> None:
    with session(postgres_server) as owner, session(postgres_server) as waiter:
        owner.execute("UPDATE ended SET counted = 1 WHERE id = 1")
        owner.execute("PREPARE TRANSACTION 'it''s batch 7'")
        with in_background(waiter, "UPDATE ended SET counted = 2 WHERE id = 1") as ended:
            pid = waiter.info.backend_pid
            eventually(lambda: postgres_server.run(f"SELECT 1 WHERE 0 = ANY(pg_blocking_pids({pid}))"))
            plan = change.prepare(site, "db terminate", ("--root",))
            assert plan.target == "it's batch 7"
            postgres_server.run("REVOKE samaconso_user FROM samaops")
            with pytest.raises(RefusedError, match="only its owner samaconso_user or a superuser"):
                change.prepare(site, "db terminate", ("--root",))
            postgres_server.run("GRANT samaconso_user TO samaops")
            report = change.apply(site, plan, 10)
            assert [each.status for each in report.actions] == [ActionStatus.VERIFIED], report.errors
        assert ended == ["done"]
    assert postgres_server.run("SELECT 1 FROM pg_prepared_xacts") == []


def test_those_that_idle_in_a_transaction_are_ended_each_on_its_own(
    site: Site, postgres_server: PostgresServer
) -> None:
    with (
        session(postgres_server) as first,
        session(postgres_server) as second,
        session(postgres_server, "pg_dump") as dump,
    ):
        for connection in (first, second, dump):
            connection.execute("SELECT count(*) FROM ended")
        pids = [connection.info.backend_pid for connection in (first, second, dump)]
        query = (
            f"SELECT 1 FROM pg_stat_activity WHERE pid = {pids[-1]} AND now() - state_change > interval '1 s'"
        )
        eventually(lambda: postgres_server.run(query))
        plan = change.prepare(site, "db terminate", ("--idle-in-transaction", "1"))
        assert len(plan.steps) == 2
        second.execute("SELECT 1")  # it works again: what was shown is no longer so
        report = change.apply(site, plan, 10)
        statuses = {each.status for each in report.actions}
        assert statuses == {ActionStatus.VERIFIED, ActionStatus.REFUSED}
        assert [state_of(postgres_server, pid) for pid in pids] == [
            None,
            "idle in transaction",
            "idle in transaction",
        ]


def test_killed_between_cancel_and_end_the_same_command_ends_it(
    site: Site, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    configuration = tmp_path / "config.toml"
    configuration.write_text(
        f"""
[servers.db]
address = "127.0.0.1"
ssh = "local"
[postgresql]
host = "127.0.0.1"
port = {postgres_server.port}
password = {{env = "TEST_PASSWORD"}}
[safety]
lock_directory = "{tmp_path}"
"""
    )
    configuration.chmod(0o600)
    with session(postgres_server) as connection, in_background(connection, STUBBORN) as ended:
        pid = connection.info.backend_pid
        eventually(lambda: state_of(postgres_server, pid) == "active")
        command = [
            sys.executable,
            "-m",
            "samaops",
            "--config",
            str(configuration),
            "db",
            "terminate",
            str(pid),
            "--yes",
        ]
        environment = {**os.environ, "TEST_PASSWORD": PASSWORD}
        killed = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        works = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'samaops db terminate'"
        eventually(lambda: postgres_server.run(works), 30)
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        assert state_of(postgres_server, pid) == "active", "it was killed before the session was ended"
        again = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert again.returncode == 0, again.stderr
        assert state_of(postgres_server, pid) is None
    assert ended == ["AdminShutdown"]


def test_without_pg_signal_backend_it_says_so_before(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run("REVOKE pg_signal_backend, samaconso_user FROM samaops")
    try:
        with (
            sleeping(postgres_server, "samaconso_user") as pid,
            pytest.raises(RefusedError, match="pg_signal_backend"),
        ):
            change.prepare(site, "db terminate", (str(pid),))
    finally:
        postgres_server.run("GRANT pg_signal_backend, samaconso_user TO samaops")


def test_another_session_under_the_same_pid_is_not_ended(site: Site, postgres_server: PostgresServer) -> None:
    with session(postgres_server) as connection:
        connection.execute("SELECT 1")
        pid = connection.info.backend_pid
        eventually(lambda: state_of(postgres_server, pid) == "idle in transaction")
        plan = change.prepare(site, "db terminate", (str(pid),))
        (step,) = plan.steps
        arguments = {**step.operation.arguments, "started": "2020-01-01 00:00:00+00"}
        forged = replace(plan, steps=(replace(step, operation=replace(step.operation, arguments=arguments)),))
        report = change.apply(site, forged, 1)
        assert [each.status for each in report.actions] == [ActionStatus.REVERTED], "nothing was done"
        assert state_of(postgres_server, pid) == "idle in transaction"
