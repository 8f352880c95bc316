"""What upkeep does to a real PostgreSQL, and what it leaves when it is broken off."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from samaops.changes.run.postgresql import upkeep as run_upkeep
from samaops.config.settings import Settings
from samaops.errors import LOCKED, LockedError
from samaops.model.plan import ActionStatus, Plan, Risk
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.database import upkeep
from tests.service.postgres_server import PASSWORD, PostgresServer, eventually, postgres_server

__all__ = ["postgres_server"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
VERIFIED, REFUSED, FAILED = ActionStatus.VERIFIED, ActionStatus.REFUSED, ActionStatus.FAILED


@pytest.fixture
def site(postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return the configuration of the server, on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    values = {
        "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
        "postgresql": {"host": "127.0.0.1", "port": postgres_server.port, "password": PASSWORD},
        "safety": {"lock_directory": tmp_path, "server_lock_directory": str(tmp_path)},
    }
    return Site(Settings.model_validate(values))


@pytest.fixture
def tables(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Make two tables of the application that need a vacuum, and let our role tend them."""
    as_owner = "SET ROLE samaconso_user"
    with session(postgres_server, "postgres") as connection:
        connection.execute("GRANT samaconso_user TO samaops")
        connection.execute("GRANT ALL ON SCHEMA public TO samaconso_user")
        connection.execute(as_owner)
        for name in ("orders", "meters"):
            connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, note text)")
            connection.execute(f"INSERT INTO {name} SELECT n, md5(n::text) FROM generate_series(1, 4000) n")
            connection.execute(f"CREATE INDEX {name}_note ON {name} (note)")
            connection.execute(f"ANALYZE {name}")
            connection.execute(f"DELETE FROM {name} WHERE id % 2 = 0")
    yield postgres_server
    with session(postgres_server, "postgres") as connection:
        connection.execute("DROP TABLE IF EXISTS orders, meters, readings, foreign_rows CASCADE")
        connection.execute("REVOKE samaconso_user FROM samaops")


@contextmanager
def session(
    server: PostgresServer, user: str = "samaconso_user", **options: Any
) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(
        host="127.0.0.1",
        port=server.port,
        dbname="samaconso",
        user=user,
        password=PASSWORD,
        autocommit=True,
        **options,
    ) as connection:
        yield connection


def applied(site: Site, verb: str, *arguments: str) -> Report:
    return change.apply(site, upkeep.prepare(site, verb, arguments), 10)


def statuses(report: Report) -> list[ActionStatus]:
    return [action.status for action in report.actions]


