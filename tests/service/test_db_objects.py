"""What a real PostgreSQL is changed in: settings, slots, a checkpoint, indexes; killed in the middle, undone, without rights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from samaops.changes.run.postgresql import index_build
from samaops.errors import RefusedError, UsageError
from samaops.model.plan import ActionStatus
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import change, history
from tests.service.postgres_server import PASSWORD, PostgresServer, eventually, postgres_server
from tests.service.test_db_sessions import site

__all__ = ["postgres_server", "site"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
GRANTS = (
    "GRANT ALTER SYSTEM ON PARAMETER work_mem, log_min_duration_statement TO samaops",
    "GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_show_all_file_settings() TO samaops",
    "GRANT SELECT ON pg_file_settings TO samaops",
    "ALTER ROLE samaops REPLICATION",
    "GRANT samaconso_user TO samaops",
)
BACK = (
    "ALTER SYSTEM RESET ALL",
    "REVOKE ALTER SYSTEM ON PARAMETER work_mem, log_min_duration_statement FROM samaops",
    "REVOKE EXECUTE ON FUNCTION pg_reload_conf(), pg_show_all_file_settings() FROM samaops",
    "REVOKE SELECT ON pg_file_settings FROM samaops",
    "ALTER ROLE samaops NOREPLICATION",
    "REVOKE samaconso_user FROM samaops",
    "DROP TABLE IF EXISTS customers CASCADE",
)
INDEXES = "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'customers'::regclass ORDER BY 1"


@pytest.fixture(autouse=True)
def tended(postgres_server: PostgresServer) -> Iterator[None]:
    """The role with all that it may have, and a table; gone afterwards."""
    for statement in (
        *GRANTS,
        "CREATE TABLE customers AS SELECT n AS id, 'c' || n AS email FROM generate_series(1, 2000) AS n",
        "ALTER TABLE customers OWNER TO samaconso_user",
        "ANALYZE customers",
    ):
        postgres_server.run(statement)
    yield
    for statement in BACK:
        postgres_server.run(statement)
    postgres_server.run("SELECT pg_reload_conf()")


@pytest.fixture
def configuration(postgres_server: PostgresServer, tmp_path: Path) -> Path:
    """The configuration as a file, for samaops as a program."""
    path = tmp_path / "config.toml"
    path.write_text(
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
    path.chmod(0o600)
    return path


def made(site: Site, verb: str, *words: str, seconds: float = 10) -> Report:
    """Plan and make it, and return how it went."""
    report = change.apply(site, change.prepare(site, verb, words), seconds)
    assert [each.status for each in report.actions] == [ActionStatus.VERIFIED], report.errors
    return report


def taken_back(site: Site, report: Report) -> None:
    """Undo it."""
    undone = change.apply(site, history.undo(site, str(report.actions[0].journal)), 10)
    assert [each.status for each in undone.actions] == [ActionStatus.VERIFIED], undone.errors


def test_a_setting_is_changed_and_comes_back(site: Site, postgres_server: PostgresServer) -> None:
    first = made(site, "db set", "work_mem", "6MB")
    assert postgres_server.run("SHOW work_mem") == [("6MB",)]
    assert "already" in change.prepare(site, "db set", ("work_mem", "6MB")).nothing_to_do
    second = made(site, "db set", "work_mem", "7MB")
    taken_back(site, second)
    assert postgres_server.run("SHOW work_mem") == [("6MB",)]
    taken_back(site, first)
    assert postgres_server.run("SHOW work_mem") == [("4MB",)]
    automatic = (postgres_server.directory / "data" / "postgresql.auto.conf").read_text()
    assert "work_mem" not in automatic


def test_a_role_that_keeps_its_own_is_named(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run("ALTER ROLE samaconso_user IN DATABASE samaconso SET work_mem = '1MB'")
    try:
        plan = change.prepare(site, "db set", ("work_mem", "6MB"))
    finally:
        postgres_server.run("ALTER ROLE samaconso_user IN DATABASE samaconso RESET work_mem")
    assert "this stands before it: samaconso_user in samaconso: 1MB" in plan.notes
    assert any("from 64 to 2147483647 kB" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("work_mem", "1kB", UsageError, "from 64 to"),
        ("work_mem", "5 parsecs", UsageError, "work_mem cannot be"),
        ("no_such_setting", "1", UsageError, "has no setting"),
        ("shared_buffers", "64MB", RefusedError, "by a restart alone"),
        ("fsync", "off", RefusedError, "at the next crash"),
        ("maintenance_work_mem", "64MB", RefusedError, "GRANT ALTER SYSTEM ON PARAMETER maintenance_work_mem TO samaops"),
    ],
)  # fmt: skip
def test_what_is_not_set_is_refused_before(
    site: Site, name: str, value: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        change.prepare(site, "db set", (name, value))


def test_files_that_cannot_be_read_are_told_before(site: Site, postgres_server: PostgresServer) -> None:
    path = postgres_server.directory / "data" / "postgresql.conf"
    kept = path.read_text()
    path.write_text(f"{kept}\nno_such_name = 3\n")
    try:
        with pytest.raises(RefusedError, match="no_such_name"):
            change.prepare(site, "db set", ("work_mem", "6MB"))
    finally:
        path.write_text(kept)
    postgres_server.run("REVOKE SELECT ON pg_file_settings FROM samaops")
    with pytest.raises(RefusedError, match="GRANT SELECT ON pg_file_settings TO samaops"):
        change.prepare(site, "db set", ("work_mem", "6MB"))


def test_a_checkpoint_is_written(site: Site, postgres_server: PostgresServer) -> None:
    made(site, "db checkpoint")
    postgres_server.run("REVOKE pg_checkpoint FROM samaops")
    try:
        with pytest.raises(RefusedError, match="needs pg_checkpoint"):
            change.prepare(site, "db checkpoint", ())
    finally:
        postgres_server.run("GRANT pg_checkpoint TO samaops")


def test_a_slot_that_nobody_reads_is_dropped(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run("SELECT pg_create_physical_replication_slot('old_replica', true)")
    postgres_server.run("ALTER ROLE samaops NOREPLICATION")
    with pytest.raises(RefusedError, match="needs REPLICATION"):
        change.prepare(site, "db slot drop", ("old_replica",))
    postgres_server.run("ALTER ROLE samaops REPLICATION")
    plan = change.prepare(site, "db slot drop", ("old_replica",))
    assert plan.target == "old_replica"
    assert any("MB WAL" in note for note in plan.notes)
    made(site, "db slot drop", "old_replica")
    assert postgres_server.run("SELECT 1 FROM pg_replication_slots") == []
    assert "no replication slot" in change.prepare(site, "db slot drop", ("old_replica",)).nothing_to_do


def test_an_index_is_built_and_taken_back(site: Site, postgres_server: PostgresServer) -> None:
    report = made(site, "db index create", "customers", "", "20", "email", "id")
    assert postgres_server.run(INDEXES) == [("customers_email_id_idx", True)]
    with pytest.raises(RefusedError, match="serves the same queries already"):
        change.prepare(site, "db index create", ("customers", "other", "20", "email"))
    assert (
        "serves"
        in change.prepare(site, "db index create", ("customers", "", "20", "email", "id")).nothing_to_do
    )
    taken_back(site, report)
    assert postgres_server.run(INDEXES) == []


def test_a_unique_index_over_values_that_are_not_leaves_nothing_behind(
    site: Site, postgres_server: PostgresServer
) -> None:
    postgres_server.run("INSERT INTO customers VALUES (1, 'again')")
    plan = change.prepare(site, "db index create", ("customers", "", "20", "id", "--unique"))
    report = change.apply(site, plan, 10)
    assert [each.status for each in report.actions] == [ActionStatus.REVERTED]
    assert "could not create unique index" in report.errors[0].message
    assert postgres_server.run(INDEXES) == []


def test_a_dropped_index_is_built_anew_by_undo(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run(
        "CREATE INDEX by_mail ON customers USING btree (lower(email) DESC) WITH (fillfactor=80) WHERE id > 5"
    )
    before = postgres_server.run("SELECT pg_get_indexdef('by_mail'::regclass)")
    report = made(site, "db index drop", "by_mail", "20")
    assert postgres_server.run(INDEXES) == []
    taken_back(site, report)
    assert postgres_server.run("SELECT pg_get_indexdef('by_mail'::regclass)") == before


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("ALTER TABLE customers ADD CONSTRAINT kept PRIMARY KEY (id)", "primary key of public.customers"),
        ("ALTER TABLE customers ADD CONSTRAINT kept UNIQUE (id)", "enforces the constraint kept"),
        ("CREATE UNIQUE INDEX kept ON customers (id)", "it is unique"),
    ],
)
def test_what_enforces_is_never_dropped(
    site: Site, postgres_server: PostgresServer, statement: str, reason: str
) -> None:
    postgres_server.run(statement)
    with pytest.raises(RefusedError, match=reason):
        change.prepare(site, "db index drop", ("kept", "20"))


def test_without_the_owners_rights_it_says_so_before(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run("CREATE INDEX by_mail ON customers (email)")
    postgres_server.run("REVOKE samaconso_user FROM samaops")
    for verb, words in (("drop", ("by_mail", "20")), ("create", ("customers", "", "20", "id"))):
        with pytest.raises(RefusedError, match="no member of its owner samaconso_user"):
            change.prepare(site, f"db index {verb}", words)


@contextmanager
def steady_writers(server: PostgresServer) -> Iterator[None]:
    """Let there be an open transaction on the table at every moment, none of them old."""
    stop = threading.Event()

    def write() -> None:
        with ExitStack() as sessions:
            first, second = (
                sessions.enter_context(server.connect(user="samaconso_user", autocommit=False))
                for _ in range(2)
            )
            while not stop.is_set():
                for connection, other in ((first, second), (second, first)):
                    connection.execute("INSERT INTO customers VALUES (0, 'x')")
                    other.rollback()
                    stop.wait(0.7)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def test_who_keeps_a_build_or_a_drop_waiting_is_named_and_nothing_is_begun(
    site: Site, postgres_server: PostgresServer
) -> None:
    postgres_server.run("CREATE INDEX theirs ON customers (email)")
    postgres_server.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'theirs'::regclass")
    with postgres_server.connect(user="samaconso_user", autocommit=False, application_name="batch") as writer:
        writer.execute("UPDATE customers SET email = 'x' WHERE id = 1")
        who = f"nothing was changed: it waits for pid {writer.info.backend_pid} (samaconso_user / batch / 127.0.0.1"
        for verb, words in (("create", ("customers", "", "3", "id")), ("drop", ("theirs", "3"))):
            report = change.apply(site, change.prepare(site, f"db index {verb}", words), 10)
            assert who in report.errors[0].message
        writer.rollback()
    assert postgres_server.run(INDEXES) == [("theirs", False)]


def test_a_build_that_is_given_up_leaves_nothing(
    site: Site, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those that are open already have ended, and others come.
    monkeypatch.setattr(index_build, "_await_users", lambda *_args, **_options: "")
    with steady_writers(postgres_server):
        plan = change.prepare(site, "db index create", ("customers", "", "0.1", "id"))
        report = change.apply(site, plan, 10)
    assert [each.status for each in report.actions] == [ActionStatus.REVERTED]
    assert "given up: it waits for pid" in report.errors[0].message
    assert postgres_server.run(INDEXES) == []


def test_killed_while_it_builds_undo_leaves_nothing_and_the_next_time_it_is_built(
    site: Site, postgres_server: PostgresServer, configuration: Path
) -> None:
    words = ["db", "index", "create", "customers", "id", "--yes"]
    command = [sys.executable, "-m", "samaops", "--config", str(configuration), *words]
    environment = {**os.environ, "TEST_PASSWORD": PASSWORD}

    def kill() -> None:
        with steady_writers(postgres_server), (configuration.parent / "story").open("wb") as story:
            program = subprocess.Popen(command, env=environment, stdout=story, stderr=story)
            eventually(lambda: postgres_server.run(INDEXES) or program.poll(), 40)
            program.send_signal(signal.SIGKILL)
            program.wait(10)
            works = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'samaops db index'"
            eventually(lambda: not postgres_server.run(works), 20)
        left = postgres_server.run(INDEXES)
        assert [name for name, _is_valid in left] == ["customers_id_idx_samaops"], (
            configuration.parent / "story"
        ).read_text()

    kill()
    undone = change.apply(site, history.undo(site, "last"), 10)
    assert [each.status for each in undone.actions] == [ActionStatus.VERIFIED], undone.errors
    assert postgres_server.run(INDEXES) == []
    kill()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0, again.stderr
    assert postgres_server.run(INDEXES) == [("customers_id_idx", True)]
