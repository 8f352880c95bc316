#!/usr/bin/env python3
"""Each changing verb of `samaops db` under a steady load, killed with SIGKILL at its step, undone or typed again; exit 1 when one goes wrong.

    PYTHONPATH=. .venv/bin/python benchmarks/killed.py [--seconds 240]

A PostgreSQL of its own, eight clients of pgbench. The journal tells when a step has begun: from then on the program is killed
after each of DELAYS. Then the words are typed again, or `samaops undo` takes the change back, and the server tells what is so:
the setting, the slot, the index, the session. At the end two control machines vacuum at once: the second gets 75.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from upkeep import SERVER, configured, environment, load, slowest_ms

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.service.postgres_server import PostgresServer, binaries, running_postgres  # noqa: E402 - found by the line above

# Seconds after the step is in the journal.
DELAYS = (0.0, 0.01, 0.05, 0.2)
BEGIN_SECONDS, RUN_SECONDS = 60.0, 90.0
GRANTS = """
GRANT ALTER SYSTEM ON PARAMETER work_mem TO samaops; GRANT EXECUTE ON FUNCTION pg_reload_conf() TO samaops;
GRANT SELECT ON pg_file_settings TO samaops; GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO samaops;
GRANT pg_monitor, pg_checkpoint, pg_signal_backend, samaconso_user TO samaops; ALTER ROLE samaops REPLICATION;
"""
BUSY = "SELECT pid FROM pg_stat_activity WHERE application_name = 'report'"
VACUUM = "SELECT 1 FROM pg_stat_progress_vacuum"
LEFT = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
SET = "SELECT count(*) FROM pg_file_settings WHERE name = 'work_mem' AND setting = '5MB' AND applied"


class Killed(Struct, frozen=True):
    """A verb: what makes ready for it, its words, and what the server says (true or false) once it is done; ``undo`` takes it back."""

    name: str
    make: Callable[[PostgresServer], None]
    words: Callable[[PostgresServer], Sequence[str]]
    is_done: Callable[[PostgresServer], bool]
    undo: bool


def _one(server: PostgresServer, statement: str) -> object:
    rows = server.run(statement)
    return rows[0][0] if rows else None


def _report(server: PostgresServer) -> None:
    """Start a session that works, as a client would, unless one does."""
    if not server.run(BUSY):
        env = {**os.environ, "PGPASSWORD": "", "PGAPPNAME": "report"}
        env.update(
            PGHOST="127.0.0.1", PGPORT=str(server.port), PGDATABASE="samaconso", PGUSER="samaconso_user"
        )
        env["PGPASSWORD"] = environment(server, server.directory)["PGPASSWORD"]
        sleep = [str(binaries() / "psql"), "-c", "SELECT pg_sleep(600)"]
        subprocess.Popen(sleep, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not server.run(BUSY):
            time.sleep(0.05)


def _slot(server: PostgresServer) -> None:
    if not server.run("SELECT 1 FROM pg_replication_slots"):
        server.run("SELECT pg_create_physical_replication_slot('ancien_replica')")


def _index(server: PostgresServer) -> None:
    server.run("CREATE INDEX IF NOT EXISTS by_balance ON pgbench_accounts (abalance)")
    server.run("ALTER TABLE pgbench_accounts OWNER TO samaconso_user")


VERBS = (
    Killed(
        "db set",
        lambda _server: None,
        lambda _server: ("db", "set", "work_mem", "5MB"),
        lambda server: bool(_one(server, SET)),
        undo=True,
    ),
    Killed(
        "db slot drop",
        _slot,
        lambda _server: ("db", "slot", "drop", "ancien_replica"),
        lambda server: not server.run("SELECT 1 FROM pg_replication_slots"),
        undo=False,
    ),
    Killed(
        "db checkpoint",
        lambda _server: None,
        lambda _server: ("db", "checkpoint"),
        lambda _server: True,
        undo=False,
    ),
    Killed(
        "db index drop",
        _index,
        lambda _server: ("db", "index", "drop", "by_balance"),
        lambda server: not server.run("SELECT 1 FROM pg_class WHERE relname = 'by_balance'"),
        undo=True,
    ),
    Killed(
        "db terminate",
        _report,
        lambda server: ("db", "terminate", str(_one(server, BUSY))),
        lambda server: not server.run(f"{BUSY} AND state = 'active'"),
        undo=False,
    ),
)


def journal(directory: Path) -> list[tuple[str, str]]:
    """Return each line of the journal: the change, and what the line tells."""
    file = directory / "samaops" / "history.sqlite3"
    if not file.exists():
        return []
    # What a program was writing when it was killed is taken back by whoever reads next: that is a write.
    with sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=5) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'samaops_events'").fetchone():
            return []  # it is being made
        return list(connection.execute("SELECT change, kind FROM samaops_events ORDER BY number"))


def killed_at_its_step(command: list[str], env: dict[str, str], directory: Path, delay: float) -> str:
    """Kill a change so long after its step has begun; return what its journal says last, "" when it had not begun."""
    before = len(journal(directory))
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends_at = time.monotonic() + BEGIN_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        if any(kind == "step_begun" for _change, kind in journal(directory)[before:]):
            break
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.wait()
    return next((kind for _change, kind in reversed(journal(directory)[before:])), "")


def typed(command: list[str], env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    return done.returncode, " ".join(done.stderr.split())


def measured(server: PostgresServer, directory: Path, each: Killed) -> tuple[dict[str, object], list[str]]:
    """Kill one verb at each delay; return what was seen, and what is wrong."""
    env, samaops = environment(server, directory), configured(server, directory)
    ended, wrong, done = [], [], 0
    for delay in DELAYS:
        each.make(server)
        words = [*samaops, *each.words(server), "--yes"]
        if each.name == "db slot drop":
            words[-1:] = ["--confirm", "ancien_replica"]
        ended.append(killed_at_its_step(words, env, directory, delay))
        time.sleep(2.5)  # the server ends what a dead client has begun within two seconds
        is_done = each.is_done(server)
        done += is_done
        if each.undo and ended[-1]:
            code, said = typed([*samaops, "undo", "last", "--yes"], env)
            if each.is_done(server) or code not in (0, 77):
                wrong.append(f"{each.name}, {delay} s: undo {code}: {said}")
        code, said = typed(words, env)
        if code != 0 or not each.is_done(server):
            wrong.append(f"{each.name}, {delay} s: again {code}: {said}")
        if each.undo:
            code, said = typed([*samaops, "undo", "last", "--yes"], env)
            if code != 0 or each.is_done(server):
                wrong.append(f"{each.name}, {delay} s: undo of the whole {code}: {said}")
        if left := server.run(LEFT):
            wrong.append(f"{each.name}, {delay} s: invalid {left}")
    return {"verb": each.name, "killed": len(DELAYS), "journal ends with": ended, "had worked": done}, wrong


def two_at_once(server: PostgresServer, directories: Sequence[Path]) -> list[int]:
    """Vacuum from a second control machine, which has no file of the first, while that works. Return their exit codes."""
    programs = []
    for directory in directories:
        command = [*configured(server, directory), "db", "vacuum", "pgbench_accounts", "--yes"]
        env = environment(server, directory)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        programs.append(subprocess.Popen(command, env=env, **quiet))
        ends_at = time.monotonic() + BEGIN_SECONDS
        while not server.run(VACUUM) and time.monotonic() < ends_at and programs[0].poll() is None:
            time.sleep(0.05)
    return [program.wait(RUN_SECONDS) for program in programs]


def main() -> int:
    """Make the server, kill, and say whether all is well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--scale", type=int, default=5)
    parser.add_argument("--only", choices=["two", *(each.name for each in VERBS)], action="append")
    chosen = parser.parse_args()
    wrong: list[str] = []
    with running_postgres(SERVER) as server, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for statement in GRANTS.split(";")[:-1]:
            server.run(statement)
        env = environment(server, directory)
        subprocess.run(
            [binaries() / "pgbench", "-i", "-q", "-s", str(chosen.scale)],
            env=env,
            check=True,
            capture_output=True,
        )
        before = (server.directory / "server.log").read_text().count("still waiting for")
        with load(env, chosen.seconds) as logs:
            for each in (each for each in VERBS if not chosen.only or each.name in chosen.only):
                row, faults = measured(server, directory, each)
                wrong += faults
                print(row, *faults, sep="\n  ", flush=True)
            slowest = slowest_ms(logs)
        waits = (server.directory / "server.log").read_text().count("still waiting for") - before
        print({"slowest transaction ms": round(slowest), "lock waits over 1 s": waits})
        machines = [directory / "one", directory / "two"]
        for machine in machines:
            machine.mkdir()
        server.run("UPDATE pgbench_accounts SET abalance = abalance + 1")
        server.run("ALTER ROLE samaops SET vacuum_cost_delay = '100ms'")  # so that it lasts
        codes = two_at_once(server, machines)
        print({"two vacuums at once": codes})
        wrong += [] if codes == [0, 75] else [f"two vacuums at once: {codes}"]
        wrong += [f"{waits} lock waits over 1 s"] if waits else []
    print("\n".join(wrong) or "all is well")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
