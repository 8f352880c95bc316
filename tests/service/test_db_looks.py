"""What a DBA sees of a real PostgreSQL, beside what others see of the same one: check_pgactivity and pg_activity."""

from __future__ import annotations

import csv
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from samaops.config.settings import Settings
from samaops.facts.portrait import Trait
from samaops.journal import well
from samaops.model.table import Table
from samaops.site.site import Site
from samaops.workflows.database.activity import Wanted, activity
from samaops.workflows.database.cache import cache
from samaops.workflows.database.connections import connections
from samaops.workflows.database.locks import locks
from samaops.workflows.database.progress import progress
from samaops.workflows.database.settings import settings
from samaops.workflows.database.wraparound import wraparound
from samaops.workflows.database.xmin import xmin
from tests.service.postgres_server import PASSWORD, PostgresServer, eventually, postgres_server

__all__ = ["postgres_server"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
NAGIOS = Path("/usr/lib/nagios/plugins/check_pgactivity")
TABLES = """
DROP TABLE IF EXISTS looked_at, billed;
CREATE TABLE looked_at (id int PRIMARY KEY, name text) WITH (fillfactor = 10);
INSERT INTO looked_at SELECT number, repeat('x', 300) FROM generate_series(1, 2000) AS number;
CREATE TABLE billed (id int PRIMARY KEY);
ALTER TABLE looked_at OWNER TO samaconso_user;
ALTER TABLE billed OWNER TO samaconso_user
"""


@pytest.fixture
def site(postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return the configuration of the server, on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return site_of(postgres_server)


def site_of(server: PostgresServer, user: str = "samaops") -> Site:
    """Return a configuration that leads to the server as some user."""
    section = {"host": "127.0.0.1", "port": server.port, "user": user, "password": PASSWORD}
    servers = {"db": {"address": "127.0.0.1", "ssh": "local"}}
    return Site(Settings.model_validate({"servers": servers, "postgresql": section}))


def witness(server: PostgresServer, service: str, *options: str) -> dict[str, float]:
    """Return what check_pgactivity measures: name to number."""
    if not NAGIOS.exists():
        pytest.skip("needs the Debian package check-pgactivity")
    command = [
        str(NAGIOS),
        "-s",
        service,
        "-h",
        "127.0.0.1",
        "-p",
        str(server.port),
        "-U",
        "postgres",
        "-F",
        "human",
    ]
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    output = subprocess.run(
        [*command, "-d", "samaconso", *options],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    return {
        match[1]: float(match[2])
        for match in re.finditer(r"^Perfdata\s*: (.+?)=(-?[\d.]+)", output, re.MULTILINE)
    }


def pg_activity(server: PostgresServer, output: Path) -> dict[int, str]:
    """Return what pg_activity sees: pid to state."""
    if not shutil.which("pg_activity"):
        pytest.skip("needs the Debian package pg-activity")
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", PGPASSWORD=PASSWORD)
        where = ("-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-d", "postgres")
        os.execvp("pg_activity", ["pg_activity", *where, "--no-db-size", "--output", str(output)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    try:
        seen: dict[int, str] = eventually(lambda: _written(terminal, output), 30)
        return seen
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _written(terminal: int, output: Path) -> dict[int, str]:
    if select.select([terminal], [], [], 0.05)[0]:
        with suppress(OSError):
            os.read(terminal, 65536)
    if not output.exists():
        return {}
    with output.open(newline="") as file:
        return {int(row["pid"]): row["state"] for row in csv.DictReader(file, delimiter=";") if row["state"]}


@contextmanager
def session(
    server: PostgresServer, *statements: str, user: str = "samaconso_user", application: str = "api"
) -> Iterator[Any]:
    """Open a session, run these statements in it, and end it afterwards."""
    with psycopg.connect(
        host="127.0.0.1", port=server.port, dbname="samaconso", user=user, password=PASSWORD, autocommit=True,
        application_name=application,
    ) as connection:  # fmt: skip
        for statement in statements:
            connection.execute(statement.encode())
        yield connection


@contextmanager
def waiting(
    server: PostgresServer, statement: str, application: str, user: str = "samaconso_user"
) -> Iterator[int]:
    """Run a statement that waits for a lock, and yield its pid; it is cancelled afterwards."""
    with session(server, user=user, application=application) as connection:

        def run() -> None:
            with suppress(psycopg.Error):
                connection.execute(statement)

        thread = threading.Thread(target=run)
        thread.start()
        pid = connection.info.backend_pid
        try:
            eventually(
                lambda: server.run(
                    f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'"
                )
            )
            yield pid
        finally:
            server.run(f"SELECT pg_terminate_backend({pid})")
            thread.join()


@pytest.fixture
def queue(postgres_server: PostgresServer) -> Iterator[dict[str, int]]:
    """Three roots: an idle writer with a chain behind it, a reader with DDL behind it, a prepared transaction."""
    server = postgres_server
    server.run(TABLES)
    with ExitStack() as open_now:
        enter = open_now.enter_context
        writer = enter(session(server, "BEGIN", "UPDATE looked_at SET name = 'w' WHERE id = 1"))
        first = enter(waiting(server, "UPDATE looked_at SET name = 'a secret' WHERE id = 1", "worker1"))
        second = enter(waiting(server, "UPDATE looked_at SET name = 'b' WHERE id = 1", "worker2"))
        reader = enter(session(server, "BEGIN", "SELECT * FROM billed", application="report"))
        ddl = enter(waiting(server, "ALTER TABLE billed ADD note text", "alembic"))
        behind = [enter(waiting(server, "SELECT * FROM billed", "api")) for _ in range(2)]
        with session(server, "BEGIN", "UPDATE looked_at SET name = 'p' WHERE id = 7") as preparing:
            preparing.execute("PREPARE TRANSACTION 'it''s mine'")
        open_now.callback(server.run, "ROLLBACK PREPARED 'it''s mine'")
        third = enter(waiting(server, "UPDATE looked_at SET name = 'c' WHERE id = 7", "worker3"))
        yield {
            "writer": writer.info.backend_pid,
            "first": first,
            "second": second,
            "reader": reader.info.backend_pid,
            "ddl": ddl,
            "behind": behind[0],
            "also behind": behind[1],
            "third": third,
        }


def test_each_root_has_its_tree_and_the_worst_comes_first(
    site: Site, postgres_server: PostgresServer, queue: dict[str, int]
) -> None:
    table = locks(site)
    seen = [(row["pid"] or row["gid"], row["depth"], row["waiting"]) for row in table.rows]
    assert seen[:2] == [(queue["reader"], 0, 3), (queue["ddl"], 1, 2)]
    assert {each[0] for each in seen[2:4]} == {queue["behind"], queue["also behind"]}
    assert seen[4:] == [
        (queue["writer"], 0, 2),
        (queue["first"], 1, 1),
        (queue["second"], 2, 0),
        ("it's mine", 0, 1),
        (queue["third"], 1, 0),
    ]
    rows = {row["pid"] or row["gid"]: row for row in table.rows}
    assert rows[queue["ddl"]]["is_ddl_queue"]
    assert rows[queue["ddl"]]["is_behind_a_read"]
    assert rows[queue["third"]]["blocked_by"] == ["it's mine"]
    assert rows[queue["first"]]["relation"] == "public.looked_at"
    assert "secret" not in str(table.rows)
    assert f"DDL of pid {queue['ddl']} is queued behind a read and stops 2 sessions" in table.notes[0]
    assert table.commands[:2] == (
        f"samaops db cancel {queue['ddl']}",
        f"samaops db terminate {queue['writer']}",
    )
    assert shlex.split(table.commands[2])[-2:] == ["--prepared", "it's mine"]
    assert "6 sessions wait for locks" in table.answer
    counted = witness(postgres_server, "locks", "-w", "50%", "-c", "90%")
    assert sum(number for name, number in counted.items() if name.startswith("Waiting")) == 6


def test_nobody_waits(site: Site) -> None:
    assert (locks(site).rows, locks(site).answer) == ((), "No session waits for a lock")


def test_activity_sees_what_pg_activity_sees(
    site: Site, postgres_server: PostgresServer, queue: dict[str, int], tmp_path: Path
) -> None:
    seen = pg_activity(postgres_server, tmp_path / "sessions.csv")
    rows = {row["pid"]: row for row in activity(site, Wanted()).rows}
    assert {pid: rows[pid]["state"] for pid in queue.values()} == {pid: seen[pid] for pid in queue.values()}
    assert rows[queue["second"]]["blocked_by"] == [queue["first"]]
    assert rows[queue["third"]]["held"] == "a prepared transaction"
    of_worker = activity(site, Wanted(user="samaconso_user", application="worker1"))
    assert [row["pid"] for row in of_worker.rows] == [queue["first"]]
    assert of_worker.commands == ("samaops db locks",)
    cut = activity(site, Wanted(limit=2))
    assert len(cut.rows) == 2
    assert "--limit" in cut.notes[-1]


def test_connections_are_those_that_check_pgactivity_counts(
    site: Site, postgres_server: PostgresServer, queue: dict[str, int]
) -> None:
    table = connections(site, "", 20)
    states = {row["state"]: row for row in table.rows if row["keys"] == ["state"]}
    counted = witness(postgres_server, "backends_status")
    assert states["idle in transaction"]["connections"] == counted["idle in transaction"] == 2
    of_application = {
        row["application"]: row["connections"] for row in table.rows if row["keys"] == ["application"]
    }
    assert of_application["api"] == 3
    assert list(of_application.values()) == sorted(of_application.values(), reverse=True)
    both = connections(site, "user,application", 20)
    row = next(row for row in both.rows if row["application"] == "worker1")
    assert (row["name"], row["connections"], row["active"]) == ("samaconso_user/worker1", 1, 1)
    figures = table.figures
    assert (figures["max_connections"], figures["reserved_for_superusers"], figures["usable"]) == (25, 3, 22)
    backends = witness(postgres_server, "backends", "-w", "90%", "-c", "95%")
    # The witness is a connection itself.
    assert figures["used"] == sum(states[state]["connections"] for state in states)
    assert backends["samaconso"] in (figures["used"] - 1, figures["used"])


def test_a_limit_of_a_role_stands_beside_it(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run("ALTER ROLE samaconso_user CONNECTION LIMIT 7")
    try:
        with session(postgres_server):
            rows = {row["user"]: row for row in connections(site, "user", 20).rows}
    finally:
        postgres_server.run("ALTER ROLE samaconso_user CONNECTION LIMIT -1")
    assert rows["samaconso_user"]["limit"] == 7
    assert rows["samaops"]["limit"] is None


def blocks(server: PostgresServer) -> tuple[int, int]:
    """Return what the server's own view counts of one table: blocks found, blocks read."""
    ((hit, read),) = server.run(
        "SELECT heap_blks_hit, heap_blks_read FROM pg_statio_user_tables WHERE relname = 'looked_at'"
    )
    return hit, read


def test_the_cache_is_the_difference_of_two_samples(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run(TABLES)

    def read(_seconds: float) -> None:
        with session(postgres_server, "SELECT count(*) FROM looked_at") as reading:
            reading.execute("SELECT pg_stat_force_next_flush()")
            reading.execute("SELECT 1")

    read(0)
    before = blocks(postgres_server)
    table = cache(site, 0.1, 20, read)
    after = blocks(postgres_server)
    row = next(row for row in table.rows if row["name"] == "public.looked_at")
    assert (row["hit"], row["read"]) == (after[0] - before[0], after[1] - before[1])
    assert row["hit"] + row["read"] >= 1000
    assert row["percent"] == round(100 * row["hit"] / (row["hit"] + row["read"]), 1)
    assert row["of"] == "table"
    assert table.rows[0]["of"] == "database"
    assert "operating system" in table.notes[0]
    whole = cache(site, None, 20)
    row = next(row for row in whole.rows if row["name"] == "public.looked_at")
    assert (row["hit"], row["read"]) == blocks(postgres_server)
    assert "Since the statistics" in whole.answer


def test_counters_that_went_back_are_not_shown(site: Site, postgres_server: PostgresServer) -> None:
    postgres_server.run(TABLES)

    def reset(_seconds: float) -> None:
        postgres_server.run("SELECT pg_stat_reset()")

    reading = "SELECT count(*) FROM looked_at", "SELECT pg_stat_force_next_flush()", "SELECT 1"
    with session(postgres_server, *reading):
        table = cache(site, 0.1, 20, reset)
    assert not table.is_whole
    assert any("went back" in note for note in table.notes)
    assert all(row["hit"] >= 0 and row["read"] >= 0 for row in table.rows)


def test_who_holds_back_cleaning_is_named_with_what_to_do(
    site: Site, postgres_server: PostgresServer
) -> None:
    server = postgres_server
    server.run(TABLES)
    snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM billed"
    with ExitStack() as open_now:
        # It waits for the end of what has written, also of what is prepared: the slot comes first.
        server.run("SELECT pg_create_logical_replication_slot('nobody', 'test_decoding')")
        open_now.callback(server.run, "SELECT pg_drop_replication_slot('nobody')")
        with session(server, "BEGIN", "INSERT INTO billed VALUES (1)", "PREPARE TRANSACTION 'oldest'"):
            open_now.callback(server.run, "ROLLBACK PREPARED 'oldest'")
        idle = open_now.enter_context(session(server, *snapshot)).info.backend_pid
        open_now.enter_context(session(server, *snapshot, application="pg_dump"))
        for number in range(20):
            server.run(f"INSERT INTO billed VALUES (10 + {number})")
        table = xmin(site, 20)
        ages = witness(server, "oldest_xmin")
        prepared = witness(server, "oldest_2pc", "-w", "1h", "-c", "2h")
    rows = {row["application"] or row["name"]: row for row in table.rows}
    assert rows["api"]["of"] == "idle in transaction"
    assert rows["api"]["command"] == f"samaops db terminate {idle}"
    assert (rows["pg_dump"]["command"], rows["pg_dump"]["todo"]) == (
        None,
        "a backup or maintenance: let it end",
    )
    assert rows["oldest"]["of"] == "prepared transaction"
    assert rows["oldest"]["command"] == "samaops db terminate --prepared oldest"
    assert rows["nobody"]["of"] == "slot"
    assert rows["nobody"]["command"] == "samaops db slot drop nobody"
    assert max(row["age"] for row in table.rows) == table.rows[0]["age"] >= 20
    assert ages["samaconso_age"] in (rows["oldest"]["age"], rows["api"]["age"])
    assert prepared["samaconso # prep. xact"] == 1


def test_ages_and_sequences_are_those_of_check_pgactivity(
    site: Site, postgres_server: PostgresServer
) -> None:
    server = postgres_server
    server.run(
        "DROP TABLE IF EXISTS numbered; CREATE TABLE numbered (id serial); ALTER TABLE numbered OWNER TO samaconso_user"
    )
    server.run("SELECT setval('numbered_id_seq', 1900000000)")
    server.run("GRANT USAGE ON SEQUENCE numbered_id_seq TO samaops")

    def use_up(_seconds: float) -> None:
        for number in range(10):
            server.run(f"INSERT INTO numbered VALUES ({number})")

    table = wraparound(site, 0.1, 500, use_up)
    ages = witness(server, "max_freeze_age")
    of_database = {row["name"]: row["xid_age"] for row in table.rows if row["of"] == "database"}
    assert of_database["samaconso"] + 10 == ages["samaconso"]
    assert of_database["postgres"] + 10 == ages["postgres"]
    rate, seconds = table.figures["xids_per_second"], table.figures["measured_seconds"]
    # The seconds are told to a tenth; the server's own autovacuum may have taken some of its own meanwhile.
    assert rate * (seconds + 0.05) >= 10 - 0.1
    assert rate * (seconds - 0.05) < 30
    row = next(row for row in table.rows if row["name"] == "public.numbered_id_seq")
    assert (row["value"], row["last"], row["percent"]) == (1900000000, 2147483647, 88.5)
    assert table.rows[0] is row
    assert "1 sequence is more than half used up" in table.answer
    database = next(row for row in table.rows if row["name"] == "samaconso")
    expected = (database["xid_forced_at"] - database["xid_age"]) / rate
    assert database["forced_in_seconds"] == pytest.approx(expected, rel=0.01)


def test_a_table_that_is_forced_earlier_comes_first(site: Site, postgres_server: PostgresServer) -> None:
    server = postgres_server
    server.run(
        "DROP TABLE IF EXISTS early; CREATE TABLE early (id int) WITH (autovacuum_freeze_max_age = 100000)"
    )
    try:
        table = wraparound(site, None, 500)
    finally:
        server.run("DROP TABLE early")
    row = next(row for row in table.rows if row["name"] == "public.early")
    assert row["xid_forced_at"] == 100000
    assert table.figures["measured_seconds"] > 0


def test_settings_are_compared_and_their_places_named(site: Site, postgres_server: PostgresServer) -> None:
    server = postgres_server
    kept = {"postgresql/setting": {"work_mem": {"": Trait("64MB")}, "max_connections": {"": Trait("25")}}}
    well.keep(site.name, well.WellLook(datetime.now(timezone.utc), kept))
    server.run("ALTER SYSTEM SET max_connections = 30")
    server.run("ALTER SYSTEM SET work_mem = '10MB'")
    server.run("SELECT pg_reload_conf()")
    try:
        eventually(
            lambda: server.run("SELECT 1 FROM pg_settings WHERE name = 'work_mem' AND setting = '10240'")
        )
        table = settings(site, "")
        timeouts = settings(site, "*timeout")
    finally:
        server.run("ALTER SYSTEM RESET ALL")
        server.run("SELECT pg_reload_conf()")
    rows = {row["name"]: row for row in table.rows}
    assert (rows["work_mem"]["value"], rows["work_mem"]["was"], rows["work_mem"]["marks"]) == (
        "10MB",
        "64MB",
        ["changed"],
    )
    assert re.fullmatch(r"ALTER SYSTEM:\d+", rows["work_mem"]["place"])
    assert rows["work_mem"]["file"].endswith("/postgresql.auto.conf")
    assert rows["max_connections"]["marks"] == ["different", "pending"]
    assert rows["max_connections"]["command"] is None  # it needs a restart
    assert rows["random_page_cost"]["command"] == "samaops db set random_page_cost 1.1"
    assert table.rows[0]["name"] == "max_connections"
    hidden = {row["name"]: row for row in timeouts.rows}
    assert hidden["statement_timeout"]["value"] is None  # samaops has one of its own
    assert hidden["deadlock_timeout"]["value"] == "100ms"
    assert "SHOW statement_timeout" in timeouts.commands[-1]


def test_an_index_that_waits_says_for_whom(site: Site, postgres_server: PostgresServer) -> None:
    server = postgres_server
    server.run(TABLES)
    with (
        session(server, "BEGIN", "INSERT INTO billed VALUES (77)") as writer,
        waiting(server, "CREATE INDEX CONCURRENTLY looked ON billed (id)", "migration") as pid,
    ):
        table = progress(site, 0.1)
        blocker = writer.info.backend_pid
    (row,) = table.rows
    assert (row["pid"], row["work"], row["relation"]) == (pid, "create index", "public.billed")
    assert (row["phase"], row["locker"]) == ("waiting for writers before build", blocker)
    assert table.commands == ("samaops db locks",)


def test_a_vacuum_has_its_share_and_its_rate(site: Site, postgres_server: PostgresServer) -> None:
    server = postgres_server
    server.run(TABLES)
    slow = "SET vacuum_cost_delay = 20", "SET vacuum_cost_limit = 20"
    with session(server, *slow) as vacuuming:
        pid = vacuuming.info.backend_pid

        def run() -> None:
            with suppress(psycopg.Error):
                vacuuming.execute("VACUUM looked_at")

        thread = threading.Thread(target=run)
        thread.start()
        try:
            row = eventually(lambda: scanning(progress(site, 0.3)))
            ((scanned, total),) = server.run(
                f"SELECT heap_blks_scanned, heap_blks_total FROM pg_stat_progress_vacuum WHERE pid = {pid}"
            )
        finally:
            server.run(f"SELECT pg_terminate_backend({pid})")
            thread.join()
    assert (row["pid"], row["relation"], row["unit"]) == (pid, "public.looked_at", "blocks")
    assert row["total_count"] == total
    assert 0 < row["done_count"] <= scanned
    assert row["percent"] == round(100 * row["done_count"] / total, 1)
    assert row["rate_per_second"] > 0
    assert row["left_seconds"] == pytest.approx((total - row["done_count"]) / row["rate_per_second"])
    assert "%" in row["done"]


def scanning(table: Table) -> dict[str, Any] | None:
    """Return the row of a vacuum whose rate could be measured."""
    return next((dict(row) for row in table.rows if row["rate_per_second"] and row["percent"] < 100), None)


def test_a_copy_without_a_total_has_no_bar(site: Site, postgres_server: PostgresServer) -> None:
    server = postgres_server
    server.run(TABLES)
    with session(server) as loading, loading.cursor().copy("COPY billed FROM STDIN") as copy:
        for number in range(20_000):
            copy.write(f"{number + 1000}\n")
        row = eventually(lambda: next((row for row in progress(site, 0.1).rows if row["done_count"]), None))
        table = progress(site, 0.1)
    assert (row["work"], row["percent"], row["done"], row["total_count"]) == ("copy", None, "-", None)
    assert any("of how many is not known" in note for note in table.notes)


LOOKS: dict[str, Callable[[Site], Table]] = {
    "activity": lambda site: activity(site, Wanted()),
    "locks": locks,
    "connections": lambda site: connections(site, "", 20),
    "xmin": lambda site: xmin(site, 20),
    "wraparound": lambda site: wraparound(site, None, 20),
    "settings": lambda site: settings(site, ""),
    "progress": lambda site: progress(site, 0.1),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_right_that_lacks_is_named(
    name: str, postgres_server: PostgresServer, queue: dict[str, int]
) -> None:
    table = LOOKS[name](site_of(postgres_server, "outsider"))
    assert not table.is_whole
    assert any("pg_monitor" in note and "outsider" in note for note in table.notes), table.notes
