#!/usr/bin/env python3
"""Every look of `samaops db` on 10,000 tables and 5,000 statements, against psql with the plain query; exit 1 when one is late.

    PYTHONPATH=. .venv/bin/python benchmarks/database_looks.py [--tables N] [--statements N] [--times N]

Each is a process of its own, started anew each time; the middle of several. The server is made for it, and removed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from table import Part, Row, milliseconds, show

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from samaops.cli.database.group import app  # noqa: E402 - found by the line above
from samaops.cli.looking import LookCommand  # noqa: E402
from tests.service.postgres_server import DATABASE, PASSWORD, PostgresServer, running_postgres  # noqa: E402

BOUND_SECONDS = 1.0
LONGER_SECONDS = {"size": 2.0, "indexes": 2.0}
AT_ONCE = 200  # tables in one transaction: each takes locks
PROCESS_SECONDS = 60
PROCESSORS = os.cpu_count() or 1
# What a person would type without samaops.
PLAIN = {
    "activity": "SELECT * FROM pg_stat_activity ORDER BY xact_start",
    "size": "SELECT relid::regclass, pg_total_relation_size(relid) FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT 20",
    "slow": "SELECT query, calls, total_exec_time FROM pg_stat_statements ORDER BY 3 DESC LIMIT 20",
    "indexes": "SELECT indexrelid::regclass, idx_scan, pg_relation_size(indexrelid) FROM pg_stat_user_indexes"
    " JOIN pg_index USING (indexrelid) WHERE idx_scan = 0 AND NOT indisunique ORDER BY 3 DESC",
    "explain": "EXPLAIN SELECT value FROM t1 WHERE id = 1",
    "bloat": "SELECT relname, n_dead_tup FROM pg_stat_user_tables ORDER BY n_dead_tup DESC LIMIT 20",
}
TABLES = """
DO $$ BEGIN FOR i IN {first}..{last} LOOP
    EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, value text, other int)', i);
    EXECUTE format('CREATE INDEX ON t%s (value)', i);
    EXECUTE format('INSERT INTO t%s SELECT i, md5(i::text), i FROM generate_series(1, 100) AS i', i);
END LOOP; END $$
"""


def main() -> int:
    """Make the server, measure, print, and say whether all were in time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("--tables", 10_000), ("--statements", 5_000), ("--times", 5)):
        parser.add_argument(name, type=int, default=default)
    chosen = parser.parse_args()
    extra = "max_locks_per_transaction = 256\npg_stat_statements.max = 10000"
    with running_postgres(extra) as server, tempfile.TemporaryDirectory() as place:
        fill(server, chosen.tables, chosen.statements)
        part = measured(server, Path(place), chosen.times)
    show([part])
    return 0 if all(row.holds for row in part.rows) else 1


def fill(server: PostgresServer, tables: int, statements: int) -> None:
    """Make the tables, each with two indexes, and as many statements, each counted by itself."""
    with server.connect() as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        for first in range(1, tables + 1, AT_ONCE):
            last = min(tables, first + AT_ONCE - 1)
            connection.execute(TABLES.format(first=first, last=last).encode())
        connection.execute("VACUUM ANALYZE")
        for number in range(1, statements + 1):
            connection.execute(
                f"SELECT value FROM t{1 + number % tables} WHERE id + {number // tables} > 1".encode()
            )
        connection.execute("GRANT samaconso_user TO samaops")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO samaops")


def measured(server: PostgresServer, place: Path, times: int) -> Part:
    """Run each look, and psql, in turns; a look that fails is no measurement."""
    configuration = place / "samaops.toml"
    configuration.write_text(
        '[servers.db]\naddress = "127.0.0.1"\nssh = "local"\n'
        f'[postgresql]\nhost = "127.0.0.1"\nport = {server.port}\npassword = "{PASSWORD}"\n'
    )
    configuration.chmod(0o600)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(place), "PGPASSWORD": PASSWORD,
    }  # fmt: skip
    samaops = [sys.executable, "-m", "samaops", "--config", str(configuration), "db"]
    psql = ["psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "-d", DATABASE, "-c"]
    document = json.loads(
        run([*samaops, "slow", "--since-reset", "--limit", "1000", "-o", "json"], environment)[1]
    )
    queryid = next(row["queryid"] for row in document["slow"] if str(row["query"]).startswith("SELECT value"))
    more = {"slow": ["--since-reset"], "cache": ["--since-reset"], "explain": [queryid]}
    rows = []
    for name in looks():
        own, work, reference = [], [], []
        for _each in range(times):
            before = processor_seconds(server)
            own.append(run([*samaops, name, *more.get(name, [])], environment)[0])
            work.append(processor_seconds(server) - before)
            if name in PLAIN:
                reference.append(run([*psql, PLAIN[name]], environment)[0])
        plain = statistics.median(reference) if reference else None
        rows.append(row(name, statistics.median(own), statistics.median(work), plain))
    nothing = statistics.median(run([*samaops[:-1], "--version"], environment)[0] for _each in range(times))
    load = os.getloadavg()[0]
    notes = (
        f"samaops --version, which looks at nothing, takes {milliseconds(nothing)} here; load {load:.1f}",
        f"work: processor time of samaops and of its sessions in PostgreSQL; where more than {PROCESSORS} programs want a "
        "processor, a bound is held against it",
        "reference: psql with one plain query of the same catalogs, without growth, history, flags or estimates",
    )
    return Part(tuple(rows), notes)


def looks() -> Sequence[str]:
    """Return the names of all commands of `samaops db` that look."""
    return sorted(
        str(command.name or getattr(command.callback, "__name__", ""))
        for command in app.registered_commands
        if command.cls is not None and issubclass(command.cls, LookCommand)
    )


def processor_seconds(server: PostgresServer) -> float:
    """Return what our programs and the server's sessions that have ended have taken of the processors."""
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    of_server = (server.directory / "data" / "postmaster.pid").read_text().split()[0]
    # Of the postmaster's children that it has waited for, in ticks: fields 16 and 17 of proc(5)'s stat.
    ticks = Path(f"/proc/{of_server}/stat").read_text().rpartition(")")[2].split()[13:15]
    return ours.ru_utime + ours.ru_stime + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def row(name: str, own: float, work: float, reference: float | None) -> Row:
    """Return a line of the table: how long a look took and worked, against its bound and psql."""
    bound = LONGER_SECONDS.get(name, BOUND_SECONDS)
    is_shared = os.getloadavg()[0] > PROCESSORS
    return Row(
        f"db {name}",
        milliseconds(reference) if reference else "-",
        f"{milliseconds(own)}, work {milliseconds(work)}",
        f"{own / reference:.1f}" if reference else "",
        f"{bound:.0f} s",
        (work if is_shared else own) <= bound,
    )


def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, str]:
    """Return how long a command took, and what it wrote; one that could not look ends the benchmark."""
    started = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PROCESS_SECONDS, check=False
    )
    seconds = time.monotonic() - started
    if done.returncode not in (0, 1, 2):
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return seconds, done.stdout


if __name__ == "__main__":
    sys.exit(main())
