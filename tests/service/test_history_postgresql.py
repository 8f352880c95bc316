"""The journal and the lock in a real PostgreSQL: for several control machines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from samaops.config.settings import Settings
from samaops.errors import ConfigurationError, LockedError, RefusedError, UnavailableError
from samaops.journal import database as of_history
from samaops.journal import history
from samaops.journal.history import Journal
from samaops.journal.lock import ChangeLock
from tests.service.postgres_server import (
    PASSWORD,
    PgBouncerServer,
    PostgresServer,
    eventually,
    pgbouncer_server,
    postgres_server,
    running_postgres,
)
from tests.unit.changes.scripted import engine, plan, step, world_with

__all__ = ["pgbouncer_server", "postgres_server"]
pytestmark = pytest.mark.service
ROOT = Path(__file__).parents[2]
# Another control machine: another place for lock files, the same journal.
PROGRAM = """
import sys
import time
from pathlib import Path
from samaops.journal.history import Journal
from samaops.journal.lock import ChangeLock
journal = Journal(sys.argv[2], "dakar")
journal.prepare()
with ChangeLock(Path(sys.argv[1]), "dakar", journal.engine()):
    print(journal.begin({"verb": "v", "arguments": [], "title": "T", "steps": []}), flush=True)
    sys.stdin.read()
"""


def url_of(port: int, user: str = "samaconso_user", database: str = "samaconso") -> str:
    secret = {"history": {"url": f"postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/{database}"}}
    return history.database_of(Settings.model_validate(secret))


@pytest.fixture
def journal(postgres_server: PostgresServer) -> Iterator[Journal]:
    made = Journal(url_of(postgres_server.port), "dakar")
    made.prepare()
    yield made
    made.close()
    postgres_server.run("DROP TABLE samaops_events")


@contextmanager
def another_machine(place: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    words = [sys.executable, "-c", PROGRAM, str(place), url_of(port)]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            change = process.stdout.readline().strip()
            assert change
            yield process, change
        finally:
            process.kill()


def test_a_change_is_journaled_there(journal: Journal, tmp_path: Path) -> None:
    world = world_with(tmp_path, a=0)
    applied = engine(world, journal).apply(plan(step("a")))
    found = journal.change(applied.change)
    assert found is not None
    assert found.status(None) == "verified"
    assert found.events[0].kind == history.BEGUN
    assert journal.changes()[0].id == applied.change


@pytest.mark.parametrize(
    "statement",
    ["UPDATE samaops_events SET kind = 'x'", "DELETE FROM samaops_events", "TRUNCATE samaops_events"],
)
def test_nobody_changes_what_was_written(
    journal: Journal, postgres_server: PostgresServer, statement: str
) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        postgres_server.run(statement)


def test_another_machine_is_refused_and_told_who_has_the_lock(
    journal: Journal, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with another_machine(tmp_path / "there", postgres_server.port) as (other, change):
        ours = ChangeLock(tmp_path / "here", "dakar", journal.engine())
        with pytest.raises(LockedError) as refused:
            ours.take()
        assert f"process {other.pid}" in refused.value.message
        holder = ours.holder()
        assert holder is not None
        found = journal.change(change)
        assert found is not None
        assert found.status(holder) == "running"


def test_the_lock_of_a_killed_machine_is_free_and_its_change_interrupted(
    journal: Journal, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    ours = ChangeLock(tmp_path / "here", "dakar", journal.engine())
    with another_machine(tmp_path / "there", postgres_server.port) as (other, change):
        other.kill()
        eventually(lambda: ours.holder() is None)
        with ours:
            found = journal.change(change)
            assert found is not None
            assert found.status(ours.holder()) == "interrupted"


def test_two_sites_share_a_database(
    journal: Journal, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with another_machine(tmp_path / "there", postgres_server.port):
        with ChangeLock(tmp_path / "here", "thies", journal.engine()) as held:
            held.check()
        assert Journal(url_of(postgres_server.port), "thies").changes() == ()


def test_a_lock_that_the_server_has_ended_is_noticed_before_the_next_step(
    journal: Journal, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with ChangeLock(tmp_path, "dakar", journal.engine()) as held:
        held.check()
        postgres_server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
        with pytest.raises(LockedError, match="the lock was lost"):
            held.check()


def test_a_server_that_is_stopped_stops_a_change_before_it_starts_and_says_nothing_of_passwords(
    tmp_path: Path,
) -> None:
    with running_postgres() as server:
        journal = Journal(url_of(server.port), "dakar")
        journal.prepare()
        server.stop()
        with pytest.raises(RefusedError, match="nothing was changed") as refused:
            journal.prepare()
        assert PASSWORD not in str(refused.value)
        with pytest.raises(UnavailableError):
            journal.changes()
        with pytest.raises(RefusedError):
            ChangeLock(tmp_path, "dakar", journal.engine()).take()
        assert ChangeLock(tmp_path, "dakar").holder() is None, "the local lock was given back"


@pytest.mark.parametrize("user", ["outsider", "nobody"])
def test_a_role_that_may_not_write_stops_a_change_before_it_starts(
    postgres_server: PostgresServer, journal: Journal, user: str
) -> None:
    with pytest.raises(RefusedError):
        Journal(url_of(postgres_server.port, user), "dakar").prepare()


def test_a_history_behind_a_pool_is_refused(
    pgbouncer_server: PgBouncerServer, journal: Journal, tmp_path: Path
) -> None:
    behind = Journal(url_of(pgbouncer_server.port), "dakar")
    with pytest.raises(RefusedError, match="through a pool"):
        ChangeLock(tmp_path, "dakar", behind.engine()).take()
    assert ChangeLock(tmp_path, "dakar", journal.engine()).holder() is None


def test_no_password_is_in_the_database(journal: Journal, postgres_server: PostgresServer) -> None:
    journal.begin({"verb": "v", "arguments": [], "title": "T", "steps": []})
    (row,) = postgres_server.run("SELECT string_agg(t::text, '') FROM samaops_events t")
    assert PASSWORD not in row[0]
    assert str(os.getpid()) in row[0]


def test_a_history_says_its_version_and_one_of_a_newer_samaops_is_refused(
    journal: Journal, postgres_server: PostgresServer
) -> None:
    journal.begin({"verb": "docker restart"})
    assert len(journal.changes()) == 1
    postgres_server.run("COMMENT ON TABLE samaops_events IS 'samaops history 2'")
    for use in (journal.changes, journal.prepare):
        with pytest.raises(ConfigurationError, match="version 2, and this samaops knows 1"):
            use()
    postgres_server.run("COMMENT ON TABLE samaops_events IS 'of the operations team'")
    assert len(journal.changes()) == 1


def test_a_history_that_is_locked_in_the_database_is_said_in_time(
    journal: Journal, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_history, "_READ_SECONDS", 0.3)
    monkeypatch.setattr(of_history, "_AGAIN_SECONDS", 0.05)
    with postgres_server.connect(autocommit=False) as connection:
        connection.execute("LOCK TABLE samaops_events IN ACCESS EXCLUSIVE MODE")
        for most_seconds in (2.0, 1.0):
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="lock timeout"):
                journal.changes()
            assert time.monotonic() - started < most_seconds
        connection.rollback()
    assert journal.changes() == ()
