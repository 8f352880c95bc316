"""Each finding of PostgreSQL is seen to appear and to vanish on a real server."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

import psycopg
import pytest

from samaops.checks.postgresql import tables
from samaops.model.status import Status
from samaops.portraits.compare import compare
from samaops.portraits.portrait import Portrait, portrait_of
from tests.service.postgres_looks import finding, observe
from tests.service.postgres_server import (
    PASSWORD,
    PostgresServer,
    as_postgres,
    binaries,
    eventually,
    free_port,
    postgres_server,  # noqa: F401 - a fixture
    running_postgres,
)

pytestmark = pytest.mark.service


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:  # noqa: F811
    postgres_server.run("CREATE TABLE users AS SELECT id, 0 AS n FROM generate_series(1, 1000) AS id")
    postgres_server.run("ALTER TABLE users ADD PRIMARY KEY (id)")
    yield postgres_server
    postgres_server.run("DROP TABLE users")


class Background:
    """A statement that runs, or waits, in a session of its own."""

    def __init__(self, server: PostgresServer, statement: str, application: str = "waiter") -> None:
        self.connection = server.connect(application_name=application)
        self.pid = self.connection.info.backend_pid
        self._thread = threading.Thread(target=self._run, args=(statement,), daemon=True)
        self._thread.start()

    def _run(self, statement: str) -> None:
        with contextlib.suppress(psycopg.Error):
            self.connection.execute(statement.encode())

    def end(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self.connection.cancel_safe()
        self._thread.join(10)
        self.connection.close()


_WAITS = "SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type IN ('Lock', 'Timeout')"


@contextlib.contextmanager
def background(
    server: PostgresServer, *statements: str, application: str = "waiter"
) -> Iterator[list[Background]]:
    """Run statements side by side, each once those before it wait for a lock or sleep."""
    started: list[Background] = []
    try:
        for statement in statements:
            started.append(Background(server, statement, application))
            waits = _WAITS.format(pid=started[-1].pid)
            eventually(partial(server.run, waits))
        yield started
    finally:
        for one in reversed(started):
            one.end()


@contextlib.contextmanager
def open_transaction(server: PostgresServer, statement: str, application: str = "holder") -> Iterator[int]:
    """Keep a transaction open and idle; yield its pid."""
    with server.connect(application_name=application) as connection:
        connection.autocommit = False
        connection.execute(statement.encode())
        yield connection.info.backend_pid
        connection.rollback()


def test_a_lock_chain_names_its_root_and_vanishes_with_it(server: PostgresServer) -> None:
    update = "UPDATE users SET n = n + 1 WHERE id = 1"
    with (
        open_transaction(server, update, "billing") as root,
        background(server, update, update, update, update) as waiters,
    ):
        found = eventually(lambda: _critical(server))
        assert found.evidence["root_pid"] == root
        assert found.evidence["root_state"] == "idle in transaction"
        assert found.evidence["root_application"] == "billing"
        assert found.evidence["root_query"] == "UPDATE users SET n = n + ? WHERE id = ?"
        assert sorted(found.evidence["blocked"]) == sorted(one.pid for one in waiters)
        assert found.evidence["relation"] == "public.users"
        assert str(root) in found.title
        assert finding("postgresql.locks.ddl_queue", server.settings()).status is Status.OK

    assert finding("postgresql.locks.chain", server.settings()).status is Status.OK


def _critical(server: PostgresServer) -> Any:
    found = finding("postgresql.locks.chain", server.settings())
    return found if found.status is Status.CRITICAL else None


def test_ddl_behind_a_reader_is_told_apart_from_a_plain_chain(server: PostgresServer) -> None:
    with (
        open_transaction(server, "SELECT count(*) FROM users") as reader,
        background(server, "ALTER TABLE users ADD COLUMN x int", "SELECT 1 FROM users") as (ddl, later),
    ):
        queue = finding("postgresql.locks.ddl_queue", server.settings(), warning=0.0)
        chain = finding("postgresql.locks.chain", server.settings(), warning=0.0)

    assert queue.status is Status.WARNING
    assert queue.evidence["pid"] == ddl.pid
    assert queue.evidence["behind"] == [later.pid]
    assert queue.evidence["blockers"] == [reader]
    assert queue.evidence["relation"] == "public.users"
    assert "ALTER TABLE" in queue.evidence["ddl_query"]
    assert chain.evidence["root_pid"] == reader
    assert finding("postgresql.locks.ddl_queue", server.settings(), warning=0.0).value == 0


def test_a_prepared_transaction_can_block_and_be_forgotten(server: PostgresServer) -> None:
    with server.connect() as connection:
        connection.autocommit = False
        connection.execute("UPDATE users SET n = 1 WHERE id = 2")
        connection.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        with background(server, "UPDATE users SET n = 2 WHERE id = 2"):
            chain = finding("postgresql.locks.chain", server.settings(), warning=0.0)
            old = finding("postgresql.prepared.old", server.settings(), warning=0.0)
    finally:
        server.run("ROLLBACK PREPARED 'forgotten'")

    assert chain.evidence["root_state"] == "prepared transaction"
    assert "forgotten" in chain.evidence["root_query"]
    assert old.status is Status.WARNING
    assert old.evidence["gid"] == "forgotten"
    assert finding("postgresql.prepared.old", server.settings()).value == 0


def test_an_idle_transaction_appears_and_vanishes(server: PostgresServer) -> None:
    with open_transaction(server, "SELECT 1 FROM users", "api") as pid:
        found = finding("postgresql.transaction.idle", server.settings(), warning=0.0)

        assert found.status is Status.WARNING
        assert found.evidence["pid"] == pid
        assert found.evidence["by_application"] == {"api": 1}
    assert finding("postgresql.transaction.idle", server.settings(), warning=0.0).value == 0


def test_a_long_query_appears_and_a_backup_is_left_out(server: PostgresServer) -> None:
    with background(server, "SELECT pg_sleep(60)") as (sleeper,):
        found = finding("postgresql.query.long", server.settings(), warning=0.0)
        assert found.status is Status.WARNING
        assert found.evidence["pid"] == sleeper.pid
        assert "pg_sleep" in found.detail
        assert str(sleeper.pid) in (found.hint or "")
    with background(server, "SELECT pg_sleep(60)", application="pg_dump"):
        assert finding("postgresql.query.long", server.settings()).value == 0


def test_waiting_sessions_are_counted_by_what_they_wait_for(server: PostgresServer) -> None:
    with open_transaction(server, "LOCK TABLE users"), background(server, "SELECT 1 FROM users"):
        found = finding("postgresql.sessions.waiting", server.settings(), warning=1)

    assert found.status is Status.WARNING
    assert found.evidence["by_type"] == {"Lock": 1}
    assert finding("postgresql.sessions.waiting", server.settings(), warning=1).status is Status.OK


def test_connections_are_counted_against_those_that_users_may_take(server: PostgresServer) -> None:
    with contextlib.ExitStack() as stack:
        for _number in range(18):
            stack.enter_context(server.connect(user="samaconso_user", application_name="leaky"))
        found = finding("postgresql.connections.high", server.settings())

    assert found.status is Status.WARNING
    assert found.evidence["limit"] == 22
    assert found.evidence["by_client"]["samaconso_user/leaky/127.0.0.1"] == 18
    eventually(lambda: finding("postgresql.connections.high", server.settings()).status is Status.OK)


def test_an_inactive_slot_holds_wal_until_it_is_dropped(server: PostgresServer) -> None:
    server.run("SELECT pg_create_physical_replication_slot('orphan', true)")
    try:
        before = finding("postgresql.slot.inactive", server.settings())
        assert before.status is Status.WARNING
        for _number in range(5):  # 16 MB each
            server.run("SELECT pg_switch_wal()")
            server.run("UPDATE users SET n = n + 1 WHERE id = 3")
        server.run("CHECKPOINT")
        after = finding("postgresql.slot.inactive", server.settings())
        wal = finding("postgresql.wal.large", server.settings(), warning=100)
    finally:
        server.run("SELECT pg_drop_replication_slot('orphan')")

    assert after.status is Status.CRITICAL
    assert after.evidence["slot"] == "orphan"
    assert after.evidence["retained_bytes"] > 64 * 1024**2
    assert wal.status is Status.WARNING
    assert wal.evidence["inactive_slots"] == ["orphan"]
    assert finding("postgresql.slot.inactive", server.settings()).status is Status.OK
    server.run("CHECKPOINT")
    eventually(
        lambda: finding("postgresql.wal.large", server.settings()).evidence["size_bytes"] <= 80 * 1024**2
    )


def test_a_slot_beyond_its_limit_is_lost_and_holds_nothing(server: PostgresServer) -> None:
    server.run("SELECT pg_create_physical_replication_slot('barman', true)")
    server.run("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'")
    server.run("SELECT pg_reload_conf()")
    try:
        for _number in range(5):  # 16 MB each
            server.run("SELECT pg_switch_wal()")
            server.run("UPDATE users SET n = n + 1 WHERE id = 3")
        server.run("CHECKPOINT")
        lost = finding("postgresql.slot.lost", server.settings())
        inactive = finding("postgresql.slot.inactive", server.settings())
    finally:
        server.run("SELECT pg_drop_replication_slot('barman')")
        server.run("ALTER SYSTEM RESET max_slot_wal_keep_size")
        server.run("SELECT pg_reload_conf()")
    assert lost.status is Status.CRITICAL
    assert lost.title == "The reader of replication slot barman has lost its WAL: it must be rebuilt"
    assert (lost.evidence["slots"][0]["wal_status"], inactive.status) == ("lost", Status.OK)
    assert finding("postgresql.slot.lost", server.settings()).status is Status.OK


def test_old_rows_are_held_by_whoever_is_oldest(server: PostgresServer) -> None:
    with server.connect(application_name="reporting") as reader:
        reader.autocommit = False
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM users")
        for _number in range(20):
            server.run("UPDATE users SET n = n + 1 WHERE id = 4")
        found = finding("postgresql.xmin.pinned", server.settings(), warning=20)
        reader.rollback()

    assert found.status is Status.WARNING
    assert "reporting" in found.evidence["name"]
    assert finding("postgresql.xmin.pinned", server.settings(), warning=20).status is Status.OK


def test_an_invalid_index_is_named_until_it_is_dropped(server: PostgresServer) -> None:
    server.run("UPDATE users SET n = 7")
    with contextlib.suppress(psycopg.errors.UniqueViolation):
        server.run("CREATE UNIQUE INDEX CONCURRENTLY users_n ON users (n)")
    found = finding("postgresql.index.invalid", server.settings())
    server.run("DROP INDEX users_n")

    assert found.status is Status.WARNING
    assert found.evidence["indexes"][0]["index"] == "public.users_n"
    assert found.evidence["indexes"][0]["relation"] == "public.users"
    assert finding("postgresql.index.invalid", server.settings()).status is Status.OK


def test_dead_rows_and_missing_statistics_vanish_with_vacuum_and_analyze(server: PostgresServer) -> None:
    server.run("CREATE TABLE loaded AS SELECT id FROM generate_series(1, 40000) AS id")
    try:
        eventually(
            lambda: finding("postgresql.tables.not_analyzed", server.settings()).status is Status.WARNING
        )
        assert "public.loaded" in finding("postgresql.tables.not_analyzed", server.settings()).title
        server.run("DELETE FROM loaded WHERE id <= 20000")
        dead = eventually(lambda: _bad(server, "postgresql.tables.dead"))
        assert dead.evidence["relation"] == "public.loaded"
        server.run("VACUUM ANALYZE loaded")
        eventually(lambda: finding("postgresql.tables.dead", server.settings()).status is Status.OK)
        eventually(lambda: finding("postgresql.tables.not_analyzed", server.settings()).status is Status.OK)
    finally:
        server.run("DROP TABLE loaded")


def test_dead_rows_that_an_older_transaction_still_sees_are_told_with_it(server: PostgresServer) -> None:
    server.run("CREATE TABLE kept AS SELECT id FROM generate_series(1, 40000) AS id")
    try:
        with server.connect(application_name="reporting") as reader:
            reader.autocommit = False
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader.execute("SELECT count(*) FROM users")
            server.run("UPDATE kept SET id = id")
            server.run("VACUUM kept")
            found = eventually(lambda: _bad(server, "postgresql.vacuum.held"))
            assert found.evidence["relation"] == "public.kept"
            assert found.evidence["pid"] == reader.info.backend_pid
            assert found.evidence["state"] == "idle in transaction"
            reader.rollback()
        server.run("VACUUM kept")
        eventually(lambda: finding("postgresql.vacuum.held", server.settings()).status is Status.OK)
    finally:
        server.run("DROP TABLE kept")


def test_transactions_that_all_wait_for_their_clients_are_counted(server: PostgresServer) -> None:
    with contextlib.ExitStack() as stack:
        for _number in range(5):
            stack.enter_context(open_transaction(server, "SELECT 1 FROM users", "billing"))
        found = eventually(lambda: _bad(server, "postgresql.transaction.held"))
        assert (found.value, found.evidence["application"]) == (5, "billing")
    assert finding("postgresql.transaction.held", server.settings()).value == 0


def test_a_statement_of_many_sessions_is_told_with_what_a_call_costs(server: PostgresServer) -> None:
    with background(server, *["SELECT pg_sleep(60)"] * 8, application="api"):
        found = finding("postgresql.query.crowd", server.settings())
    assert (found.status, found.value) == (Status.WARNING, 8)
    assert found.evidence["applications"] == {"api": 8}
    assert finding("postgresql.query.crowd", server.settings()).status is Status.OK


def test_a_large_table_that_is_empty_and_left_alone_is_named_twice(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LEAST_WASTE_BYTES", 1024**2)
    server.run(
        "CREATE TABLE emptied WITH (autovacuum_enabled = off)"
        " AS SELECT id, repeat('x', 300) AS text FROM generate_series(1, 40000) AS id"
    )
    try:
        server.run("ANALYZE emptied")
        hidden = finding("postgresql.tables.bloated", server.settings(), warning=1)
        assert (hidden.status, hidden.evidence["tables"]) == (Status.UNKNOWN, ["public.emptied"])
        server.run(f"GRANT SELECT ON emptied TO {server.settings().user}")
        assert finding("postgresql.tables.bloated", server.settings(), warning=1).status is Status.OK
        off = finding("postgresql.autovacuum.off", server.settings())
        assert (off.status, off.evidence["tables"]) == (Status.WARNING, ["public.emptied"])
        server.run("DELETE FROM emptied WHERE id % 20 > 0")
        server.run("VACUUM ANALYZE emptied")
        found = finding("postgresql.tables.bloated", server.settings(), warning=1)
        assert (found.status, found.evidence["relation"]) == (Status.WARNING, "public.emptied")
        assert found.evidence["live_rows"] == 2000
    finally:
        server.run("DROP TABLE emptied")
    off = finding("postgresql.autovacuum.off", server.settings())
    assert (off.evidence["autovacuum"], off.evidence["tables"]) == ("off", []), "as this server is set up"


def _bad(server: PostgresServer, code: str) -> Any:
    found = finding(code, server.settings())
    return found if found.status in (Status.WARNING, Status.CRITICAL) else None


def test_a_deadlock_is_seen_until_the_counters_are_reset(server: PostgresServer) -> None:
    first = "UPDATE users SET n = 1 WHERE id = 5"
    second = "UPDATE users SET n = 1 WHERE id = 6"
    with server.connect() as one, server.connect() as other:
        one.autocommit = other.autocommit = False
        one.execute(first.encode())
        other.execute(second.encode())
        thread = threading.Thread(target=lambda: _ignoring_deadlock(one, second), daemon=True)
        thread.start()
        _ignoring_deadlock(other, first)
        thread.join(10)
        one.rollback()
        other.rollback()
    found = eventually(lambda: _bad(server, "postgresql.deadlocks.seen"))
    server.run("SELECT pg_stat_reset()")

    assert found.evidence["by_database"] == {"samaconso": 1}
    eventually(lambda: finding("postgresql.deadlocks.seen", server.settings()).status is Status.OK)


def _ignoring_deadlock(connection: psycopg.Connection[object], statement: str) -> None:
    with contextlib.suppress(psycopg.errors.DeadlockDetected):
        connection.execute(statement.encode())


def test_temporary_files_are_counted_by_the_pid_that_writes_them(server: PostgresServer) -> None:
    with server.connect() as connection:
        connection.autocommit = False
        connection.execute("SET work_mem = '64kB'")
        connection.execute(
            "DECLARE big CURSOR FOR SELECT md5(i::text) FROM generate_series(1, 200000) AS i ORDER BY 1"
        )
        connection.execute("FETCH 1 FROM big")
        found = finding("postgresql.temp.high", server.settings(), warning=1)
        pid = connection.info.backend_pid
        connection.rollback()

    assert found.status is Status.WARNING
    assert found.evidence["by_pid"][0]["pid"] == pid
    eventually(lambda: finding("postgresql.temp.high", server.settings(), warning=1).status is Status.OK)


def test_the_cache_is_judged_once_enough_was_read(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samaops.checks.postgresql.tables.LEAST_BLOCKS", 1)
    server.run("SELECT count(*) FROM users")

    assert finding("postgresql.cache.low", server.settings(), warning=100.1).status is Status.WARNING
    assert finding("postgresql.cache.low", server.settings(), warning=0.1).status is Status.OK


def test_forced_checkpoints_are_counted(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samaops.checks.postgresql.storage.LEAST_CHECKPOINTS", 2)
    for _number in range(3):
        server.run("CHECKPOINT")
    found = eventually(lambda: _bad(server, "postgresql.checkpoints.requested"))
    server.run("SELECT pg_stat_reset_shared('bgwriter')")

    assert found.evidence["requested"] >= 3
    eventually(lambda: finding("postgresql.checkpoints.requested", server.settings()).status is Status.OK)


def test_the_age_of_transaction_ids_is_read_from_the_oldest_database(server: PostgresServer) -> None:
    found = finding("postgresql.xid.age", server.settings(), warning=0.0)

    assert found.status is Status.WARNING
    assert found.evidence["xid_age"] > 0
    assert found.evidence["autovacuum_freeze_max_age"] == 200_000_000


def test_settings_are_compared_and_a_pending_restart_is_named(server: PostgresServer) -> None:
    expected = {
        "max_wal_size": "32MB",
        "fsync": "false",
        "max_connections": "200",
        "shared_buffers": "16384kB",
    }
    server.run("ALTER SYSTEM SET max_prepared_transactions = 6")
    server.run("SELECT pg_reload_conf()")
    try:
        found = eventually(lambda: _pending(server, expected))
    finally:
        server.run("ALTER SYSTEM RESET max_prepared_transactions")
        server.run("SELECT pg_reload_conf()")

    assert found.evidence["different"] == {"max_connections": {"expected": "200", "actual": "25"}}
    assert found.evidence["pending_restart"] == ["max_prepared_transactions"]
    fitting = server.settings(expected_settings={"max_connections": "25"})
    eventually(lambda: finding("postgresql.settings.different", fitting).status is Status.OK)


def _pending(server: PostgresServer, expected: dict[str, str]) -> Any:
    found = finding("postgresql.settings.different", server.settings(expected_settings=expected))
    return found if found.evidence["pending_restart"] else None


def test_missing_extensions_are_named_until_they_are_created(server: PostgresServer) -> None:
    assert finding("postgresql.extension.missing", server.settings()).evidence["missing"] == [
        "pg_stat_statements", "pg_trgm", "uuid-ossp",
    ]  # fmt: skip
    for name in ("pg_stat_statements", "pg_trgm", '"uuid-ossp"'):
        server.run(f"CREATE EXTENSION {name}")
    try:
        assert finding("postgresql.extension.missing", server.settings()).status is Status.OK
    finally:
        server.run('DROP EXTENSION pg_stat_statements, pg_trgm, "uuid-ossp"')


def test_failing_archiving_is_seen_and_vanishes_once_repaired() -> None:
    with running_postgres("archive_mode = on\narchive_command = '/bin/false'") as server:
        server.run("CREATE TABLE t AS SELECT 1 AS a")
        server.run("SELECT pg_switch_wal()")
        found = eventually(lambda: _bad(server, "postgresql.archiver.failing"), 20)
        server.run("ALTER SYSTEM SET archive_command = '/bin/true'")
        server.run("SELECT pg_reload_conf()")

        assert found.status is Status.WARNING
        assert found.value >= 1
        assert found.evidence["failed"] >= 1
        eventually(lambda: finding("postgresql.archiver.failing", server.settings()).status is Status.OK, 20)


def test_a_standby_says_that_it_refuses_writes() -> None:
    with running_postgres() as server:
        assert finding("postgresql.recovery.active", server.settings()).status is Status.OK
        server.stop()
        (server.directory / "data" / "standby.signal").touch()
        server.start()
        _snapshot, found = observe(server.settings())

        assert found["postgresql.recovery.active"].status is Status.CRITICAL
        assert Status.UNKNOWN not in {one.status for one in found.values()}


def test_a_standby_that_follows_is_listed() -> None:
    with running_postgres() as server:
        server.run("ALTER ROLE postgres REPLICATION")
        target = server.directory / "standby"
        source = (
            f"host=127.0.0.1 port={server.port} user=postgres password={PASSWORD} application_name=standby_2"
        )
        command = as_postgres(binaries() / "pg_basebackup", "-D", target, "-R", "-c", "fast", "-d", source)
        with (server.directory / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
        server.run("SELECT pg_reload_conf()")
        eventually(lambda: _copied(command, server))
        standby = PostgresServer(free_port(), server.directory)
        process = subprocess.Popen(
            as_postgres(binaries() / "postgres", "-D", target, "-p", str(standby.port)),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            found = eventually(lambda: _lag(server))
        finally:
            process.terminate()
            process.wait(20)

        assert found.status is Status.OK
        eventually(lambda: not finding("postgresql.replication.lag", server.settings()).evidence)


def _copied(command: list[str], server: PostgresServer) -> bool:
    """Copy the server; the reload of its access rules may take a moment."""
    shutil.rmtree(server.directory / "standby", ignore_errors=True)
    return subprocess.run(command, cwd=server.directory, capture_output=True, check=False).returncode == 0


def _lag(server: PostgresServer) -> Any:
    found = finding("postgresql.replication.lag", server.settings())
    return found if found.evidence.get("standbys") else None


LATE = "postgresql.notifications.late"


@pytest.fixture
def notifications(postgres_server: PostgresServer) -> Iterator[PostgresServer]:  # noqa: F811
    """Return a server with an empty table of notifications, which our role may read."""
    columns = "id int, created_at timestamptz NOT NULL DEFAULT now(), sent_at timestamptz"
    postgres_server.run(f"CREATE TABLE notifications ({columns})")
    postgres_server.run("GRANT SELECT (created_at, sent_at) ON notifications TO samaops")
    yield postgres_server
    postgres_server.run("DROP TABLE notifications CASCADE")


def test_what_is_due_and_unpublished_is_late_until_it_is_published(notifications: PostgresServer) -> None:
    assert finding(LATE, notifications.settings()).status is Status.OK

    ages = "'1 minute'), ('20 minutes'), ('2 days'"  # what was forgotten days ago is history
    notifications.run(
        f"INSERT INTO notifications (created_at) SELECT now() - v::interval FROM (VALUES ({ages})) AS t(v)"
    )
    found = finding(LATE, notifications.settings())
    assert (found.status, found.evidence["due"]) == (Status.CRITICAL, 2)
    assert found.value is not None
    assert 1200 <= float(found.value) < 1260
    assert found.evidence["published_seconds"] is None

    notifications.run(
        "UPDATE notifications SET sent_at = now() WHERE created_at < now() - interval '5 minutes'"
    )
    found = finding(LATE, notifications.settings())
    assert (found.status, found.evidence["due"]) == (Status.OK, 1)
    assert 0 <= found.evidence["published_seconds"] < 60


def test_a_role_that_may_not_read_the_notifications_is_told_the_grant(notifications: PostgresServer) -> None:
    notifications.run("REVOKE SELECT (sent_at) ON notifications FROM samaops")
    found = finding(LATE, notifications.settings())
    assert found.status is Status.UNKNOWN
    assert "GRANT SELECT (created_at, sent_at) ON notifications TO samaops" in found.detail


def test_a_table_that_is_not_there_or_not_quick_is_not_read(notifications: PostgresServer) -> None:
    for table in ("", "elsewhere.notifications", "Notifications", 'no"table; DROP TABLE notifications; --'):
        found = finding(LATE, notifications.settings(notifications_table=table))
        assert found.status is Status.SKIPPED, table
    missing = notifications.settings(notifications_published_column="published_at")
    assert finding(LATE, missing).status is Status.SKIPPED

    notifications.run("CREATE VIEW late_view AS SELECT * FROM notifications")
    notifications.run("GRANT SELECT ON late_view TO samaops")
    found = finding(LATE, notifications.settings(notifications_table="public.late_view"))
    assert found.status is Status.SKIPPED
    assert "large" in found.detail


def test_names_of_the_configuration_are_taken_as_they_are_written(notifications: PostgresServer) -> None:
    notifications.run(
        """CREATE TABLE public."Envois" ("le" timestamptz DEFAULT now(), "Envoyé" timestamptz)"""
    )
    try:
        notifications.run('GRANT SELECT ON public."Envois" TO samaops')
        notifications.run("""INSERT INTO public."Envois" ("le") VALUES (now() - interval '10 minutes')""")
        changes = {"notifications_table": "public.Envois", "notifications_due_column": "le"}
        found = finding(
            LATE, notifications.settings(**changes, notifications_published_column="Envoyé"), warning=60
        )
        assert (found.status, found.evidence["due"]) == (Status.WARNING, 1)
    finally:
        notifications.run('DROP TABLE public."Envois"')


def test_what_was_set_up_otherwise_is_told_also_while_a_table_is_locked(server: PostgresServer) -> None:
    server.run("CREATE TABLE kept (id int PRIMARY KEY, name text CHECK (name <> ''))")
    server.run("CREATE INDEX kept_name ON kept (lower(name)) WHERE id > 5")
    before = portrait_of(observe(server.settings())[0])
    assert compare(before, portrait_of(observe(server.settings())[0]), datetime.now(timezone.utc)) == ()
    try:
        server.run("ALTER ROLE postgres SET work_mem = '64kB'")
        server.run("ALTER ROLE postgres SET app.password = 'canary-4711'")
        server.run("DROP INDEX kept_name")
        with server.connect() as holder, holder.transaction():
            holder.execute("LOCK TABLE kept IN ACCESS EXCLUSIVE MODE")
            after = portrait_of(observe(server.settings())[0])
    finally:
        server.run("ALTER ROLE postgres RESET ALL")
        server.run("DROP TABLE kept")
    assert "canary-4711" not in repr(after)
    assert {difference.title for difference in compare(before, after, datetime.now(timezone.utc))} >= {
        "PostgreSQL role postgres has setting work_mem 64kB",
        "PostgreSQL role postgres has setting app.password",
        "index public.kept_name is gone: on kept (lower) where " + _predicate(before),
    }


def _predicate(portrait: Portrait) -> str:
    parts = (things for part, things in portrait.items() if part.endswith("/index"))
    return next(parts)["public.kept_name"][""].value.rpartition(" ")[2]
