"""A process killed at any moment: nothing lost, the journal true, the next run goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from samaops.changes import readings, undo
from samaops.journal import history
from samaops.journal.lock import ChangeLock
from samaops.model.plan import Plan
from tests.unit.changes.scripted import (
    CODES,
    ScriptedWorld,
    engine,
    journal_in,
    never,
    plan,
    step,
    world_with,
)

ROOT = Path(__file__).parents[3]
NAMES = ("a", "b")
# Every write of the journal and every operation, each with a moment before and after it.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from samaops.journal.lock import ChangeLock
from tests.unit.changes import scripted, test_killed

left = [0]
def perhaps_die():
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def mortal(thing, name):
    real = getattr(thing, name)
    def act(*arguments):
        perhaps_die()
        answer = real(*arguments)
        perhaps_die()
        return answer
    setattr(thing, name, act)

def change(place):
    world, journal = scripted.ScriptedWorld(place / "values.json"), scripted.journal_in(place)
    mortal(world, "run")
    mortal(journal, "write")
    with ChangeLock(place, "test"):
        test_killed.run_again(world, journal)

scripted.journal_in(Path(sys.argv[1]))  # everything is imported once
for line in sys.stdin:
    moment, place = line.split()
    left[0] = int(moment)
    child = os.fork()
    if child == 0:
        change(Path(place))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def missing(world: ScriptedWorld) -> Plan:
    """Plan as a verb does: only what is not yet so."""
    snapshot = world.look(CODES)
    return plan(*(step(name) for name in NAMES if readings.hold(step(name).before, snapshot)))


def run_again(world: ScriptedWorld, journal: Any) -> None:
    wanted = missing(world)
    if wanted.steps:
        assert engine(world, journal).apply(wanted).exit_code == 0


class Killer:
    """Processes that make the change, each a child of one that has everything imported."""

    def __init__(self, parent: subprocess.Popen[str]) -> None:
        self._parent = parent

    def killed_at(self, place: Path, moment: int) -> bool:
        """Make the change; return whether it was killed at that moment, and did not come to its end before."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(f"{moment} {place}\n")
        self._parent.stdin.flush()
        code = int(self._parent.stdout.readline())
        assert code in (0, -signal.SIGKILL)
        return code != 0


@pytest.fixture
def killer(tmp_path: Path) -> Iterator[Killer]:
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True, cwd=ROOT) as parent:
        yield Killer(parent)
        assert parent.stdin is not None
        parent.stdin.close()


def is_true(change: history.Change, values: Mapping[str, Any]) -> None:
    """Check the journal against what was really done."""
    begun = {one.step for one in change.events if one.kind == history.STEP_BEGUN}
    ended = {one.step for one in change.events if one.kind == history.STEP_ENDED}
    for number, name in enumerate(NAMES):
        if values[name] == 1:
            assert number in begun, "nothing is done that was not written before"
        if number in ended:
            assert values[name] == 1


def test_killed_at_any_moment_the_journal_is_true_and_the_next_run_goes_on(
    tmp_path: Path, killer: Killer
) -> None:
    moment, was_killed = 0, True
    while was_killed:
        moment += 1
        place = tmp_path / str(moment)
        place.mkdir()
        world = world_with(place, a=0, b=0)
        was_killed = killer.killed_at(place, moment)
        journal = journal_in(place)
        assert ChangeLock(place, "test").holder() is None, "the lock went with its owner"
        found = journal.changes()
        if moment == 1:
            assert not found
            assert was_killed
        elif was_killed and not (found[0].last(history.ENDED)):
            assert found[0].status(None) == "interrupted"
            is_true(found[0], world.values)
            assert journal.unfinished() == tuple(change.id for change in found)
        elif found:
            assert found[0].status(None) == "verified"
        run_again(world, journal)
        assert world.values == {"a": 1, "b": 1}
        assert len(journal.changes()) <= 2
    assert moment > 16, "each write and each operation was a moment to be killed at"


def test_what_a_killed_process_did_can_be_taken_back(tmp_path: Path, killer: Killer) -> None:
    for moment in range(2, 18):
        place = tmp_path / str(moment)
        place.mkdir()
        world = world_with(place, a=0, b=0)
        assert killer.killed_at(place, moment)
        journal = journal_in(place)
        for change in journal.changes():
            back = undo.plan(change, world.look(CODES), is_done=never)
            if back.steps:
                assert engine(world, journal).apply(back).exit_code == 0
        assert world.values == {"a": 0, "b": 0}, moment
