"""What a DBA sees of a real PgBouncer, and changes of it; whatever becomes of samaops, nothing stays paused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from samaops.config.settings import Settings
from samaops.errors import RefusedError
from samaops.model.plan import ActionStatus
from samaops.site.site import Site
from samaops.workflows import change, history
from samaops.workflows.pool import databases, pools, sessions, settings, stats
from tests.service.postgres_server import (
    PASSWORD,
    PgBouncerServer,
    PostgresServer,
    eventually,
    pgbouncer_server,
    postgres_server,
    running_pgbouncer,
)

__all__ = ["pgbouncer_server", "postgres_server"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
DATABASE = "samaconso"


@pytest.fixture
def values(
    pgbouncer_server: PgBouncerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Return the configuration of the pool and of the server behind it, on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    address = {"host": "127.0.0.1", "password": PASSWORD}
    return {
        "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
        "postgresql": {**address, "port": pgbouncer_server.behind.port},
        "pgbouncer": {
            **address, "port": pgbouncer_server.port, "admin_password": PASSWORD,
            "expected_settings": {"pool_mode": "transaction", "default_pool_size": "100"},
        },
        "safety": {"lock_directory": str(tmp_path)},
    }  # fmt: skip


@pytest.fixture
def site(values: dict[str, Any]) -> Site:
    return Site(Settings.model_validate(values))


def shown(pool: PgBouncerServer, what: str) -> list[dict[str, Any]]:
    """Return what the console itself shows."""
    with psycopg.connect(
        host="127.0.0.1", port=pool.port, user="postgres", password=PASSWORD, dbname="pgbouncer", autocommit=True,
        cursor_factory=psycopg.ClientCursor, row_factory=psycopg.rows.dict_row,
    ) as connection:  # fmt: skip
        return connection.execute(f"SHOW {what}".encode()).fetchall()


def is_paused(pool: PgBouncerServer, database: str = DATABASE) -> bool:
    return any(row["paused"] for row in shown(pool, "DATABASES") if row["name"] == database)


def made(site: Site, verb: str, *arguments: str) -> Any:
    """Make a change, and return its report; it must have been verified."""
    report = change.apply(site, change.prepare(site, verb, arguments), 10)
    assert {each.status for each in report.actions} == {ActionStatus.VERIFIED}, report.errors
    return report


def undone(site: Site, report: Any) -> None:
    back = change.apply(site, history.undo(site, report.actions[0].journal), 10)
    assert {each.status for each in back.actions} == {ActionStatus.VERIFIED}, back.errors


@contextmanager
def transaction(pool: PgBouncerServer) -> Iterator[int]:
    """Hold a connection of the pool in a transaction, and yield its process in PostgreSQL."""
    with pool.connect(application_name="billing") as connection:
        connection.autocommit = False
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        yield int(row[0])
        connection.rollback()


def test_the_lists_say_who_waits_and_who_holds_what(site: Site, pgbouncer_server: PgBouncerServer) -> None:
    pool = pgbouncer_server
    waiter = threading.Thread(target=_ask, args=(pool,))
    with transaction(pool) as first, transaction(pool) as second:
        waiter.start()
        eventually(lambda: any(row["cl_waiting"] for row in shown(pool, "POOLS")))
        table = pools.pools(site)
        clients = sessions.clients(site, sessions.Wanted())
        servers = sessions.servers(site, sessions.Wanted(state="active"))
    waiter.join()
    (row,) = table.rows
    assert (row["clients_waiting"], row["servers_busy"], row["pool_size"]) == (1, 2, 2)
    assert "1 client waits for a connection" in table.answer
    assert "full: samaconso/samaconso_user uses 2 of 2" in table.answer
    assert clients.rows[0]["state"] == "waiting"
    assert clients.rows[0]["wait_seconds"] is not None
    assert {each["server_pid"] for each in clients.rows} == {first, second, None}
    assert {each["pid"] for each in servers.rows} == {first, second}
    assert all("billing" in each["client"] for each in servers.rows)
    assert any(f"samaops db cancel {servers.rows[0]['pid']}" in note for note in servers.notes)


def _ask(pool: PgBouncerServer) -> None:
    with pool.connect() as connection:
        connection.execute("SELECT 1")


def test_the_other_lists_say_what_the_console_says(site: Site, pgbouncer_server: PgBouncerServer) -> None:
    pgbouncer_server.console('PAUSE "second"')
    with pgbouncer_server.connect() as connection:
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                connection.execute("SELECT 1")

        thread = threading.Thread(target=work)
        thread.start()
        rates = stats.stats(site, 0.5)
        stop.set()
        thread.join()
    (row,) = rates.rows
    assert row["queries_per_second"] > 10
    assert row["query_ms"] > 0
    listed = databases.databases(site)
    assert [each["name"] for each in listed.rows] == ["second", DATABASE]
    assert "paused: second" in listed.answer
    in_force = settings.settings(site, is_all=False)
    assert in_force.rows[0]["name"] == "default_pool_size"
    assert (in_force.rows[0]["value"], in_force.rows[0]["expected"]) == ("2", "100")
    every = settings.settings(site, is_all=True)
    assert {each["name"] for each in every.rows} == {
        each["key"] for each in shown(pgbouncer_server, "CONFIG")
    }


def test_a_pause_is_verified_and_undone_and_its_watchdog_ends(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    report = made(site, "pool pause", DATABASE, "20")
    assert is_paused(pgbouncer_server)
    assert _watchdogs(pgbouncer_server)
    undone(site, report)
    assert not is_paused(pgbouncer_server)
    eventually(lambda: not _watchdogs(pgbouncer_server))


def _watchdogs(pool: PgBouncerServer) -> list[int]:
    mark = f"samaops-pool {pool.port}/".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(mark) and word.endswith(b" guard") for word in words):
            found.append(int(place.parent.name))
    return found


def test_a_pause_ends_by_itself_also_when_the_pool_was_restarted_meanwhile(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    begun = time.monotonic()
    made(site, "pool pause", "", "4")
    assert is_paused(pgbouncer_server)
    assert is_paused(pgbouncer_server, "second")
    with pgbouncer_server.connect() as connection:
        connection.execute("SELECT 1")  # it waits until then
    assert 2 < time.monotonic() - begun < 9
    assert not is_paused(pgbouncer_server)
    eventually(lambda: not _watchdogs(pgbouncer_server))


def _is_kept_open(pool: PgBouncerServer) -> str:
    return next(str(row["value"]) for row in shown(pool, "CONFIG") if row["key"] == "min_pool_size")


def _served_after(pool: PgBouncerServer) -> float:
    begun = time.monotonic()
    with pool.connect() as connection:
        connection.execute("SELECT 1")
    return time.monotonic() - begun


def test_after_a_pause_nobody_waits_for_the_next_try_of_a_log_in(
    values: dict[str, Any], postgres_server: PostgresServer
) -> None:
    """PgBouncer 1.18 logs in for min_pool_size during a pause too, cuts that off, and tries no more for 15 s."""
    lines = "min_pool_size = 2\nserver_login_retry = 15"
    with running_pgbouncer(postgres_server, lines) as pool, pool.connect():  # for a client it keeps them open
        site = Site(
            Settings.model_validate({**values, "pgbouncer": {**values["pgbouncer"], "port": pool.port}})
        )
        _served_after(pool)
        eventually(lambda: len(shown(pool, "SERVERS")) >= 2)
        made(site, "pool pause", DATABASE, "4")
        assert _is_kept_open(pool) == "0"
        assert _served_after(pool) < 8  # the watchdog ends it
        eventually(lambda: _is_kept_open(pool) == "2")
        eventually(lambda: not _watchdogs(pool))
        for end in ("resume", "undo"):
            eventually(lambda: len(shown(pool, "SERVERS")) >= 2)
            report = made(site, "pool pause", DATABASE, "20")
            with ThreadPoolExecutor(1) as clients:
                waiting = clients.submit(_served_after, pool)
                eventually(lambda: any(row["maxwait"] >= 1 for row in shown(pool, "POOLS")))
                if end == "resume":
                    made(site, "pool resume", DATABASE)
                else:
                    undone(site, report)
                assert _is_kept_open(pool) == "2"
                assert waiting.result(5) < 8
            assert not _watchdogs(pool)


def test_a_transaction_without_end_is_named_and_the_pause_taken_back(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    with transaction(pgbouncer_server) as pid:
        report = change.apply(site, change.prepare(site, "pool pause", (DATABASE, "3")), 5)
        assert report.errors[0].exit_code == 2
        assert f"pid {pid}" in report.errors[0].message
        assert [each.status for each in report.actions] == [ActionStatus.REVERTED]
        assert not is_paused(pgbouncer_server)


KILLED = """
import os, signal, sys
from samaops.clients import pool_watchdog, pgbouncer
where = sys.argv.pop(1)

