"""What a DBA sees of sizes, statements, bloat, indexes and plans of a real PostgreSQL, beside what other tools see."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.model.table import Table
from samaops.site.site import Site
from samaops.workflows.database import bloat, explain, indexes, size, slow
from tests.service.postgres_server import PASSWORD, PostgresServer, postgres_server

__all__ = ["postgres_server"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
DATABASE = "sizes"
CHECK_PGACTIVITY = Path("/usr/lib/nagios/plugins/check_pgactivity")
SET_UP = """
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION pgstattuple;
CREATE TABLE customers (id int PRIMARY KEY, phone text, note text);
INSERT INTO customers SELECT i, '77' || i, md5(i::text) FROM generate_series(1, 40000) AS i;
CREATE INDEX customers_phone ON customers (phone);
CREATE INDEX customers_phone_too ON customers (phone);
CREATE INDEX customers_note ON customers (note);
CREATE INDEX customers_note_id ON customers (note, id);
CREATE INDEX customers_lower ON customers (lower(note));
CREATE TABLE orders (code text UNIQUE, customer int REFERENCES customers (id));
CREATE INDEX orders_code ON orders (code);
CREATE TABLE documents AS SELECT i AS id,
    (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 300) AS j) AS text
FROM generate_series(1, 3000) AS i;
CREATE TABLE secrets AS SELECT i FROM generate_series(1, 20000) AS i;
CREATE TABLE twice (x int);
INSERT INTO twice VALUES (1), (1);
GRANT SELECT ON customers, orders, documents, twice TO samaops
"""


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A database of our own: tables that are full of holes, and one that nobody lets us read."""
    postgres_server.run(f"CREATE DATABASE {DATABASE}", database="postgres")
    run(postgres_server, *SET_UP.split(";"))
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(postgres_server, "CREATE UNIQUE INDEX CONCURRENTLY twice_x ON twice (x)")
    run(postgres_server, "DELETE FROM customers WHERE id % 4 <> 0", "DELETE FROM documents WHERE id % 2 = 0")
    run(postgres_server, "VACUUM ANALYZE")
    yield postgres_server
    postgres_server.run(f"DROP DATABASE {DATABASE} WITH (FORCE)", database="postgres")


