"""Taking a journaled change back, from the journal alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops.changes import undo
from samaops.errors import RefusedError
from samaops.journal.history import Journal
from samaops.model.plan import Outcome, Plan
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


@pytest.fixture
def world(tmp_path: Path) -> ScriptedWorld:
    return world_with(tmp_path, a=0, b=0)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return journal_in(tmp_path)


def apply(world: ScriptedWorld, journal: Journal, wanted: Plan) -> str:
    return engine(world, journal).apply(wanted).change


def undo_plan(world: ScriptedWorld, journal: Journal, identifier: str) -> Plan:
    change = journal.change(identifier)
    assert change is not None
    return undo.plan(change, world.look(CODES), is_done=never)


def test_every_step_is_taken_back_newest_first_and_the_before_values_are_there_again(
    world: ScriptedWorld, journal: Journal
) -> None:
    change = apply(world, journal, plan(step("a"), step("b")))
    back = undo_plan(world, journal, change)
    assert [one.operation.command for one in back.steps] == ["b=0", "a=0"]
    assert back.undoes == change
    assert engine(world, journal).apply(back).exit_code == 0
    assert world.values == {"a": 0, "b": 0}
    assert journal.undone_by() == {change: journal.changes()[0].id}


def test_the_second_time_there_is_nothing_to_do(world: ScriptedWorld, journal: Journal) -> None:
    change = apply(world, journal, plan(step("a")))
    apply(world, journal, undo_plan(world, journal, change))
    again = undo_plan(world, journal, change)
    assert not again.steps
    assert change in again.nothing_to_do


def test_an_undoing_can_be_undone(world: ScriptedWorld, journal: Journal) -> None:
    change = apply(world, journal, plan(step("a")))
    back = apply(world, journal, undo_plan(world, journal, change))
    apply(world, journal, undo_plan(world, journal, back))
    assert world.values["a"] == 1


def test_what_somebody_has_changed_since_is_not_touched(world: ScriptedWorld, journal: Journal) -> None:
    change = apply(world, journal, plan(step("a")))
    world.set("a", 9)
    with pytest.raises(RefusedError, match="a is 1: it is now 9"):
        undo_plan(world, journal, change)


def test_what_cannot_be_taken_back_is_refused_with_the_reason(world: ScriptedWorld, journal: Journal) -> None:
    change = apply(world, journal, plan(step("a", can_undo=False)))
    with pytest.raises(RefusedError, match="it cannot be taken back: it is gone"):
        undo_plan(world, journal, change)


def test_what_can_be_taken_back_is_and_the_rest_is_said(world: ScriptedWorld, journal: Journal) -> None:
    change = apply(world, journal, plan(step("a"), step("b", can_undo=False)))
    back = undo_plan(world, journal, change)
    assert [one.operation.command for one in back.steps] == ["a=0"]
    assert back.notes == ("Set b: it cannot be taken back: it is gone",)


def test_what_a_failed_change_left_behind_can_be_taken_back_later(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.outcomes = {"b=1": Outcome(False, "no"), "a=0": Outcome(False, "not now")}
    change = apply(world, journal, plan(step("a"), step("b")))
    assert world.values == {"a": 1, "b": 0}
    world.outcomes = {}
    apply(world, journal, undo_plan(world, journal, change))
    assert world.values == {"a": 0, "b": 0}
