"""A real backup, restored beside a database that serves, swapped in under load, and back; killed, damaged, refused."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from samaops.changes.release.database import MIGRATE, REHEARSE, Migrating, Rehearsing
from samaops.changes.restoring.work import Restoring
from samaops.changes.run import operations, progress
from samaops.changes.run import restoring as doers
from samaops.changes.run.release import database as rollback_database
from samaops.clients.database_server import DatabaseServer
from samaops.clients.errors import ClientError
from samaops.config.settings import Settings
from samaops.errors import RefusedError, SamaopsError
from samaops.facts.backup_run import Grade, Grades
from samaops.facts.objects import Kept
from samaops.facts.restoring import DRILL, RESTORED, Mark, Source
from samaops.model.plan import ActionStatus, Operation, Outcome
from samaops.model.report import Report
from samaops.site.site import Site
from samaops.workflows import change, history, restoring
from tests.service.made_backups import ID, Backups
from tests.service.postgres_server import (
    DATABASE,
    PASSWORD,
    PgBouncerServer,
    PostgresServer,
    eventually,
    running_pgbouncer,
    running_postgres,
)

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]
ROWS = 20_000
SETUP = f"""
CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, email text, created_at timestamptz DEFAULT now());
CREATE INDEX customers_email ON customers (email);
CREATE TABLE orders (id serial PRIMARY KEY, customer integer REFERENCES customers, amount numeric CHECK (amount >= 0));
INSERT INTO customers (name, email) SELECT 'name ' || n, n || '@x' FROM generate_series(1, {ROWS}) n;
INSERT INTO orders (customer, amount) SELECT n, n FROM generate_series(1, 1000) n;
CREATE EXTENSION pg_stat_statements;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO samaconso_user;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO samaconso_user
"""
PROPERTIES = f"""
REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC;
GRANT CONNECT ON DATABASE {DATABASE} TO samaops, samaconso_user;
ALTER DATABASE {DATABASE} CONNECTION LIMIT 20;
ALTER DATABASE {DATABASE} SET search_path TO "$user", public;
ALTER DATABASE {DATABASE} SET work_mem TO '7MB';
ALTER ROLE samaconso_user IN DATABASE {DATABASE} SET statement_timeout TO '45s';
COMMENT ON DATABASE {DATABASE} IS 'la base de l''application'
"""
EVERYTHING = f"""
SELECT datname, pg_get_userbyid(datdba), datconnlimit, datallowconn, datacl::text, datcollate, datctype, encoding,
       shobj_description(d.oid, 'pg_database'),
       (SELECT array_agg((CASE WHEN setrole = 0 THEN '' ELSE pg_get_userbyid(setrole) END, setconfig)::text ORDER BY setrole)
        FROM pg_db_role_setting WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = '{DATABASE}'
"""


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that PostgreSQL's own user reaches over a socket without a password, as Debian's."""
    with running_postgres("unix_socket_directories = '/var/run/postgresql'\nautovacuum = on") as server:
        file = server.directory / "data" / "pg_hba.conf"
        file.write_text("local all postgres peer\n" + file.read_text())
        server.run("SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def backups(postgres_server: PostgresServer) -> Iterator[Backups]:
    """A database of its own for each test, and a place for its backups."""
    place = Path(tempfile.mkdtemp(prefix="samaops-backups-"))
    place.chmod(0o755)
    _make_anew(postgres_server)
    yield Backups(place / "postgresql", postgres_server)
    shutil.rmtree(place)


def _make_anew(server: PostgresServer) -> None:
    for name in databases(server):
        if name == DATABASE or name.startswith("samaops_"):
            server.run(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")
    server.run(f"CREATE DATABASE {DATABASE} OWNER samaconso_user", database="postgres")
    for statement in (*SETUP.split(";\n"), *PROPERTIES.split(";\n")):
        server.run(statement)


def databases(server: PostgresServer) -> set[str]:
    rows = server.run("SELECT datname FROM pg_database WHERE NOT datistemplate", database="postgres")
    return {row[0] for row in rows}


def ours(server: PostgresServer) -> set[str]:
    return {name for name in databases(server) if name.startswith("samaops_")}


@pytest.fixture
def values(
    backups: Backups, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return {
        "site": "samaconso",
        "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
        "postgresql": {"host": "127.0.0.1", "password": PASSWORD, "port": postgres_server.port},
        "backup": {"directory": str(backups.directory), "smoke_query": "SELECT 1 FROM customers LIMIT 1"},
        "safety": {"lock_directory": str(tmp_path), "server_lock_directory": str(tmp_path)},
    }  # fmt: skip


@pytest.fixture
def pgbouncer_server(postgres_server: PostgresServer) -> Iterator[PgBouncerServer]:
    """A pool that keeps connections open, as the guide's: PgBouncer 1.18 logs in for that during a pause too."""
    lines = "min_pool_size = 2\ndefault_pool_size = 10\nserver_login_retry = 15"
    with running_pgbouncer(postgres_server, lines) as pool:
        yield pool


@pytest.fixture
def pooled(values: dict[str, Any], pgbouncer_server: PgBouncerServer) -> dict[str, Any]:
    pool = {
        "host": "127.0.0.1",
        "password": PASSWORD,
        "port": pgbouncer_server.port,
        "admin_password": PASSWORD,
    }
    return {**values, "pgbouncer": pool}


def site_of(values: dict[str, Any]) -> Site:
    return Site(Settings.model_validate(values))


def made(site: Site, name: str, *arguments: str, wanted: str = "") -> Report:
    return change.apply(site, restoring.plan(site, name, arguments, wanted), 10)


def verified(report: Report) -> Report:
    assert {each.status for each in report.actions} == {ActionStatus.VERIFIED}, report.errors
    return report


class Load:
    """Clients of the application, through the pool, each transaction written and counted."""

    def __init__(self, pool: PgBouncerServer) -> None:
        self._pool = pool
        self._stop = threading.Event()
        self.done, self.slowest = 0, 0.0
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._work) for _number in range(8)]

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                with self._pool.connect() as connection:
                    for _number in range(20):
                        begun = time.monotonic()
                        connection.execute(
                            b"BEGIN; INSERT INTO customers (name) VALUES ('load');"
                            b" UPDATE customers SET email = 'x' WHERE id = 1 + (random() * 100)::int; COMMIT"
                        )
                        self.done += 1
                        self.slowest = max(self.slowest, time.monotonic() - begun)
                        if self._stop.is_set():
                            break
            except psycopg.Error as error:
                self.failed.append(str(error))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_under_load_no_transaction_fails_in_the_swap_and_in_its_undo_and_all_is_as_it_was(
    pooled: dict[str, Any], backups: Backups, postgres_server: PostgresServer, pgbouncer_server: PgBouncerServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    swap = DatabaseServer.swap

    def slow_swap(*arguments: Any, **options: Any) -> None:
        time.sleep(0.8)  # as on a busy machine: PgBouncer looks three times a second what is to be kept open
        swap(*arguments, **options)

    monkeypatch.setattr(DatabaseServer, "swap", slow_swap)
    site = site_of(pooled)
    backups.make()
    before, extensions = (
        postgres_server.run(EVERYTHING),
        postgres_server.run("SELECT extname, extversion FROM pg_extension ORDER BY 1"),
    )
    with Load(pgbouncer_server) as load:
        eventually(lambda: load.done > 100)
        plan = restoring.plan(site, "restore db", ("latest",), "latest")
        assert any("public.customers" in note and f"{ROWS} in the backup" in note for note in plan.notes), (
            plan.notes
        )
        assert "rows more than in the backup" in plan.steps[-1].destroys
        report = verified(change.apply(site, plan, 10))
        after_swap = load.done
        eventually(lambda: load.done > after_swap + 100)
        assert postgres_server.run(EVERYTHING) == before
        assert postgres_server.run("SELECT extname, extversion FROM pg_extension ORDER BY 1") == extensions
        (old,) = ours(postgres_server)
        assert old.startswith("samaops_replaced_")
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            postgres_server.run("SELECT 1", database=old)
        assert kept_open(pgbouncer_server) == "2"
        back = verified(made(site, "restore undo"))
        after_back = load.done
        eventually(lambda: load.done > after_back + 100)
    assert load.failed == []
    for each in (report, back):
        words = each.actions[-1].result
        assert "waited" in words
        assert int(words.split(" waited ")[1].split()[0]) < 5000
    assert load.slowest < 5
    assert postgres_server.run(EVERYTHING) == before
    assert postgres_server.run("SELECT count(*) > 20000 FROM customers WHERE name = 'load' OR true") == [
        (True,)
    ]
    (kept,) = ours(postgres_server)
    table = restoring.databases(site)
    assert [row["name"] for row in table.rows] == [kept]
    assert table.rows[0]["may_go"] is False
    verified(made(site, "restore forget", kept))
    assert ours(postgres_server) == set()


def test_what_was_written_after_the_backup_is_there_again_after_the_undo(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    site = site_of(values)
    backups.make()
    postgres_server.run("INSERT INTO customers (name) VALUES ('later')")
    count = "SELECT count(*) FROM customers"
    report = verified(made(site, "restore db", ID, wanted=ID))
    assert postgres_server.run(count) == [(ROWS,)]
    assert postgres_server.run("SELECT reltuples FROM pg_class WHERE relname = 'customers'") == [
        (float(ROWS),)
    ]
    back = change.apply(site, history.undo(site, str(report.actions[0].journal)), 10)
    assert not back.errors
    assert postgres_server.run(count) == [(ROWS + 1,)]
    assert len(ours(postgres_server)) == 1, "what was restored is kept as well"


def test_the_undo_of_the_history_is_as_destructive_as_restore_undo(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    site = site_of(values)
    backups.make()
    report = verified(made(site, "restore db", ID, wanted=ID))
    plan = history.undo(site, str(report.actions[0].journal))
    assert str(plan.risk) == "destructive"
    assert "goes out of sight" in plan.steps[0].destroys


KILLED = """
import os, signal, sys
from samaops.clients.database_server import DatabaseServer
where = sys.argv.pop(1)
def die(): os.kill(os.getpid(), signal.SIGKILL)
swap, work = DatabaseServer.swap, DatabaseServer.work
def swapped(self, *arguments, **options):
    if where == "paused": die()
    swap(self, *arguments, **options)
    if where == "swapped": die()
def worked(self, what, *arguments, **options):
    done = work(self, what, *arguments, **options)
    if where == what: die()
    return done
DatabaseServer.swap, DatabaseServer.work = swapped, worked
from samaops.cli.start import main
main()
"""


def killed(where: str, values: dict[str, Any], tmp_path: Path, *words: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(_toml(values))
    file.chmod(0o600)
    command = [sys.executable, "-c", KILLED, where, "--config", str(file), *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr + ended.stdout


def _toml(values: dict[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(each)}" for key, each in values.items() if not isinstance(each, dict)]
    for name, section in values.items():
        if isinstance(section, dict):
            tables = (
                {f"servers.{key}": each for key, each in section.items()}
                if name == "servers"
                else {name: section}
            )
            for title, table in tables.items():
                lines += [f"[{title}]", *(f"{key} = {json.dumps(each)}" for key, each in table.items())]
    return "\n".join(lines) + "\n"


def kept_open(pool: PgBouncerServer) -> str:
    return next(str(row[1]) for row in pool.console("SHOW CONFIG") if row[0] == "min_pool_size")


def is_paused(pool: PgBouncerServer) -> bool:
    return any(row[0] == DATABASE and row[-2] for row in pool.console("SHOW DATABASES"))


@pytest.mark.parametrize("where", ["paused", "swapped"])
def test_killed_between_pause_and_resume_the_pool_goes_on_within_ten_seconds(
    where: str, pooled: dict[str, Any], backups: Backups, postgres_server: PostgresServer,
    pgbouncer_server: PgBouncerServer, tmp_path: Path,
) -> None:  # fmt: skip
    site = site_of(pooled)
    backups.make()
    postgres_server.run("INSERT INTO customers (name) VALUES ('later')")
    # The first client of all is let in by a log-in at PostgreSQL, which a pause cuts off (PgBouncer 1.18).
    with pgbouncer_server.connect() as connection:
        connection.execute("SELECT 1")
    killed(where, pooled, tmp_path, "restore", "db", ID, "--confirm", DATABASE)
    died = time.monotonic()
    assert is_paused(pgbouncer_server)
    with pgbouncer_server.connect() as connection:  # it waits until then
        (count,) = connection.execute("SELECT count(*) FROM customers").fetchone() or (0,)
    assert time.monotonic() - died < 10
    assert not is_paused(pgbouncer_server)
    eventually(lambda: kept_open(pgbouncer_server) == "2")
    assert count == (ROWS if where == "swapped" else ROWS + 1)
    (past,) = history.changes(site, 1)
    assert past.status == "interrupted"
    back = change.apply(site, history.undo(site, "last"), 10)
    assert not back.errors, back.errors
    assert postgres_server.run("SELECT count(*) FROM customers") == [(ROWS + 1,)]
    assert len(ours(postgres_server)) == (1 if where == "swapped" else 0)


def test_killed_while_it_restores_nothing_goes_on_and_undo_leaves_nothing(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    site = site_of(values)
    backups.make()
    killed("load", values, tmp_path, "restore", "db", ID, "--confirm", DATABASE)
    (left,) = ours(postgres_server)
    assert left.startswith(RESTORED)
    assert "left of a restore" in str(restoring.databases(site).rows)
    assert not change.apply(site, history.undo(site, "last"), 10).errors
    assert ours(postgres_server) == set()


def flipped(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def largest(place: Path) -> Path:
    return max((place / "database").glob("*.dat.gz"), key=lambda path: path.stat().st_size)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "a bit is flipped": lambda place: flipped(largest(place)),
    "a file is cut": lambda place: os.truncate(largest(place), largest(place).stat().st_size // 2),
    "a file is gone": lambda place: largest(place).unlink(),
    "the list is empty": lambda place: os.truncate(place / "database" / "toc.dat", 0),
    "the manifest says other things": lambda place: (place / "manifest.json").write_text(
        (place / "manifest.json").read_text().replace('"rows":{', '"rows":{"public.none":7,')
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("verb", ["restore db", "backup drill", "restore table"])
def test_a_damaged_backup_never_comes_in_and_leaves_nothing(
    verb: str, damage: str, values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    site = site_of(values)
    DAMAGES[damage](backups.make())
    before = postgres_server.run(EVERYTHING)
    arguments = ("customers", "customers_then", ID) if verb == "restore table" else (ID,)
    codes = []
    try:
        codes += [each.exit_code for each in made(site, verb, *arguments, wanted=ID).errors]
    except SamaopsError as error:
        codes.append(error.exit_code)
    assert codes in ([2], [77])
    assert ours(postgres_server) == set()
    assert postgres_server.run(EVERYTHING) == before
    assert postgres_server.run("SELECT to_regclass('customers_then')") == [(None,)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"site": "elsewhere"}, "another site|is that of"),
        ({"database": "other"}, "it is of the database other"),
        ({"server_version": "14.9"}, "it is of PostgreSQL 14.9"),
        ({"server_version": "17.1 (Debian 17.1-1)"}, "it is of PostgreSQL 17.1"),
    ],
)
@pytest.mark.parametrize("verb", ["restore db", "backup drill"])
def test_a_backup_of_something_else_is_refused_before_any_command(
    verb: str, changes: dict[str, Any], words: str, values: dict[str, Any], backups: Backups,
    postgres_server: PostgresServer,
) -> None:  # fmt: skip
    backups.make(**changes)
    with pytest.raises(RefusedError, match=words):
        restoring.plan(site_of(values), verb, (ID,), ID)
    assert ours(postgres_server) == set()


def test_a_backup_whose_proof_failed_is_refused_with_the_command_that_proves_it(
    values: dict[str, Any], backups: Backups
) -> None:
    backups.make()
    bad = Grades(readable=Grade("2026-11-28T02:10:00+00:00", is_good=False, reason="toc.dat: cut"))
    row = backups.store.row(ID)
    assert row is not None
    backups.store.update(ID, lambda _old: replace(row, grades=bad))
    with pytest.raises(RefusedError, match="cannot be read to its end") as refused:
        restoring.plan(site_of(values), "restore db", (ID,), ID)
    assert refused.value.hint == f"samaops backup verify {ID}"


def test_nothing_is_restored_under_the_name_of_the_live_one_nor_dropped_that_is_not_ours(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    site = site_of(values)
    backups.make()
    postgres_server.run("CREATE DATABASE samaops_drill_mine", database="postgres")
    with doers.workshop(site) as at:
        of, _manifest = at.source(ID)
        for name in (DATABASE, "postgres", "other"):
            with pytest.raises(ClientError):
                doers.create(at, of, Restoring(of.id, name))
            with pytest.raises(ClientError):
                doers.fill(at, of, name, "whole", 10)
            assert "not touched" in doers.dropped(at, name)
        assert "not touched" in doers.dropped(at, "samaops_drill_mine"), "it has not our mark"
    with pytest.raises(RefusedError, match="not a database that samaops made"):
        restoring.plan(site, "restore forget", ("samaops_drill_mine",))
    with pytest.raises(RefusedError, match="not a database that samaops made"):
        restoring.plan(site, "restore forget", (DATABASE,))
    verified(made(site, "backup drill", ID, wanted=ID))
    assert {DATABASE, "samaops_drill_mine"} <= databases(postgres_server)


def test_a_trial_compares_all_keeps_the_evidence_and_leaves_nothing(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    values["backup"]["drill"] = {"queries": ["SELECT count(*) = 1000 FROM orders"]}
    backups.make()
    report = verified(made(site_of(values), "backup drill", "latest", wanted="latest"))
    assert "21000 rows, nothing is different" in report.actions[0].result
    row = backups.store.row(ID)
    assert row is not None
    assert row.grades.restored is not None
    assert row.grades.restored.is_good
    assert (row.grades.restored.seconds or 0) > 0
    assert ours(postgres_server) == set()


def _with(source: Source, **changes: Any) -> Source:
    return replace(source, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"rows": {"public.customers": 7, "public.orders": 1000}},
            "public.customers: 20000 rows, in the manifest 7",
        ),
        ({"rows": {"public.orders": 1000}}, "public.customers: 20000 rows, in the manifest -"),
    ],
)
def test_a_trial_tells_what_is_different(
    changes: dict[str, Any],
    words: str,
    values: dict[str, Any],
    backups: Backups,
    postgres_server: PostgresServer,
) -> None:
    backups.make(**changes)
    report = made(site_of(values), "backup drill", ID, wanted=ID)
    assert words in report.errors[0].message
    row = backups.store.row(ID)
    assert row is not None
    assert row.grades.restored is not None
    assert not row.grades.restored.is_good
    assert words in row.grades.restored.reason
    assert ours(postgres_server) == set()
    with pytest.raises(RefusedError, match="last trial restore of it failed"):
        restoring.plan(site_of(values), "restore db", (ID,), ID)


def test_a_query_of_the_site_that_is_not_true_fails_the_trial_and_cannot_write(
    values: dict[str, Any], backups: Backups
) -> None:
    values["backup"]["drill"] = {"queries": ["SELECT false", "DELETE FROM orders RETURNING true", "\\! true"]}
    backups.make()
    (error,) = made(site_of(values), "backup drill", ID, wanted=ID).errors
    assert "query 1 gives f" in error.message
    assert "read-only" in error.message
    assert "psql commands are not run" in error.message


def test_a_trial_that_was_killed_is_cleaned_up_by_the_next(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    backups.make()
    killed("load", values, tmp_path, "backup", "drill", ID, "--yes")
    (left,) = ours(postgres_server)
    assert left.startswith(DRILL)
    busy = Mark("drill", ID, DATABASE, time.time())
    postgres_server.run("CREATE DATABASE samaops_drill_busy", database="postgres")
    postgres_server.run(f"COMMENT ON DATABASE samaops_drill_busy IS '{busy.written()}'", database="postgres")
    with postgres_server.connect(database="samaops_drill_busy"):
        verified(made(site_of(values), "backup drill", ID, wanted=ID))
        assert ours(postgres_server) == {"samaops_drill_busy"}, "somebody is in it"
    eventually(
        lambda: (
            postgres_server.run(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'samaops_drill_busy'",
                database="postgres",
            )
            == [(0,)]
        )
    )
    verified(made(site_of(values), "backup drill", ID, wanted=ID))
    assert ours(postgres_server) == set()


def test_a_table_comes_back_beside_the_live_one_with_its_indexes(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    site = site_of(values)
    backups.make()
    postgres_server.run("DELETE FROM orders")
    verified(made(site, "restore table", "orders", "orders_then", ID, wanted=ID))
    assert postgres_server.run("SELECT count(*), max(id) FROM orders_then") == [(1000, 1000)]
    assert postgres_server.run("SELECT count(*) FROM orders") == [(0,)]
    assert postgres_server.run("SELECT nextval(pg_get_serial_sequence('orders_then', 'id'))") == [(1001,)]
    constraints = "SELECT array_agg(contype::text ORDER BY contype) FROM pg_constraint WHERE conrelid = 'orders_then'::regclass"
    assert postgres_server.run(constraints) == [(["c", "p"],)], "no foreign key"
    with pytest.raises(RefusedError, match="There is a table public"):
        restoring.plan(site, "restore table", ("orders", "orders_then", ID), ID)
    assert ours(postgres_server) == set()


def test_a_table_that_was_dropped_by_mistake_is_back_under_its_own_name(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    site = site_of(values)
    backups.make()
    postgres_server.run("DROP TABLE customers CASCADE")
    verified(made(site, "restore table", "public.customers", "customers", "latest", wanted="latest"))
    assert postgres_server.run("SELECT count(*) FROM customers") == [(ROWS,)]
    indexes = "SELECT array_agg(relname::text ORDER BY relname) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = 'customers'::regclass"
    assert postgres_server.run(indexes) == [(["customers_email", "customers_pkey"],)]
    with pytest.raises(RefusedError, match="has no table public"):
        restoring.plan(site, "restore table", ("nothing", "x", ID), ID)


def test_a_database_that_is_lost_comes_back_with_all_its_properties(
    pooled: dict[str, Any],
    backups: Backups,
    postgres_server: PostgresServer,
    pgbouncer_server: PgBouncerServer,
) -> None:
    site = site_of(pooled)
    backups.make()
    before = postgres_server.run(EVERYTHING)
    postgres_server.run(f"DROP DATABASE {DATABASE} WITH (FORCE)", database="postgres")
    plan = restoring.plan(site, "restore db", ("latest",), "latest")
    assert str(plan.risk) == "disruptive", "nothing is lost by it"
    verified(change.apply(site, plan, 10))
    assert postgres_server.run(EVERYTHING) == before

    def serves() -> bool:
        try:
            with pgbouncer_server.connect() as connection:
                return connection.execute("SELECT count(*) FROM customers").fetchone() == (ROWS,)
        except psycopg.Error:
            return False

    eventually(serves)


@contextmanager
def transaction(pool: PgBouncerServer) -> Iterator[None]:
    with pool.connect() as connection:
        connection.autocommit = False
        connection.execute("SELECT 1")
        yield
        connection.rollback()


def test_a_transaction_that_does_not_end_is_waited_for_and_not_cut_off(
    pooled: dict[str, Any], backups: Backups, postgres_server: PostgresServer, pgbouncer_server: PgBouncerServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("samaops.changes.run.restoring_swap.BETWEEN_SECONDS", 0.1)
    site = site_of(pooled)
    backups.make()
    plan = restoring.plan(site, "restore db", (ID,), ID)
    reports: list[Report] = []
    thread = threading.Thread(target=lambda: reports.append(change.apply(site, plan, 10)))
    with transaction(pgbouncer_server):
        thread.start()
        eventually(lambda: "is in its transaction for" in progress.latest(), 60)
    thread.join(60)
    verified(reports[0])
    assert not is_paused(pgbouncer_server)


def test_who_dumps_the_database_is_not_cut_off(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    backups.make()
    with (
        postgres_server.connect(application_name="pg_dump"),
        pytest.raises(RefusedError, match="dump: pid"),
    ):
        restoring.plan(site_of(values), "restore db", (ID,), ID)


def test_a_prepared_transaction_would_hold_the_renaming_for_ever(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    backups.make()
    with postgres_server.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO orders (amount) VALUES (1)")
        connection.execute("PREPARE TRANSACTION 'held'")
    try:
        with pytest.raises(RefusedError, match="1 prepared transactions"):
            restoring.plan(site_of(values), "restore db", (ID,), ID)
    finally:
        postgres_server.run("ROLLBACK PREPARED 'held'")


def test_only_the_rows_for_which_a_condition_is_true_come_back(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    site = site_of(values)
    backups.make()
    postgres_server.run("DELETE FROM orders WHERE id < 100")

    def bring(name: str, where: str) -> Report:
        return made(site, "restore table", "orders", name, ID, where, wanted=ID)

    verified(bring("orders_7", "id <= 7 AND amount::int > 2"))
    assert postgres_server.run("SELECT array_agg(id ORDER BY id) FROM orders_7") == [([3, 4, 5, 6, 7],)]
    assert "no row of public.orders" in bring("orders_none", "id < 0").errors[0].message
    assert postgres_server.run("SELECT to_regclass('orders_none')") == [(None,)]
    assert ours(postgres_server) == set()


def test_a_condition_may_do_no_more_than_the_owner_of_the_table(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    postgres_server.run("ALTER TABLE orders OWNER TO samaconso_user")
    backups.make()
    where = "pg_read_file('postgresql.auto.conf') <> ''"
    report = made(site_of(values), "restore table", "orders", "stolen", ID, where, wanted=ID)
    assert "permission denied" in report.errors[0].message


NUMBER = (
    "CREATE TABLE alembic_version (version_num text PRIMARY KEY); INSERT INTO alembic_version VALUES ('bbb')"
)
TABLE = "public.alembic_version"
BOOKED = "UPDATE alembic_version SET version_num = '{to}' WHERE version_num = '{came_from}'"


def moving(came_from: str, to: str, *statements: str) -> Migrating:
    return Migrating(came_from, to, (*statements, BOOKED.format(to=to, came_from=came_from)), TABLE)


UP = moving("aaa", "bbb", "ALTER TABLE customers ADD COLUMN email text")
DOWN = moving("bbb", "aaa", "ALTER TABLE customers DROP COLUMN email")


def shape(server: PostgresServer) -> list[tuple[Any, ...]]:
    return server.run(
        "SELECT (SELECT version_num FROM alembic_version), count(*) FROM pg_attribute"
        " WHERE attrelid = 'customers'::regclass AND attnum > 0 AND NOT attisdropped"
    )


def test_a_downgrade_is_proved_on_a_copy_alone(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer
) -> None:
    for statement in NUMBER.split("; "):
        postgres_server.run(statement)
    backups.make()
    site, before = site_of(values), shape(postgres_server)
    deletes = moving("bbb", "aaa", "DELETE FROM orders WHERE id < 8")
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, ""),
        ({"takes": ()}, "more would go than the plan says: public.customers.email"),
        ({"down": deletes, "up": moving("aaa", "bbb", "ALTER TABLE nothing ADD COLUMN x int")}, "rows would go of which the plan says nothing: public.orders; the way up again fails"),
        ({"younger_than": 4e9}, "was not made just now"),
    ]  # fmt: skip
    for changes, words in cases:
        wanted: dict[str, Any] = {"into": f"{DRILL}proof", "younger_than": 0.0, "down": DOWN, "up": UP}
        rehearsing = Rehearsing(**{**wanted, "takes": ("public.customers.email",), **changes})
        outcome = operations.run(Operation(REHEARSE, to_builtins(rehearsing), "db", 60.0), site)
        assert outcome.is_ok == (not words), outcome.output
        assert words in outcome.output
        assert shape(postgres_server) == before
        assert ours(postgres_server) == set()


def test_the_live_database_goes_down_whole_or_not_at_all(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in NUMBER.split("; "):
        postgres_server.run(statement)
    backups.directory.mkdir(exist_ok=True)
    site, before = site_of(values), shape(postgres_server)

    def go(of: Migrating) -> Outcome:
        return operations.run(Operation(MIGRATE, to_builtins(of), "db", 30.0), site)

    half = moving(
        "bbb", "aaa", "ALTER TABLE customers DROP COLUMN email", "ALTER TABLE nothing ADD COLUMN x int"
    )
    assert (go(half).is_ok, shape(postgres_server)) == (False, before)
    assert "not at the revision" in go(UP).output
    assert "do not lead to the revision" in go(Migrating("bbb", "aaa", DOWN.statements[:1], TABLE)).output
    monkeypatch.setattr(rollback_database, "TRIES", 2)
    monkeypatch.setattr(rollback_database, "BETWEEN_SECONDS", 0.1)
    with postgres_server.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE customers IN ACCESS SHARE MODE")
        refused = go(DOWN)
        holder.rollback()
    assert "lock timeout" in refused.output
    assert shape(postgres_server) == before
    assert go(DOWN).is_ok
    assert shape(postgres_server) == [("aaa", before[0][1] - 1)]
    assert go(UP).is_ok
    assert shape(postgres_server) == before


def test_a_trial_opens_what_is_encrypted_and_compares_rows_with_objects(
    values: dict[str, Any], backups: Backups, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("age-keygen") is None:
        pytest.skip("needs the Debian package age")
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    recipient = next(line.rpartition(" ")[2] for line in key.splitlines() if "public key" in line)
    place = backups.make()
    closed = subprocess.run(["age", "-r", recipient], input=b"x", capture_output=True, check=True).stdout
    (place / "samaops").mkdir()
    (place / "samaops" / "config.toml.age").write_bytes(closed)
    backups.describe(objects=ID, more=("samaops/config.toml.age",))
    objects = backups.directory / "objects"
    (objects / "objects").mkdir(parents=True)
    kept = [Kept("documents", name, 1, "e", "m", "s") for name in ("customer-1", "customer-3")]
    lines = b"".join(msgspec.json.encode(each) + b"\n" for each in kept)
    (objects / "objects" / f"{ID}.jsonl.gz").write_bytes(gzip.compress(lines))
    for path in (place / "samaops", objects):
        subprocess.run(["chown", "-R", "postgres:", str(path)], check=False)
    monkeypatch.setenv("KEY", key)
    references = ["SELECT 'documents/customer-' || id FROM customers WHERE id IN (1, 3);"]
    section = values["backup"]

    def drilled(**drill: Any) -> Report:
        section["drill"], section["objects"] = drill, {"directory": str(objects)}
        return made(site_of(values), "backup drill", ID, wanted=ID)

    result = verified(drilled(references=references, identity={"env": "KEY"})).actions[0].result
    assert "1 encrypted part opened" in result
    assert "2 objects to which rows point are in the copy" in result
    assert "1 encrypted part was not opened" in verified(drilled()).actions[0].result
    other = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("OTHER", other)
    references = ["SELECT 'documents/customer-' || id FROM customers WHERE id < 4"]
    report = drilled(references=references, identity={"env": "OTHER"})
    titles = "; ".join(f"{finding.status}: {finding.title}" for finding in report.findings)
    assert "rows point to 1 object that is not in the copy: documents/customer-2" in titles
    assert "samaops/config.toml.age: " in titles
    assert titles.count("critical") == 2
    assert "restore db" in restoring.plan(site_of(values), "restore db", (ID,), ID).verb, "it can be restored"