def run(server: PostgresServer, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements one by one and return the rows of the last."""
    return [server.run(statement, database=DATABASE) for statement in statements][-1]


def site_of(server: PostgresServer, database: str = DATABASE, user: str = "samaops") -> Site:
    values = {
        "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
        "postgresql": {
            "host": "127.0.0.1", "port": server.port, "password": PASSWORD, "database": database, "user": user,
        },
    }  # fmt: skip
    return Site(Settings.model_validate(values))


@pytest.fixture
def site(database: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return site_of(database)


def rows_of(table: Table, key: str = "name") -> dict[str, Any]:
    return {row[key]: row for row in table.rows}


def witness(server: PostgresServer, service: str, *options: str) -> str:
    """Return what check_pgactivity says of a service of our database."""
    if not CHECK_PGACTIVITY.exists():
        pytest.skip("needs the Debian package check-pgactivity")
    command = [
        str(CHECK_PGACTIVITY), "-s", service, "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres",
        "--dbinclude", DATABASE, "--format", "debug", *options,
    ]  # fmt: skip
    environment = {**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def test_sizes_are_those_that_others_measure(site: Site, database: PostgresServer, tmp_path: Path) -> None:
    table = size.sizes(site, size.Wanted())
    rows = rows_of(table)
    ((expected,),) = run(database, "SELECT pg_database_size('sizes')")
    assert rows[DATABASE]["size_bytes"] == pytest.approx(expected, abs=65536)
    seen = witness(
        database, "database_size", "-w", "1TB", "-c", "2TB", "--status-file", str(tmp_path / "check")
    )
    assert int(re.findall(r"'sizes','(\d+)','B'", seen)[0]) == pytest.approx(expected, abs=65536)
    ((whole, of_indexes),) = run(
        database, "SELECT pg_total_relation_size('customers'), pg_indexes_size('customers')"
    )
    customers = rows["public.customers"]
    assert (customers["size_bytes"], customers["index_bytes"]) == (whole, of_indexes)
    disk = table.rows[0]
    at = os.statvfs(database.directory)
    assert (disk["kind"], disk["size_bytes"]) == ("disk", pytest.approx(at.f_blocks * at.f_frsize, rel=0.01))
    assert disk["full_in_seconds"] is None
    assert "no date" in table.answer
    assert table.is_whole


def test_what_grew_is_seen_by_the_next_look(site: Site, database: PostgresServer) -> None:
    size.sizes(site, size.Wanted())
    run(database, "CREATE TABLE growing AS SELECT md5(i::text) FROM generate_series(1, 20000) AS i")
    try:
        table = size.sizes(site, size.Wanted(sort="growth", limit=1))
    finally:
        run(database, "DROP TABLE growing")
    row = table.rows[-1]
    assert row["name"] == "public.growing"
    assert row["growth_bytes"] == row["size_bytes"] > 1_000_000


@pytest.mark.parametrize(
    "look",
    [
        lambda site: size.sizes(site, size.Wanted()),
        lambda site: bloat.bloat(site, 20),
        lambda site: indexes.indexes(site, 20),
    ],
    ids=["size", "bloat", "indexes"],
)
def test_nobody_who_holds_a_table_exclusively_holds_up_a_look(
    site: Site, database: PostgresServer, look: Callable[[Site], Table]
) -> None:
    with database.connect(database=DATABASE, autocommit=False) as connection:
        connection.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
        table = look(site)
        row = rows_of(table).get("public.customers")
    assert table.rows
    assert row is None or row["size_bytes"] > 0
    assert row is None or row.get("is_exact") in (None, False)


class Working(slow.Waiting):
    """In place of the wait: what happens meanwhile."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work

    def wait(self, _seconds: float, *, ends_early: bool) -> bool:
        self._work()
        return ends_early


def test_statements_are_counted_between_two_moments(site: Site, database: PostgresServer) -> None:
    counted = "SELECT count(*) FROM customers WHERE note <> 'a secret of a customer' -- 4711"
    run(database, "SELECT pg_sleep(0.001)")
    working = Working(lambda: run(database, *[counted] * 5, "SELECT pg_sleep(0.2)"))
    table = slow.slow(site, slow.Wanted(), working)
    first, second = table.rows[:2]
    assert (first["query"], first["calls"]) == ("SELECT pg_sleep($1)", 1)
    assert first["mean_ms"] == pytest.approx(200, abs=60)
    assert (second["calls"], second["rows"]) == (5, 5)
    assert 0 < second["hit_percent"] <= 100
    assert "secret" not in second["query"]
    assert "4711" not in second["query"]
    assert sum(row["share_percent"] for row in table.rows) == pytest.approx(100, abs=1)
    assert table.is_whole


def test_a_reset_meanwhile_is_said(site: Site, database: PostgresServer) -> None:
    table = slow.slow(
        site, slow.Wanted(), Working(lambda: run(database, "SELECT pg_stat_statements_reset()"))
    )
    assert any("reset while we looked" in note for note in table.notes)


def test_all_that_was_counted_comes_at_once(site: Site, database: PostgresServer) -> None:
    run(database, *["SELECT 4 + 4 AS eight"] * 3)
    table = slow.slow(site, slow.Wanted(since_reset=True, limit=500), slow.Waiting())
    assert rows_of(table, "query")["SELECT $1 + $2 AS eight"]["calls"] >= 3


def test_a_database_without_the_extension_says_what_is_missing(site: Site, database: PostgresServer) -> None:
    other = site_of(database, "postgres")
    for table in (
        slow.slow(other, slow.Wanted(0.1), slow.Waiting()),
        explain.explain(other, explain.Wanted("12")),
        bloat.exact(other, "pg_class", 100),
    ):
        assert not table.is_whole
        assert any("CREATE EXTENSION" in command for command in table.commands)


def test_a_role_that_may_see_nothing_says_which_right_is_missing(
    site: Site, database: PostgresServer
) -> None:
    run(database, "SELECT 1")
    other = site_of(database, user="outsider")
    table = slow.slow(other, slow.Wanted(since_reset=True), slow.Waiting())
    assert not table.is_whole
    assert any("pg_monitor" in note for note in table.notes)
    assert not bloat.exact(other, "customers", 100).is_whole


def test_the_estimate_is_near_what_is_measured_and_what_another_estimates(
    site: Site, database: PostgresServer
) -> None:
    table = bloat.bloat(site, 50)
    rows = rows_of(table)
    seen = {
        **_estimates(witness(database, "table_bloat", "-w", "1%", "-c", "99%")),
        **_estimates(witness(database, "btree_bloat", "-w", "1%", "-c", "99%")),
    }
    for name in ("customers", "documents"):
        ((free, dead),) = run(database, f"SELECT free_percent, dead_tuple_percent FROM pgstattuple('{name}')")
        measured = rows_of(bloat.exact(site, name, 100), "kind")["table"]["bloat_percent"]
        assert measured == pytest.approx(free + dead, abs=2)
        assert rows[f"public.{name}"]["bloat_percent"] == pytest.approx(measured, abs=5)
        if name in seen:  # it takes a TOAST for part of the table
            assert name == "documents" or rows[f"public.{name}"]["bloat_percent"] == pytest.approx(
                seen[name], abs=5
            )
    for name in ("customers_pkey", "customers_phone", "customers_note"):
        measured = bloat.exact(site, name, 100).rows[0]["bloat_percent"]
        assert rows[f"public.{name}"]["bloat_percent"] == pytest.approx(measured, abs=6)
        assert rows[f"public.{name}"]["bloat_percent"] == pytest.approx(seen[name], abs=8)
    assert "TOAST" in rows["public.documents"]["remark"]


def _estimates(shown: str) -> dict[str, float]:
    return {name: float(percent) for name, percent in re.findall(r"public\.(\w+) .*\((\d+\.\d+)%\)", shown)}


def test_a_table_that_we_may_not_read_is_unknown(site: Site) -> None:
    table = bloat.bloat(site, 50)
    row = rows_of(table)["public.secrets"]
    assert (row["bloat_bytes"], row["bloat_percent"], row["is_known"]) == (None, None, False)
    assert not table.is_whole
    assert any("public.secrets" in note and "role.sql" in note for note in table.notes)


def test_what_is_too_large_or_nothing_is_not_measured(site: Site) -> None:
    with pytest.raises(RefusedError, match="--at-most"):
        bloat.exact(site, "public.customers", 1)
    with pytest.raises(UsageError, match="no table or index"):
        bloat.exact(site, "nothing", 1)
    with pytest.raises(UsageError, match="no b-tree"):
        bloat.exact(site, "pg_stat_activity", 1)


def test_indexes_are_useless_or_missing_and_what_enforces_is_never_dropped(
    site: Site, database: PostgresServer
) -> None:
    table = indexes.indexes(site, 100)
    rows = {(row["class"], row["name"]): row for row in table.rows}
    assert rows["invalid", "public.twice_x"]["next"] == "samaops db reindex public.twice_x"
    assert "twice_x" in witness(database, "invalid_indexes")
    duplicate = rows["duplicate", "public.customers_phone_too"]
    assert duplicate["next"] == "samaops db index drop public.customers_phone_too"
    assert duplicate["covered_by"] == "public.customers_phone"
    assert rows["duplicate", "public.orders_code"]["covered_by"] == "public.orders_code_key"
    assert rows["covered", "public.customers_note"]["covered_by"] == "public.customers_note_id"
    lacking = rows["foreign key", "public.orders"]
    assert lacking["next"] == "samaops db index create public.orders customer"
    # seen once: proposed is nothing, and the one that another is dropped for stays anyway
    assert all(row["next"] is None for row in table.rows if row["class"] == "unused")
    assert rows["unused", "public.customers_lower"]["watched_seconds"] == 0
    names = {row["name"] for row in table.rows}
    assert not names & {"public.customers_pkey", "public.orders_code_key"}


def test_a_large_table_that_is_read_whole_again_and_again_is_named(
    site: Site, database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "_LARGE_BYTES", 100_000)
    run(database, *["SELECT count(*) FROM documents WHERE id = 0"] * 12)
    table = indexes.indexes(site, 100)
    row = {row["name"]: row for row in table.rows if row["class"] == "sequential"}["public.documents"]
    assert row["next"] is None
    assert row["scans"] >= 12


def test_a_normalized_statement_has_a_plan_for_all_values(site: Site, database: PostgresServer) -> None:
    run(database, "SELECT phone FROM customers WHERE note = 'a secret' LIMIT 5")
    found = rows_of(slow.slow(site, slow.Wanted(since_reset=True, limit=500), slow.Waiting()), "query")
    queryid = found["SELECT phone FROM customers WHERE note = $1 LIMIT $2"]["queryid"]
    table = explain.explain(site, explain.Wanted(queryid))
    assert {"Index Scan", "Limit"} & {row["node"] for row in table.rows}
    assert any("$1" in note for note in table.notes)


def test_a_plan_names_what_matters_and_shows_no_values(site: Site) -> None:
    text = "SELECT * FROM customers WHERE note || phone = 'a secret';"
    table = explain.explain(site, explain.Wanted(text=text))
    assert "reads all of customers" in table.answer
    assert "secret" not in str(table)
    measured = explain.explain(site, explain.Wanted(text=text, analyze=True))
    assert measured.rows[0]["actual_rows"] == 0
    assert measured.answer.startswith("Run and rolled back")


def test_nothing_is_written_by_a_plan(site: Site, database: PostgresServer) -> None:
    run(database, "GRANT DELETE ON customers TO samaops")
    before = run(database, "SELECT count(*) FROM customers")
    table = explain.explain(site, explain.Wanted(text="DELETE FROM customers"))
    assert table.rows[0]["node"] == "ModifyTable"
    gone = "WITH gone AS (DELETE FROM customers RETURNING id) SELECT count(*) FROM gone"
    with pytest.raises(RefusedError, match="read-only"):
        explain.explain(site, explain.Wanted(text=gone, analyze=True))
    assert run(database, "SELECT count(*) FROM customers") == before


def test_the_server_itself_takes_one_statement_only(
    site: Site, database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where our own reading of the text was deceived."""
    monkeypatch.setattr(explain, "require_explainable", lambda *_arguments, **_options: None)
    text = "SELECT 1; SET default_transaction_read_only = off; DROP TABLE twice"
    with pytest.raises(UsageError, match="multiple commands"):
        explain.explain(site, explain.Wanted(text=text))
    assert run(database, "SELECT count(*) FROM twice") == [(2,)]


def test_a_statement_that_takes_too_long_is_ended(site: Site) -> None:
    with pytest.raises(UnavailableError, match=r"within 0\.2 s"):
        explain.explain(site, explain.Wanted(text="SELECT pg_sleep(30)", analyze=True, seconds=0.2))


def test_a_table_that_we_may_not_read_has_no_plan_for_us(site: Site) -> None:
    table = explain.explain(site, explain.Wanted(text="SELECT * FROM secrets"))
    assert not table.is_whole
    assert "permission denied" in table.answer
