"""The engine: each step checked, journaled, verified, and taken back newest first when anything goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.changes.engine import Applied
from samaops.errors import INTERRUPTED, LOCKED, REFUSED, ConfigurationError, LockedError
from samaops.journal import history
from samaops.journal.database import HistoryError
from samaops.journal.history import Change, Journal
from samaops.model.plan import ActionStatus, Outcome, Plan
from tests.unit.changes.scripted import CURE, ScriptedWorld, engine, journal_in, plan, step, world_with

VERIFIED, REVERTED, FAILED, REFUSED_STATUS, PLANNED = (
    ActionStatus.VERIFIED,
    ActionStatus.REVERTED,
    ActionStatus.FAILED,
    ActionStatus.REFUSED,
    ActionStatus.PLANNED,
)
NOT_OK = Outcome(False, "no such thing")
LATE = Outcome(False, "failed late")


@pytest.fixture
def world(tmp_path: Path) -> ScriptedWorld:
    return world_with(tmp_path, a=0, b=0, c=0)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return journal_in(tmp_path)


def abc() -> Plan:
    return plan(step("a"), step("b"), step("c"))


def only(journal: Journal) -> Change:
    (change,) = journal.changes()
    return change


def kinds(journal: Journal) -> list[tuple[str, int | None]]:
    return [(event.kind, event.step) for event in only(journal).events]


def status_of(journal: Journal) -> str:
    return only(journal).status(None)


def test_all_steps_are_run_in_order_and_verified(world: ScriptedWorld, journal: Journal) -> None:
    applied = engine(world, journal).apply(abc())
    assert (applied.exit_code, applied.statuses) == (0, (VERIFIED,) * 3)
    assert world.ran == ["a=1", "b=1", "c=1"]
    assert world.values == {"a": 1, "b": 1, "c": 1}
    assert status_of(journal) == "verified"


def test_what_nothing_can_verify_is_not_called_verified(world: ScriptedWorld, journal: Journal) -> None:
    blind = replace(step("a"), after=())
    applied = engine(world, journal).apply(plan(blind))
    assert (applied.exit_code, applied.statuses) == (0, (ActionStatus.APPLIED,))
    assert status_of(journal) == "applied"
    assert history.STEP_VERIFIED not in [kind for kind, _step in kinds(journal)]
    cured = engine(world_with(world.file.parent, a=0), journal).apply(plan(blind, cures=(CURE,)))
    assert cured.statuses == (VERIFIED,), "the finding is gone"


def test_what_takes_back_is_known_though_nothing_can_verify_it(
    world: ScriptedWorld, journal: Journal
) -> None:
    blind = replace(step("a"), after=())
    applied = engine(world, journal).apply(plan(blind, undoes="an-earlier-change"))
    assert journal.undone_by() == {"an-earlier-change": applied.change}


def test_each_step_is_journaled_before_and_after(world: ScriptedWorld, journal: Journal) -> None:
    engine(world, journal).apply(plan(step("a"), step("b")))
    one = [(history.STEP_BEGUN, 0), (history.STEP_ENDED, 0), (history.STEP_VERIFIED, 0)]
    two = [(kind, 1) for kind, _step in one]
    assert kinds(journal) == [(history.BEGUN, None), *one, *two, (history.ENDED, None)]
    begun = only(journal).last(history.STEP_BEGUN)
    assert begun is not None
    assert begun.details["before"] == [
        {"reading": "scripted.value", "of": ["b"], "value": 0, "text": "b is 0"}
    ]


def test_the_journal_has_the_step_before_the_step_is_run(world: ScriptedWorld, journal: Journal) -> None:
    seen = []
    world.on["a=1"] = lambda: seen.append(kinds(journal)[-1])
    engine(world, journal).apply(plan(step("a")))
    assert seen == [(history.STEP_BEGUN, 0)]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("outcome", [NOT_OK, LATE])
def test_a_failure_at_any_step_takes_everything_back_newest_first(
    world: ScriptedWorld, journal: Journal, place: int, outcome: Outcome
) -> None:
    names = ("a", "b", "c")
    world.outcomes[f"{names[place]}=1"] = outcome
    applied = engine(world, journal).apply(abc())
    done = [f"{name}=1" for name in names[: place + 1]]
    back = [f"{name}=0" for name in reversed(names[: place + 1])]
    assert world.ran == done + back
    assert world.values == {"a": 0, "b": 0, "c": 0}
    assert applied.exit_code == 2
    assert applied.statuses == (REVERTED,) * (place + 1) + (PLANNED,) * (2 - place)
    assert outcome.output in applied.failure
    assert status_of(journal) == "reverted"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_fact_that_changed_stops_before_the_step(
    world: ScriptedWorld, journal: Journal, place: int
) -> None:
    name = "abc"[place]
    # Two looks a step: before it, and after it.
    world.on[2 * place + 1] = lambda: world.set(name, 7)
    applied = engine(world, journal).apply(abc())
    assert f"{name}=1" not in world.ran
    assert f"{name} is 0: it is now 7" in applied.failure
    assert world.values[name] == 7, "what somebody else has set is left alone"
    assert all(world.values[other] == 0 for other in "abc" if other != name)
    if place == 0:
        assert (applied.exit_code, applied.statuses) == (REFUSED, (REFUSED_STATUS,) * 3)
        assert status_of(journal) == "refused"
    else:
        assert applied.exit_code == 2
        assert applied.statuses[place] is PLANNED
        assert status_of(journal) == "reverted"


def test_what_cannot_be_looked_at_stops_before_the_step(world: ScriptedWorld, journal: Journal) -> None:
    world.is_blind = True
    applied = engine(world, journal).apply(abc())
    assert applied.exit_code == REFUSED
    assert "could not look: scripted/all: Connection refused" in applied.failure
    assert world.ran == []


def test_a_step_without_effect_fails_and_is_taken_back(world: ScriptedWorld, journal: Journal) -> None:
    world.on[4] = lambda: world.set("b", 5)
    applied = engine(world, journal).apply(abc())
    assert world.ran == ["a=1", "b=1", "b=0", "a=0"]
    assert "it was done, but had no effect" in applied.failure
    assert applied.exit_code == 2


def test_a_finding_that_stays_makes_it_failed_and_taken_back(world: ScriptedWorld, journal: Journal) -> None:
    world.still_wrong = ("It is still wrong",)
    applied = engine(world, journal).apply(plan(step("a"), cures=(CURE,)))
    assert "It is still wrong" in applied.failure
    assert (applied.exit_code, applied.statuses) == (2, (REVERTED,))
    assert world.values["a"] == 0


def test_a_finding_that_is_gone_makes_it_verified(world: ScriptedWorld, journal: Journal) -> None:
    applied = engine(world, journal).apply(plan(step("a"), cures=(CURE,)))
    assert applied == Applied(applied.change, (VERIFIED,))


def test_what_has_no_undo_is_reported(world: ScriptedWorld, journal: Journal) -> None:
    world.outcomes["c=1"] = NOT_OK
    applied = engine(world, journal).apply(plan(step("a"), step("b", can_undo=False), step("c")))
    assert applied.statuses == (REVERTED, FAILED, REVERTED)
    assert applied.left_over == ("Set b: it cannot be taken back: it is gone",)
    assert world.values == {"a": 0, "b": 1, "c": 0}
    assert status_of(journal) == "failed"


def test_a_step_without_undo_that_had_no_effect_left_nothing(world: ScriptedWorld, journal: Journal) -> None:
    world.outcomes["a=1"] = NOT_OK
    applied = engine(world, journal).apply(plan(step("a", can_undo=False)))
    assert (applied.statuses, applied.left_over) == ((REVERTED,), ())


def test_an_undo_that_fails_is_reported_and_the_older_steps_are_taken_back(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.outcomes["c=1"] = NOT_OK
    world.outcomes["b=0"] = Outcome(False, "will not")
    applied = engine(world, journal).apply(abc())
    assert world.ran[3:] == ["c=0", "b=0", "a=0"]
    assert applied.statuses == (REVERTED, FAILED, REVERTED)
    assert applied.left_over == ("Set b: taking it back failed: will not",)
    assert status_of(journal) == "failed"


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_what_was_begun_without_undo_is_never_called_taken_back_when_nobody_knows(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.on["a=1"] = _interrupt  # all is as before at this look, and the server may still be doing it
    applied = engine(world, journal).apply(plan(step("a", can_undo=False)))
    assert (applied.statuses, applied.exit_code) == ((FAILED,), INTERRUPTED)
    assert applied.left_over == (
        "Set a: it was begun and may still happen; it cannot be taken back: it is gone",
    )


def test_an_answer_that_was_lost_is_no_proof_that_nothing_happened(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.outcomes["a=1"] = Outcome(False, "connection lost", may_go_on=True)
    applied = engine(world, journal).apply(plan(step("a", can_undo=False)))
    assert applied.statuses == (FAILED,)
    assert "may still happen" in applied.left_over[0]


def _interrupt_times(times: int) -> Callable[[], None]:
    left = [times]

    def interrupt() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise KeyboardInterrupt

    return interrupt


@pytest.mark.parametrize("moment", ["a=0", "b=0"])
def test_ctrl_c_pressed_twice_still_takes_all_back(
    world: ScriptedWorld, journal: Journal, moment: str
) -> None:
    world.on["b=1"], world.on[moment] = _interrupt, _interrupt_times(1)
    applied = engine(world, journal).apply(plan(step("a"), step("b")))
    assert (applied.exit_code, applied.left_over) == (INTERRUPTED, ())
    assert (world.values["a"], world.values["b"]) == (0, 0)
    assert status_of(journal) == "reverted"


def test_whoever_insists_leaves_it_and_the_journal_says_what_is_left(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.on["b=1"], world.on["b=0"] = _interrupt, _interrupt_times(2)
    applied = engine(world, journal).apply(plan(step("a"), step("b")))
    assert applied.exit_code == INTERRUPTED
    assert applied.left_over == tuple(f"Set {name}: taking it back failed: interrupted" for name in "ba")
    assert world.values["a"] == 1
    assert status_of(journal) == "failed"


def test_an_undo_that_raises_is_told_and_the_others_are_taken_back(
    world: ScriptedWorld, journal: Journal
) -> None:
    def lose() -> None:
        raise ConfigurationError("the key has gone")

    world.outcomes["b=1"] = Outcome(False, "failed late")
    world.on["b=0"] = lose
    applied = engine(world, journal).apply(plan(step("a"), step("b")))
    assert applied.left_over == ("Set b: taking it back failed: the key has gone",)
    assert (applied.exit_code, world.values["a"], status_of(journal)) == (2, 0, "failed")


@pytest.mark.parametrize("moment", ["b=1", 3, 4])
def test_an_interrupt_takes_back_what_was_done(
    world: ScriptedWorld, journal: Journal, moment: str | int
) -> None:
    world.on[moment] = _interrupt
    applied = engine(world, journal).apply(abc())
    assert applied.exit_code == INTERRUPTED
    assert world.values == {"a": 0, "b": 0, "c": 0}
    assert status_of(journal) == "reverted"


def test_a_bug_takes_back_what_was_done_and_is_not_hidden(world: ScriptedWorld, journal: Journal) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    world.on["b=1"] = fail
    with pytest.raises(ZeroDivisionError):
        engine(world, journal).apply(abc())
    assert world.values == {"a": 0, "b": 0, "c": 0}
    assert status_of(journal) == "reverted"


def test_a_lock_that_is_lost_stops_before_the_next_step(world: ScriptedWorld, journal: Journal) -> None:
    def guard() -> None:
        if "a=1" in world.ran:
            raise LockedError("the lock was lost")

    applied = engine(world, journal, guard).apply(abc())
    assert world.ran == ["a=1", "a=0"]
    assert (applied.exit_code, applied.failure) == (2, "the lock was lost")


def test_what_others_changed_after_the_lock_was_lost_stays_theirs(
    world: ScriptedWorld, journal: Journal
) -> None:
    def guard() -> None:
        if "a=1" in world.ran:
            world.set("a", 7)  # frozen for a minute: another machine has made its change meanwhile
            raise LockedError("the lock was lost")

    applied = engine(world, journal, guard).apply(abc())
    assert (world.ran, world.values["a"]) == (["a=1"], 7)
    assert applied.left_over == (
        "Set a: it is not taken back, others have changed it since: a is 1: it is now 7",
    )
    assert (applied.exit_code, status_of(journal)) == (2, "failed")


def test_whoever_was_frozen_in_a_look_looks_again(
    world: ScriptedWorld, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("samaops.changes.engine.time.monotonic", lambda: clock[0])

    def freeze() -> None:
        clock[0] += 90
        world.is_blind = True  # its connections have timed out

    def see() -> None:
        world.is_blind = False

    world.on.update({2: freeze, 3: see})
    applied = engine(world, journal).apply(plan(step("a", can_undo=False)))
    assert (applied.exit_code, applied.statuses) == (0, (VERIFIED,))


def test_a_lock_that_is_lost_before_the_first_step_is_75(world: ScriptedWorld, journal: Journal) -> None:
    def guard() -> None:
        raise LockedError("the lock was lost")

    assert engine(world, journal, guard).apply(abc()).exit_code == LOCKED
    assert world.ran == []


class FullDisk:
    """A journal that can be written so many times."""

    def __init__(self, journal: Journal, writes: int) -> None:
        self.journal, self.left = journal, writes

    def begin(self, plan: object) -> str:
        self._count()
        return self.journal.begin(plan)  # type: ignore[arg-type]

    def write(self, *arguments: object) -> None:
        self._count()
        self.journal.write(*arguments)  # type: ignore[arg-type]

    def _count(self) -> None:
        if self.left == 0:
            raise HistoryError("database or disk is full")
        self.left -= 1


@pytest.mark.parametrize("writes", range(1, 7))
def test_a_journal_that_fills_up_stops_the_change_and_everything_is_taken_back(
    world: ScriptedWorld, journal: Journal, writes: int
) -> None:
    applied = engine(world, FullDisk(journal, writes)).apply(plan(step("a"), step("b")))  # type: ignore[arg-type]
    assert world.values == {"a": 0, "b": 0, "c": 0}
    assert applied.exit_code == 2
    assert "database or disk is full" in applied.failure
    assert status_of(journal) == "interrupted", "the journal tells what was begun and not finished"


def test_a_journal_that_cannot_be_begun_stops_the_change_before_it_starts(
    world: ScriptedWorld, journal: Journal
) -> None:
    with pytest.raises(HistoryError):
        engine(world, FullDisk(journal, 0)).apply(abc())  # type: ignore[arg-type]
    assert (world.ran, world.looks) == ([], 0)


def test_an_effect_that_takes_its_time_is_waited_for(world: ScriptedWorld, journal: Journal) -> None:
    world.on["a=1"] = lambda: None
    world.on[2] = lambda: world.set("a", 0)  # not yet
    patient = replace(engine(world, journal), wait_seconds=5.0, sleep=lambda _seconds: world.set("a", 1))
    assert patient.apply(plan(step("a"))).exit_code == 0
    assert world.looks == 3


def alone(*names: str) -> Plan:
    return plan(*(step(name, can_undo=name != "b") for name in names), steps_stand_alone=True)


def test_of_steps_that_stand_alone_each_is_made_whatever_becomes_of_the_others(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.outcomes["a=1"] = LATE
    world.outcomes["b=1"] = NOT_OK
    applied = engine(world, journal).apply(alone("a", "b", "c"))
    assert applied.statuses == (REVERTED, FAILED, VERIFIED)
    assert world.values == {"a": 0, "b": 0, "c": 1}
    assert applied.exit_code == 2
    assert applied.failure == "Set a: it failed: failed late; Set b: it failed: no such thing"
    assert (applied.left_over, status_of(journal)) == ((), "failed")


def test_what_stands_alone_and_is_otherwise_by_now_is_left_out(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.set("a", 7)
    applied = engine(world, journal).apply(alone("a", "c"))
    assert (applied.statuses, applied.exit_code) == ((REFUSED_STATUS, VERIFIED), 2)
    world.set("c", 7)
    assert engine(world, journal).apply(alone("a", "c")).exit_code == REFUSED


def test_interrupted_between_steps_that_stand_alone_what_is_made_stays(
    world: ScriptedWorld, journal: Journal
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.on["c=1"] = interrupt
    applied = engine(world, journal).apply(alone("a", "c"))
    assert (applied.statuses, applied.exit_code) == ((VERIFIED, REVERTED), INTERRUPTED)
    assert (world.values["a"], status_of(journal)) == (1, "failed")


def test_a_step_that_could_not_be_made_now_is_left_out_and_is_not_done(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.outcomes["a=1"] = Outcome(False, "somebody has it", is_seen=True, is_skipped=True)
    applied = engine(world, journal).apply(alone("a", "c"))
    assert (applied.statuses, applied.exit_code) == ((REFUSED_STATUS, VERIFIED), 0)
    assert [each.reason for each in applied.left_out] == ["somebody has it"]
    assert status_of(journal) == "verified"
    world.outcomes["c=1"] = world.outcomes["a=1"]
    world.set("c", 0)
    assert engine(world, journal).apply(alone("a", "c")).statuses == (REFUSED_STATUS, REFUSED_STATUS)


def test_where_another_samaops_was_at_all_of_it_the_change_ends_as_locked(
    world: ScriptedWorld, journal: Journal
) -> None:
    busy = Outcome(False, "another samaops is at it", is_seen=True, is_skipped=True, is_busy=True)
    world.outcomes["a=1"] = busy
    assert engine(world, journal).apply(alone("a", "c")).exit_code == 0  # the other was made
    world.outcomes["c=1"] = busy
    world.set("c", 0)
    applied = engine(world, journal).apply(alone("a", "c"))
    assert (applied.exit_code, applied.failure) == (LOCKED, "another samaops is at it")
    assert applied.statuses == (REFUSED_STATUS, REFUSED_STATUS)


def test_what_failed_and_left_nothing_needs_no_hand(world: ScriptedWorld, journal: Journal) -> None:
    world.outcomes["b=1"] = Outcome(False, "gave up", is_seen=True)
    applied = engine(world, journal).apply(alone("b", "c"))
    assert (applied.statuses, applied.exit_code, applied.left_over) == ((FAILED, VERIFIED), 2, ())


def test_what_its_doer_has_seen_to_work_is_verified_and_what_it_brought_is_kept(
    world: ScriptedWorld, journal: Journal
) -> None:
    world.outcomes["a=1"] = Outcome(True, "smaller", is_seen=True, measured={"after": {"pages": 1}})
    applied = engine(world, journal).apply(plan(replace(step("a"), after=()), steps_stand_alone=True))
    assert (applied.statuses, applied.results) == ((VERIFIED,), ("smaller",))
    ended = only(journal).last(history.STEP_ENDED)
    assert ended is not None
    assert ended.details["measured"] == {"after": {"pages": 1}}


@pytest.mark.parametrize("is_ok", [True, False])
def test_a_step_that_was_interrupted_and_has_ended_ends_the_change(
    world: ScriptedWorld, journal: Journal, is_ok: bool
) -> None:
    world.outcomes["a=1"] = Outcome(is_ok, "interrupted", is_seen=True, is_interrupted=True)
    first = step("a", can_undo=False)
    applied = engine(world, journal).apply(plan(first, step("c"), steps_stand_alone=True))
    assert (applied.exit_code, applied.left_over) == (INTERRUPTED, ())
    assert applied.statuses == (VERIFIED if is_ok else FAILED, PLANNED)
    assert "c=1" not in world.ran
