"""Real processes: a group that ignores a polite end, an exit code that outlives the scheduler, what a job leaves behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from samaops.facts.schedule import FAILED, INTERRUPTED, KILLED, OK, RUNNING, SKIPPED, TIMED_OUT, WARNING, Run
from samaops.i18n import use_language
from samaops.journal.owner import Owner, process_start
from samaops.site.jobs import Job
from samaops.workflows.schedule import last_words
from samaops.workflows.schedule.book import Book
from samaops.workflows.schedule.outcomes import outcome_of
from samaops.workflows.schedule.processes import Ended, GroupProcesses
from samaops.workflows.schedule.running import GRACE_SECONDS
from samaops.workflows.schedule.scheduler import Scheduler
from tests.unit.schedule.simulation import DAKAR, TestClock, ledger_in

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=timezone.utc)


def await_(holds: Callable[[], object], seconds: float = 30.0) -> None:
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def shell_job(script: str, limit: float = 5.0) -> Job:
    """Return a job that is a script: samaops itself is replaced by a shell."""
    return Job("daily", "0 6 * * *", ("-c", script), DAKAR, limit_seconds=limit)


def processes(directory: Path) -> GroupProcesses:
    return GroupProcesses(("/bin/sh",), directory / "logs")


def test_a_run_has_its_exit_code_and_its_last_words(tmp_path: Path) -> None:
    of = processes(tmp_path)
    run = of.start(Run("daily", NOW, RUNNING, number=7), shell_job("echo one; echo two >&2; exit 3"))
    assert process_start(run.pid) == run.process_start
    await_(lambda: of.ended_yet(run))
    assert of.ended(run) == Ended(3, "two")
    assert Path(run.log).stat().st_mode & 0o777 == 0o600
    seen = processes(tmp_path).ended(run)
    assert seen is not None
    assert (seen.exit_code, seen.words) == (3, "two"), "another scheduler can tell it too"


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo why; echo; echo '  -> do this'; exit 1", "why"), ("echo '-> do this'; exit 1", "-> do this")],
)
def test_the_advice_behind_a_message_is_not_why_a_run_failed(tmp_path: Path, script: str, words: str) -> None:
    of = processes(tmp_path)
    run = of.start(Run("daily", NOW, RUNNING, number=7), shell_job(script))
    await_(lambda: of.ended_yet(run))
    assert of.ended(run) == Ended(1, words)


DOCKER_DOWN = """✗ CRITICAL  The Docker engine of server workers is down
   confirmed · docker/workers
   for  docker ps: Cannot connect to the Docker daemon at

✗ docker       23 ok, 1 critical, 9 skipped
1 critical, 74 ok · 3.0 s
"""
LEFT_PARTIAL = """▲ WARNING  Done and verified: Back up samaconso into
           /data/backups/postgresql/samaops

1. Back up samaconso into /data/backups/postgresql/samaops  (done and verified)
     brought: 2.5 MB in 12 s

▲ warning  20261129T165707Z-1596 is left out: 20261129T165404Z-353d.partial was
           left by a run that died, and is removed
     backup/20261129T165707Z-1596

▲ backup       1 warning
1 warning · 12.8 s
Whoever alters a table waits until the dump has ended, and may end it; a table
that others have locked is waited for at most 60 s
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (DOCKER_DOWN, "The Docker engine of server workers is down"),
        (
            LEFT_PARTIAL,
            "Done and verified: Back up samaconso into /data/backups/postgresql/samaops; 20261129T165707Z-1596 is left out:"
            " 20261129T165404Z-353d.partial was left by a run that died, and is removed",
        ),
        (
            "samaops: weekly still goes on: process 3043 on control-a, since\n2026-11-29 16:50 UTC\n  -> samaops x\n",
            "samaops: weekly still goes on: process 3043 on control-a, since 2026-11-29 16:50 UTC",
        ),
        ("Segmentation fault\n", "Segmentation fault"),
        ("", ""),
    ],
)
def test_why_a_run_ended_so_is_its_answer_and_no_piece_of_a_sentence(output: str, words: str) -> None:
    assert last_words.why(output) == words


def test_the_answer_is_found_in_french_too() -> None:
    use_language("fr")
    assert (
        last_words.why("▲ AVERTISSEMENT  Un disque est plein\n\n1 avertissement\n") == "Un disque est plein"
    )