def invalid(server: PostgresServer) -> list[str]:
    rows = server.run("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
    return [row[0] for row in rows]


def test_tables_that_need_it_are_vacuumed_and_it_is_told_what_that_brought(
    site: Site, tables: PostgresServer
) -> None:
    plan = upkeep.prepare(site, "db vacuum", ())
    assert {step.about for step in plan.steps} >= {"postgresql/public.orders", "postgresql/public.meters"}
    assert "2000 dead rows, more than 850" in plan.steps[0].title
    report = change.apply(site, plan, 10)
    assert set(statuses(report)) == {VERIFIED}, report.errors
    assert "2000 dead rows before, 0 now" in report.actions[0].result
    assert not upkeep.prepare(site, "db vacuum", ()).steps


def test_whose_rows_are_held_back_is_told_before_and_after(site: Site, tables: PostgresServer) -> None:
    with session(tables, application_name="report") as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM meters")
        with session(tables) as writer:
            writer.execute("DELETE FROM orders")
        report = applied(site, "db vacuum", "orders")
    assert "dead rows could not be removed, because of pid" in report.actions[0].result
    assert "samaconso_user/report/127.0.0.1" in report.actions[0].result


def test_without_ownership_each_table_is_told_with_the_grant_and_nothing_is_done(
    site: Site, tables: PostgresServer
) -> None:
    tables.run("REVOKE samaconso_user FROM samaops")
    plan = upkeep.prepare(site, "db vacuum", ("orders", "meters"))
    assert not plan.steps
    report = change.report_of(site, plan)
    assert report.status is Status.CRITICAL
    assert [finding.hint for finding in report.findings] == ['GRANT "samaconso_user" TO "samaops";'] * 2
    assert "not owner" in report.findings[0].title


def test_a_table_that_somebody_has_locked_is_left_out_and_he_is_named(
    site: Site, tables: PostgresServer
) -> None:
    with session(tables, application_name="migration") as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE")
        report = applied(site, "db vacuum", "orders", "meters")
        other.execute("ROLLBACK")
    assert statuses(report) == [REFUSED, VERIFIED]
    assert report.status is Status.WARNING
    assert "migration" in report.findings[0].title
    # the same words again: only what was left out
    plan = upkeep.prepare(site, "db vacuum", ("orders", "meters"))
    assert [step.about for step in plan.steps] == ["postgresql/public.orders"]
    assert "public.meters: done already" in plan.notes[0]


def test_an_index_is_rebuilt_beside_everybody(site: Site, tables: PostgresServer) -> None:
    report = applied(site, "db reindex", "orders")
    assert statuses(report) == [VERIFIED, VERIFIED], report.errors
    assert "pages before" in report.actions[0].result
    assert invalid(tables) == []


def test_whoever_blocks_a_rebuild_is_named_and_nothing_is_left(site: Site, tables: PostgresServer) -> None:
    with session(tables, application_name="batch") as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE orders SET note = 'x' WHERE id = 1")
        report = applied(site, "db reindex", "orders_note", "--wait", "1")
        assert invalid(tables) == []
        writer.execute("ROLLBACK")
    assert statuses(report) == [FAILED]
    message = report.errors[0].message
    assert all(
        word in message for word in ("pid ", "samaconso_user/batch/127.0.0.1", "in its transaction for")
    )
    assert "by hand" not in message


@pytest.fixture
def large(tables: PostgresServer) -> PostgresServer:
    """Let one table be so large that a rebuild of its index takes a moment."""
    with session(tables) as connection:
        connection.execute("INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(10000, 150000) n")
    return tables


@pytest.fixture
def command(site: Site, tmp_path: Path) -> list[str]:
    """Return the command line of samaops with this site's configuration."""
    postgresql = site.settings.postgresql
    assert postgresql is not None
    file = tmp_path / "config.toml"
    file.write_text(
        f"""
[servers.db]
address = "127.0.0.1"
ssh = "local"
[postgresql]
host = "127.0.0.1"
port = {postgresql.port}
password = "{PASSWORD}"
[safety]
lock_directory = "{tmp_path}"
server_lock_directory = "{tmp_path}"
"""
    )
    file.chmod(0o600)
    return [sys.executable, "-m", "samaops", "--config", str(file)]


def killed(
    command: list[str],
    server: PostgresServer,
    *words: str,
    when: str,
    hold: psycopg.Connection[Any] | None = None,
) -> None:
    """Run a change and kill it with SIGKILL once a query has an answer; wait until the server is rid of it.

    ``hold`` keeps it from its end: its snapshot is older than what the rebuild waits for.
    """
    process = subprocess.Popen(
        [*command, *words, "--yes"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: process.poll() is not None or server.run(when), 30)
        if hold is not None:
            hold.execute("SELECT count(*) FROM meters")
        assert process.poll() is None, "it was over before it could be killed"
    finally:
        process.kill()
        process.wait()
    eventually(
        lambda: not server.run("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'samaops db%'")
    )


def test_killed_while_it_rebuilds_its_own_leftover_is_removed_and_it_goes_on(
    site: Site, large: PostgresServer, command: list[str]
) -> None:
    large.run("CREATE INDEX orders_note_ccnew ON orders (note)")
    large.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_note_ccnew'::regclass")
    with session(large) as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        killed(
            command, large, "db", "reindex", "orders_note", "orders_pkey", hold=holder,
            when="SELECT 1 FROM pg_stat_progress_create_index WHERE phase LIKE 'building%'",
        )  # fmt: skip
    assert len(invalid(large)) == 2
    # a leftover of ours beside that of somebody else
    report = applied(site, "db reindex", "orders_note", "orders_pkey")
    assert set(statuses(report)) == {VERIFIED}, report.errors
    assert report.actions[0].id == "db.reindex.clean"
    assert [finding.subject for finding in report.findings] == ["postgresql/public.orders_note_ccnew"]
    assert report.status is Status.WARNING
    assert invalid(large) == ["orders_note_ccnew"]
    # what others leave later is not ours because ours was once there
    large.run("DROP INDEX orders_note_ccnew")
    large.run("CREATE INDEX orders_note_ccnew1 ON orders (note)")
    large.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_note_ccnew1'::regclass")
    plan = upkeep.prepare(site, "db reindex", ("orders_note",))
    assert [step.id for step in plan.steps] == ["db.reindex"]


def test_killed_while_it_vacuums_named_tables_it_goes_on_where_it_was(
    site: Site, large: PostgresServer, command: list[str]
) -> None:
    killed(
        command, large, "db", "vacuum", "meters", "orders",
        when="SELECT 1 FROM pg_stat_activity WHERE application_name = 'samaops db vacuum' AND query LIKE '%\"orders\"%'",
    )  # fmt: skip
    plan = upkeep.prepare(site, "db vacuum", ("meters", "orders"))
    assert [step.about for step in plan.steps] == ["postgresql/public.orders"]
    report = change.apply(site, plan, 10)
    assert statuses(report) == [VERIFIED]


def _until(plan: Plan, seconds: float) -> Plan:
    """Return a plan whose window ends so soon."""
    ends_at = time.time() + seconds
    steps = (
        replace(
            step,
            operation=replace(step.operation, arguments={**step.operation.arguments, "ends_at": ends_at}),
        )
        for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))


def test_a_window_that_ends_cuts_a_vacuum_and_leaves_the_rest_for_the_next_time(
    site: Site, large: PostgresServer
) -> None:
    large.run("ALTER ROLE samaops SET vacuum_cost_delay = '100ms'")
    large.run("ALTER ROLE samaops SET vacuum_cost_limit = 10")
    try:
        begun = time.monotonic()
        plan = upkeep.prepare(site, "db vacuum", ("orders", "meters"))
        report = change.apply(site, _until(plan, 4), 10)
    finally:
        large.run("ALTER ROLE samaops RESET ALL")
    assert time.monotonic() - begun < 20
    assert VERIFIED not in statuses(report)
    assert not large.run("SELECT 1 FROM pg_stat_activity WHERE query ILIKE 'vacuum%'")
    assert large.run("SELECT count(*) FROM pg_stat_user_tables WHERE vacuum_count > 0") == [(0,)]
    assert "the window is over" in str([*report.errors, *report.findings, *report.actions])
    again = change.apply(site, upkeep.prepare(site, "db vacuum", ("orders", "meters")), 10)
    assert statuses(again) == [VERIFIED, VERIFIED], again.errors


def test_a_window_that_ends_cuts_a_rebuild_and_leaves_nothing_invalid(
    site: Site, tables: PostgresServer
) -> None:
    plan = upkeep.prepare(site, "db reindex", ("orders_note", "meters_note"))
    with session(tables, application_name="batch") as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE orders SET note = 'x' WHERE id = 1")
        report = change.apply(site, _until(plan, 3), 10)
        assert invalid(tables) == []
        writer.execute("ROLLBACK")
    assert VERIFIED not in statuses(report)
    assert "the window is over" in str([*report.errors, *report.findings, *report.actions])
    assert statuses(applied(site, "db reindex", "orders_note", "meters_note")) == [VERIFIED, VERIFIED]


def test_what_each_index_cannot_be_rebuilt_for_is_told(site: Site, tables: PostgresServer) -> None:
    with session(tables) as connection:
        connection.execute("CREATE TABLE readings (id int, at int4range, EXCLUDE USING gist (at WITH &&))")
        connection.execute("CREATE INDEX readings_brin ON readings USING brin (id)")
    plan = upkeep.prepare(site, "db reindex", ("readings", "pg_class"))
    assert plan.steps == ()
    reasons = [each.reason for each in plan.left_out]
    assert len(reasons) == len(set(reasons)) == 3
    assert change.report_of(site, plan).status is Status.WARNING


def test_a_second_machine_is_told_that_another_tends_this_database(
    site: Site, tables: PostgresServer
) -> None:
    with session(tables, application_name="samaops db reindex") as other:
        thread = threading.Thread(target=lambda: _sleep(other))
        thread.start()
        eventually(lambda: tables.run("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"))
        with pytest.raises(LockedError, match="Another samaops tends this database"):
            change.prepare(site, "db vacuum", ("orders",))
        tables.run(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'samaops db reindex'"
        )
        thread.join()


@pytest.mark.parametrize("verb", ["db vacuum", "db reindex"])
def test_the_second_of_two_that_begin_at_once_where_no_server_can_be_locked_ends_as_locked(
    site: Site, tables: PostgresServer, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The other one is between two statements of its turn: only the lock in the database tells of it."""
    monkeypatch.setattr(run_upkeep, "_TURN_SECONDS", 0.3)
    turn = "SELECT pg_advisory_lock(hashtext('samaops upkeep'), hashtext(current_database()))"
    with session(tables) as other:
        plan = upkeep.prepare(site, verb, ("orders",))
        other.execute(turn)
        report = change.apply(site, plan, 10)
    assert [error.exit_code for error in report.errors] == [LOCKED]
    assert "another samaops works" in report.errors[0].message
    assert "nothing was changed" in report.errors[0].message
    assert set(statuses(report)) == {REFUSED}


def _sleep(connection: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):
        connection.execute("SELECT pg_sleep(30)")


def test_full_gives_the_space_back(site: Site, tables: PostgresServer) -> None:
    plan = upkeep.prepare(site, "db vacuum", ("orders", "--full"))
    assert plan.risk is Risk.DESTRUCTIVE
    report = change.apply(site, plan, 10)
    assert statuses(report) == [VERIFIED], report.errors