def die(): os.kill(os.getpid(), signal.SIGKILL)

start, run = pool_watchdog.Watchdog.start, pgbouncer.ConsoleAdministrator.run
def started(self, *arguments):
    start(self, *arguments)
    if where == "guarded": die()
def ran(self, *arguments):
    if where == "asked": self._session._connection.pgconn.send_query(b'PAUSE "samaconso"'); self._session._connection.pgconn.flush(); die()
    run(self, *arguments)
    if where == "paused": die()
pool_watchdog.Watchdog.start, pgbouncer.ConsoleAdministrator.run = started, ran
from samaops.cli.start import main
main()
"""


@pytest.mark.parametrize("where", ["guarded", "asked", "paused"])
def test_killed_at_every_step_nothing_stays_paused(
    where: str, values: dict[str, Any], pgbouncer_server: PgBouncerServer, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(_toml(values))
    file.chmod(0o600)
    words = [where, "--config", str(file), "pool", "pause", DATABASE, "--for", "4", "--yes"]
    command = [sys.executable, "-c", KILLED, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    if where != "guarded":
        assert is_paused(pgbouncer_server)
    eventually(lambda: not is_paused(pgbouncer_server) and not _watchdogs(pgbouncer_server), 8)
    with pgbouncer_server.connect() as connection:
        connection.execute("SELECT 1")


def _toml(values: dict[str, Any]) -> str:
    lines = []
    for name, section in values.items():
        tables = (
            {f"servers.{key}": each for key, each in section.items()}
            if name == "servers"
            else {name: section}
        )
        for title, table in tables.items():
            plain = {key: each for key, each in table.items() if not isinstance(each, dict)}
            lines += [f"[{title}]", *(f"{key} = {json.dumps(each)}" for key, each in plain.items())]
            for key, each in table.items():
                if isinstance(each, dict):
                    lines += [
                        f"[{title}.{key}]",
                        *(f"{one} = {json.dumps(two)}" for one, two in each.items()),
                    ]
    return "\n".join(lines) + "\n"


def test_the_password_stands_nowhere_but_on_standard_input(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    report = made(site, "pool pause", DATABASE, "20")
    (pid, *_others) = _watchdogs(pgbouncer_server)
    session = os.getsid(pid)
    of_session = [
        place.parent
        for place in Path("/proc").glob("[0-9]*/environ")
        if _session_of(int(place.parent.name)) == session
    ]
    assert len(of_session) >= 3  # the shell, what sleeps, psql
    for place in of_session:
        for name in ("cmdline", "environ"):
            assert PASSWORD.encode() not in (place / name).read_bytes()
    undone(site, report)


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def test_without_psql_there_or_with_a_wrong_password_nothing_is_paused(
    values: dict[str, Any], pgbouncer_server: PgBouncerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(Settings.model_validate(values))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "setsid", "timeout", "grep", "id", "tr", "head", "env"):
        path = next(Path(place) / name for place in ("/usr/bin", "/bin") if (Path(place) / name).exists())
        (programs / name).symlink_to(path)
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(RefusedError, match="no watchdog can work on db: watchdog: psql: not found"):
        change.prepare(site, "pool pause", (DATABASE, "20"))
    values["servers"]["db"]["ssh"] = "none"
    with pytest.raises(RefusedError, match="no watchdog can work on db"):
        change.prepare(Site(Settings.model_validate(values)), "pool pause", (DATABASE, "20"))
    assert not is_paused(pgbouncer_server)


def test_resume_ends_every_pause_and_cures_the_finding(site: Site, pgbouncer_server: PgBouncerServer) -> None:
    for database in (DATABASE, "second"):
        pgbouncer_server.console(f'PAUSE "{database}"')
    plan = change.prepare(site, "pool resume", ("",))
    assert plan.cures == ("pgbouncer.pool.paused@pgbouncer/db",)
    assert len(plan.steps) == 2
    report = change.apply(site, plan, 10)
    assert {each.status for each in report.actions} == {ActionStatus.VERIFIED}, report.errors
    assert "no database" in change.prepare(site, "pool resume", ("",)).nothing_to_do


def test_what_is_paused_as_a_whole_goes_on(site: Site, pgbouncer_server: PgBouncerServer) -> None:
    with pgbouncer_server.connect() as connection:
        connection.execute("SELECT 1")
        pgbouncer_server.console("PAUSE")
        thread = threading.Thread(target=connection.execute, args=("SELECT 1",))
        thread.start()
        eventually(lambda: any(row["maxwait"] for row in shown(pgbouncer_server, "POOLS")))
        made(site, "pool resume", "")
        thread.join(5)
        assert not thread.is_alive()


def test_killed_clients_come_back_by_themselves(site: Site, pgbouncer_server: PgBouncerServer) -> None:
    with pgbouncer_server.connect() as connection:
        connection.execute("SELECT 1")
        made(site, "pool kill", DATABASE, "3")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pgbouncer_server.connect() as again:
        again.execute("SELECT 1")
    assert not is_paused(pgbouncer_server)


def test_connections_are_replaced_and_clients_stay(site: Site, pgbouncer_server: PgBouncerServer) -> None:
    with pgbouncer_server.connect() as connection:
        before = connection.execute("SELECT pg_backend_pid()").fetchone()
        made(site, "pool reconnect", DATABASE)
        assert connection.execute("SELECT pg_backend_pid()").fetchone() != before
    assert change.prepare(site, "pool reconnect", ("second",)).nothing_to_do


def test_disabled_and_enabled_and_each_undone(site: Site, pgbouncer_server: PgBouncerServer) -> None:
    report = made(site, "pool disable", "second")
    with pytest.raises(psycopg.OperationalError, match="disabled"):
        pgbouncer_server.connect("second")
    undone(site, report)
    made(site, "pool disable", "second")
    made(site, "pool enable", "second")
    with pgbouncer_server.connect("second") as connection:
        connection.execute("SELECT 1")


def _sizes(pool: PgBouncerServer) -> set[int]:
    return {row["pool_size"] for row in shown(pool, "DATABASES") if row["name"] != "pgbouncer"}


def test_a_size_that_fits_is_set_and_undone_and_reload_ends_it(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    report = made(site, "pool set-size", DATABASE, "5")
    assert _sizes(pgbouncer_server) == {5}
    undone(site, report)
    assert _sizes(pgbouncer_server) == {2}
    made(site, "pool set-size", "", "4")
    plan = change.prepare(site, "pool reload", ())
    assert "default_pool_size: 4 -> 2" in plan.notes
    made(site, "pool reload")
    assert _sizes(pgbouncer_server) == {2}


def test_a_size_that_does_not_fit_is_refused_with_the_numbers(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    limit = pgbouncer_server.behind.run("SHOW max_connections")[0][0]
    with pytest.raises(RefusedError, match=f"{limit} does not fit: the pools could open"):
        change.prepare(site, "pool set-size", ("", str(limit)))


def test_a_database_with_a_size_of_its_own_is_told_apart(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    file = pgbouncer_server.directory / "pgbouncer.ini"
    file.write_text(file.read_text().replace("second =", "second = pool_size=2"))
    pgbouncer_server.console("RELOAD")
    with pytest.raises(RefusedError, match="second has a pool_size of its own, 2"):
        change.prepare(site, "pool set-size", ("second", "3"))
    plan = change.prepare(site, "pool set-size", ("", "3"))
    assert "A size of their own keep: second" in plan.notes


def test_a_file_that_pgbouncer_would_refuse_is_not_reloaded(
    site: Site, pgbouncer_server: PgBouncerServer
) -> None:
    """RELOAD answers as ever, and the console lets nobody in afterwards."""
    file = pgbouncer_server.directory / "pgbouncer.ini"
    text = file.read_text()
    for wrong, why in (
        (text.replace("default_pool_size = 2", "default_pool_size = many"), "line 14: default_pool_size"),
        (text.replace("admin_users = postgres", "admin_users = dba"), "postgres would no longer administer"),
        (f"{text}\nnosuch = 1\n", "knows no setting nosuch"),
        (f"{text}\nwhat is this\n", "no setting, no section"),
        (text.replace("second =", "second = host"), "no connection string"),
    ):
        file.write_text(wrong)
        with pytest.raises(RefusedError, match=why):
            change.prepare(site, "pool reload", ())
    file.write_text(text.replace("second =", "third =").replace("listen_port = ", "listen_port = 1"))
    plan = change.prepare(site, "pool reload", ())
    assert "new: the database third" in plan.notes
    assert "gone: the database second, with its clients" in plan.notes
    assert any("needs a restart" in note for note in plan.notes)
    report = change.apply(site, plan, 10)
    assert {each.status for each in report.actions} == {ActionStatus.VERIFIED}, report.errors