def test_what_a_run_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    of, left = processes(tmp_path), tmp_path / "left"
    script = f"sh -c 'trap \"\" TERM; echo $$ > {left}.new; mv {left}.new {left}; exec sleep 600' & until [ -e {left} ]; do sleep 0.01; done"
    run = of.start(Run("daily", NOW, RUNNING, number=7), shell_job(script))
    await_(lambda: of.ended_yet(run))
    assert of.ended(run) == Ended(0)
    await_(lambda: not process_start(int(left.read_text())))


def test_a_job_that_ignores_its_end_is_gone_after_its_limit_with_all_its_children(tmp_path: Path) -> None:
    clock, of, pids = TestClock(NOW), processes(tmp_path), tmp_path / "pids"
    sleeper = f"trap '' TERM; (trap '' TERM; echo $BASHPID >> {pids}; exec sleep 600) & echo $$ >> {pids}; while :; do sleep 1; done"
    job = Job("daily", "0 6 * * *", ("-c", sleeper), DAKAR, limit_seconds=5.0)
    ledger = ledger_in(tmp_path)
    of = GroupProcesses(("/bin/bash",), tmp_path / "logs")
    one = Scheduler((job,), Book(ledger), of, clock, Owner("ops", "one", 1, "boot/1", ""))
    clock.set_by(-60)
    one.tick()
    clock.go_on(60)
    one.tick()
    (running,) = one.running
    await_(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    clock.go_on(5)
    one.tick()
    time.sleep(0.2)
    assert one.running, "it ignores a polite end"
    clock.go_on(GRACE_SECONDS)
    one.tick()
    await_(lambda: not any(process_start(int(pid)) for pid in pids.read_text().split()))
    await_(lambda: of.ended_yet(running))
    one.tick()
    (row,) = ledger.last("daily", 5)
    assert (row.state, row.started_at, one.running) == (TIMED_OUT, NOW, ())
    assert "limit of 5.0 s" in row.reason
    assert one.next_at() == datetime(2026, 6, 2, 6, 0, tzinfo=timezone.utc), "the next run is on time"


def test_a_run_that_outlives_its_scheduler_is_taken_over_by_the_next_one(tmp_path: Path) -> None:
    clock, gate = TestClock(NOW), tmp_path / "gate"
    job = shell_job(f"until [ -e {gate} ]; do sleep 0.02; done; exit 1", limit=3600)
    ledger = ledger_in(tmp_path)
    host = os.uname().nodename
    first = Scheduler((job,), Book(ledger), processes(tmp_path), clock, Owner("ops", host, 1, "boot/1", ""))
    clock.set_by(-60)
    first.tick()
    clock.go_on(60)
    first.tick()
    (begun,) = first.running
    clock.go_on(60)
    second = Scheduler((job,), Book(ledger), processes(tmp_path), clock, Owner("ops", host, 2, "boot/2", ""))
    second.tick()
    assert [run.pid for run in second.running] == [begun.pid]
    gate.touch()
    await_(lambda: not processes(tmp_path).lives(begun))
    ended_at = datetime(2026, 6, 1, 6, 1, 30, tzinfo=timezone.utc)
    os.utime(begun.log + ".exit", (ended_at.timestamp(), ended_at.timestamp()))
    clock.go_on(3600)
    second.tick()
    (row,) = ledger.last("daily", 5)
    assert (row.state, row.exit_code, row.epoch) == (WARNING, 1, 1)
    assert row.ended_at == ended_at, "when its exit code was written, not when somebody looked"


def test_how_a_run_ended_is_told_by_its_exit_code() -> None:
    told = {code: outcome_of(Ended(code, "said"))[0] for code in (0, 1, 2, 3, 64, 75, 77, 130, 137, -9, None)}
    assert told == {
        0: OK, 1: WARNING, 2: FAILED, 3: FAILED, 64: FAILED, 75: SKIPPED, 77: FAILED, 130: INTERRUPTED,
        137: KILLED, -9: KILLED, None: INTERRUPTED,
    }  # fmt: skip
    assert outcome_of(Ended(2, "no space"))[1] == "no space"
    assert outcome_of(Ended(0, "all well"))[1] == ""
