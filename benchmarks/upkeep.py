#!/usr/bin/env python3
"""What upkeep does to others, under a steady load: each verb is run, killed in the middle with SIGKILL, and run again.

    PYTHONPATH=. .venv/bin/python benchmarks/upkeep.py [--scale 10] [--seconds 90]

A PostgreSQL of its own, eight clients of pgbench. Its witnesses are the server's own: log_lock_waits with deadlock_timeout = 1 s
says of each statement that waited longer than a second for a lock, pg_stat_database of each deadlock, pg_index of what is
invalid, the journal of how each change ended. Then, without load, the ratios against vacuumdb and reindexdb on the same data.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.service.postgres_server import PASSWORD, PostgresServer, binaries, running_postgres

CLIENTS = 8
TABLES = ("pgbench_accounts", "pgbench_tellers", "pgbench_branches", "pgbench_history")
INDEXES = ("pgbench_accounts_pkey", "pgbench_tellers_pkey", "pgbench_branches_pkey")
VERBS = {
    "vacuum": ("db", "vacuum", *TABLES),
    "analyze": ("db", "analyze", *TABLES),
    "reindex": ("db", "reindex", *INDEXES),
    "optimize": ("db", "optimize"),
}
# After how many seconds of work each run is killed; a run that is over before has been killed nowhere.
KILLS = (0.1, 0.4, 0.8, 1.5, 3.0)
MOST_SECONDS = 300.0
SERVER = """
shared_buffers = 128MB
max_wal_size = 1GB
log_lock_waits = on
log_line_prefix = '%m [%p] %a '
deadlock_timeout = 1s
maintenance_work_mem = 64MB
"""


def environment(server: PostgresServer, directory: Path) -> dict[str, str]:
    of_server = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGPASSWORD": PASSWORD,
        "PGDATABASE": "samaconso",
    }
    return {**os.environ, **of_server, "PGUSER": "samaconso_user", "XDG_STATE_HOME": str(directory)}


def configured(server: PostgresServer, directory: Path) -> list[str]:
    """Return the command line of samaops on this server."""
    file = directory / "config.toml"
    file.write_text(
        f'[servers.db]\naddress = "127.0.0.1"\nssh = "local"\n[postgresql]\nhost = "127.0.0.1"\n'
        f'port = {server.port}\npassword = "{PASSWORD}"\n[safety]\nlock_directory = "{directory}"\n'
        f'server_lock_directory = "{directory}"\n'
    )
    file.chmod(0o600)
    return [sys.executable, "-m", "samaops", "--config", str(file)]


@contextmanager
def load(env: dict[str, str], seconds: float) -> Iterator[Path]:
    """Let eight clients of pgbench work meanwhile, and yield the directory of their log of each transaction."""
    with tempfile.TemporaryDirectory() as directory:
        command: list[str | Path] = [
            binaries() / "pgbench",
            "-n",
            "-c",
            str(CLIENTS),
            "-j",
            "2",
            "-T",
            str(round(seconds)),
            "-l",
            "--rate",
            "200",
        ]
        process = subprocess.Popen(
            command, cwd=directory, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield Path(directory)
        finally:
            process.terminate()
            process.wait()


def slowest_ms(logs: Path) -> float:
    """Return the slowest transaction of pgbench: its third column, in microseconds."""
    lines = (line.split() for file in logs.glob("pgbench_log.*") for line in file.read_text().splitlines())
    return max((int(words[2]) for words in lines if len(words) > 2 and words[2].isdigit()), default=0) / 1000


def broken_off(command: list[str], env: dict[str, str], after: float) -> bool:
    """Run a change and kill it so long after its session was first seen; return whether that was in the middle."""
    process = subprocess.Popen(
        [*command, "--yes"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(after + 1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def whole(command: list[str], env: dict[str, str]) -> dict[str, object]:
    """Run a change to its end and return its report."""
    done = subprocess.run(
        [*command, "--yes", "-o", "json"], env=env, capture_output=True, timeout=MOST_SECONDS, check=False
    )
    report = json.loads(done.stdout)
    return {
        "exit": done.returncode,
        "errors": [error["message"] for error in report["errors"]],
        "actions": report["actions"],
    }


def under_load(
    server: PostgresServer, directory: Path, seconds: float, verbs: list[str]
) -> list[dict[str, object]]:
    """Run, kill and run again each verb while others work; return what that did to them."""
    env, samaops = environment(server, directory), configured(server, directory)
    rows = []
    for name in verbs:
        words = VERBS[name]
        before = (server.directory / "server.log").read_text().count("still waiting for")
        killed = 0
        with load(env, seconds) as logs:
            time.sleep(1)
            for after in KILLS:
                killed += broken_off([*samaops, *words], env, after)
            report = whole([*samaops, *words], env)
            slowest = slowest_ms(logs)
        waits = (server.directory / "server.log").read_text().count("still waiting for") - before
        invalid = server.run("SELECT count(*) FROM pg_index WHERE NOT indisvalid")[0][0]
        deadlocks = server.run("SELECT sum(deadlocks) FROM pg_stat_database")[0][0]
        rows.append({
            "verb": name, "killed": killed, "exit": report["exit"], "errors": report["errors"],
            "slowest transaction ms": round(slowest), "lock waits over 1 s": waits, "deadlocks": int(deadlocks), "invalid": invalid,
        })  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    return rows


def seconds_of(command: list[str | Path], env: dict[str, str]) -> float:
    started = time.monotonic()
    subprocess.run(command, env=env, check=False, capture_output=True, timeout=MOST_SECONDS)
    return time.monotonic() - started


def ratios(server: PostgresServer, directory: Path) -> dict[str, float]:
    """Return how long each takes against PostgreSQL's own program, in one run on the same data, and what the start alone takes.

    ``--dry-run`` starts, looks and plans, and does nothing: what is left is the work itself, as on tables that take hours.
    """
    env, samaops = environment(server, directory), configured(server, directory)

    def dirty() -> None:
        server.run("UPDATE pgbench_accounts SET abalance = abalance + 1")
        server.run("CHECKPOINT")

    tables, indexes = (
        [f"--{kind}={name}" for name in names] for kind, names in (("table", TABLES), ("index", INDEXES))
    )
    theirs = {
        "vacuum": ("vacuumdb", "-j", "2", "--analyze", *tables),
        "reindex": ("reindexdb", "--concurrently", *indexes),
    }
    answer: dict[str, float] = {}
    for name, (program, *words) in theirs.items():
        dirty()
        reference = seconds_of([binaries() / program, *words], env)
        dirty()
        start = seconds_of([*samaops, *VERBS[name], "--dry-run"], env)
        ours = seconds_of([*samaops, *VERBS[name], "--yes"], env)
        answer |= {
            f"{program} s": round(reference, 2), f"db {name} s": round(ours, 2), f"db {name} --dry-run s": round(start, 2),
            f"{name} ratio": round(ours / reference, 2), f"{name} ratio of the work": round((ours - start) / reference, 2),
        }  # fmt: skip
    print(json.dumps(answer), flush=True)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--only", choices=("load", "ratios"))
    parser.add_argument("--verb", choices=tuple(VERBS), action="append")
    wanted = parser.parse_args()
    # Ended politely, it takes its server along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with running_postgres(SERVER) as server, tempfile.TemporaryDirectory() as name:
        server.run("GRANT ALL ON SCHEMA public TO samaconso_user")
        server.run("GRANT samaconso_user TO samaops")
        env = environment(server, Path(name))
        subprocess.run(
            [binaries() / "pgbench", "-i", "-q", "-s", str(wanted.scale)],
            env=env,
            check=True,
            capture_output=True,
        )
        if wanted.only != "ratios":
            under_load(server, Path(name), wanted.seconds, wanted.verb or list(VERBS))
        if wanted.only != "load":
            for _time in range(wanted.times):
                ratios(server, Path(name))


if __name__ == "__main__":
    main()
