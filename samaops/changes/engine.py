"""Run a plan: one step after the other, each journaled before and after, verified, and taken back on failure.

The engine knows no system. What it sees and does it asks of a ``World``, which a test can script.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from samaops.changes import readings
from samaops.changes.undo import of_what_was_made
from samaops.errors import INTERRUPTED, LOCKED, REFUSED, SamaopsError
from samaops.facts.observation import Snapshot
from samaops.i18n import _, joined
from samaops.journal import history
from samaops.journal.database import HistoryError
from samaops.journal.plans import to_plain
from samaops.model.plan import ActionStatus, Condition, LeftOut, Operation, Outcome, Plan, Step, codes_in

FAILED = 2
PAUSE_SECONDS = 1.0
# RabbitMQ's management API shows what was every five seconds.
SETTLE_SECONDS = 6.0
FROZEN_SECONDS = 30.0
_MOST_INTERRUPTS = 1
_DONE = (ActionStatus.APPLIED, ActionStatus.VERIFIED)
SentencesT = TypeVar("SentencesT", str, "tuple[str, ...]")


class World(Protocol):
    """The system as the engine meets it."""

    def look(self, codes: tuple[str, ...]) -> Snapshot:
        """Observe, now, what the checks under these codes need."""

    def unhealthy(
        self, keys: tuple[str, ...], snapshot: Snapshot, eased: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Return a sentence for each of these findings that is anything but ok; those in ``eased`` may be a warning."""

    def run(self, operation: Operation) -> Outcome:
        """Run an operation once."""


class Journal(Protocol):
    """Where the engine writes what it does; see ``samaops.journal.history.Journal``."""

    def begin(self, plan: Mapping[str, Any]) -> str:
        """Write that a change begins and return its id."""

    def write(self, change: str, kind: str, step: int | None, details: Mapping[str, Any]) -> None:
        """Append one event."""


class Applied(Struct, frozen=True):
    """How a change ended: each step's status and result, the exit code, why it failed when it did, what was left out."""

    change: str
    statuses: tuple[ActionStatus, ...]
    exit_code: int = 0
    failure: str = ""
    left_over: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class _StopError(Exception):
    """The change cannot go on: why, and with which exit code when nothing had been changed yet."""

    def __init__(self, reason: str, exit_code: int = FAILED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_code = exit_code


class _SkippedError(_StopError):
    """A step could not be made now, and nothing was done."""


class Engine(Struct, frozen=True):
    """What a change is made with.

    ``guard`` is called before each step and raises a SamaopsError when the lock is no longer ours.
    ``wait_seconds`` bounds how long each effect is waited for.
    """

    world: World
    journal: Journal
    guard: Callable[[], None]
    wait_seconds: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def apply(self, plan: Plan) -> Applied:
        """Run a plan and return how it ended; whatever goes wrong, what was done is taken back first.

        Raises HistoryError when the journal cannot even be begun: then nothing was done.
        """
        change = self.journal.begin(to_plain(plan))
        run = _Run(self, plan, change)
        try:
            for number, step in enumerate(plan.steps):
                run.take_alone(number, step) if plan.steps_stand_alone else run.take(number, step)
                if step.ends_part:
                    run.keep()
            run.verify()
        except _StopError as stop:
            return run.fail(stop.reason, stop.exit_code)
        except KeyboardInterrupt:
            return run.fail(_("interrupted"), INTERRUPTED)
        except SamaopsError as error:  # the lock or the journal was lost, or the configuration has gone
            return run.fail(error.message, error.exit_code)
        except BaseException as error:
            run.fail(type(error).__name__, FAILED)
            raise
        return run.succeed()


class _Run:
    """One plan on its way."""

    def __init__(self, engine: Engine, plan: Plan, change: str) -> None:
        self._engine = engine
        self._plan = plan
        self._change = change
        self._touched: list[int] = []
        self._has_begun = False
        self._over: set[int] = set()
        self._statuses = [ActionStatus.PLANNED] * len(plan.steps)
        self._unwritten = ""
        # How often somebody interrupted what takes back.
        self._interrupts = 0
        # Of steps that stand alone: why some failed, and what is left of them.
        self._failures: list[str] = []
        self._left_over: list[str] = []
        self._left_out: list[LeftOut] = []
        # Why another samaops, which was at it, kept us from some.
        self._busy = ""
        self._results = [""] * len(plan.steps)
        self._measured: dict[int, Mapping[str, Any]] = {}

    def take_alone(self, number: int, step: Step) -> None:
        """Make a step of which the others do not depend: where it fails, it alone is taken back."""
        try:
            self.take(number, step)
        except _SkippedError as stop:
            self._statuses[number] = ActionStatus.REFUSED
            self._left_out.append(LeftOut(step.about, stop.reason))
            self._busy = stop.reason if stop.exit_code == LOCKED else self._busy
        except _StopError as stop:
            self._failures.append(stop.reason)
            if self._statuses[number] is ActionStatus.PLANNED:
                self._statuses[number] = ActionStatus.REFUSED
            self._left_over += self._take_back_all()
        self._touched.clear()  # what has ended well stays, whatever becomes of the others

    def take(self, number: int, step: Step) -> None:
        """Read again what the step relies on, run it, and see that it worked."""
        self._engine.guard()
        conditions = (*step.needs, *step.before)
        snapshot = self._look(conditions)
        broken = readings.broken(conditions, snapshot)
        if broken:
            text = _("Stopped before {step!r}: what it relies on has changed: {condition}")
            raise _StopError(text.format(step=step.title, condition=broken), REFUSED)
        self._write(history.STEP_BEGUN, number, {"before": _values(conditions, snapshot)})
        self._touched.append(number)
        self._has_begun = True
        outcome = self._engine.world.run(step.operation)
        ended = {"is_ok": outcome.is_ok, "output": outcome.output}
        measured = {"measured": outcome.measured} if outcome.measured else {}
        self._write(history.STEP_ENDED, number, {**ended, **measured})
        self._measured[number] = outcome.measured
        self._results[number] = outcome.output if outcome.is_ok and outcome.measured else ""
        if not outcome.is_ok and outcome.is_seen:
            self._touched.remove(number)  # nothing is left of it
            self._statuses[number] = ActionStatus.FAILED
        if not outcome.is_ok and outcome.is_interrupted:
            raise KeyboardInterrupt
        if outcome.is_skipped:
            self._forget(number)
            raise _SkippedError(outcome.output, LOCKED if outcome.is_busy else REFUSED)
        if not outcome.is_ok:
            self._over.update(() if outcome.may_go_on else (number,))
            raise _StopError(_("{step}: it failed: {said}").format(step=step.title, said=outcome.output))
        self._over.add(number)
        self._left_out += outcome.left_out
        self._statuses[number] = ActionStatus.APPLIED
        broken = self._await(step.after)
        if broken:
            text = _("{step}: it was done, but had no effect within {seconds:g} s: {condition}")
            seconds = self._engine.wait_seconds
            raise _StopError(text.format(step=step.title, seconds=seconds, condition=broken))
        if step.after or outcome.is_seen:
            self._write(history.STEP_VERIFIED, number, {})
            self._statuses[number] = ActionStatus.VERIFIED
        if outcome.is_interrupted:
            self._touched.remove(number)
            raise KeyboardInterrupt

    def keep(self) -> None:
        """Let all that was done so far stay, whatever becomes of the steps that follow."""
        self._touched.clear()

    def _forget(self, number: int) -> None:
        """Take a step, of which nothing was done, for one that was never begun, where others depend on it."""
        if not self._plan.steps_stand_alone:
            self._touched = [touched for touched in self._touched if touched != number]
            self._has_begun = any(status is not ActionStatus.PLANNED for status in self._statuses)

    def verify(self) -> None:
        """Wait until every finding that asked for the change is gone."""
        keys = self._plan.cures
        if not keys:
            return
        world = self._engine.world
        eased = self._plan.eases
        findings = self._until_empty(lambda: world.unhealthy(keys, world.look(codes_in(keys)), eased))
        if findings:
            text = _("Everything was done, but after {seconds:g} s it is not cured: {findings}")
            seconds = self._engine.wait_seconds
            raise _StopError(text.format(seconds=seconds, findings=joined(findings)))

    def succeed(self) -> Applied:
        """Close the journal of a change that did what it was to do; applied where nothing of it can be verified."""
        if self._failures:
            return self._succeed_in_part()
        status = ActionStatus.APPLIED
        if self._plan.cures or ActionStatus.VERIFIED in self._statuses:
            status = ActionStatus.VERIFIED
        is_any = any(each in _DONE for each in self._statuses)
        if not is_any and self._left_out:
            status = ActionStatus.REFUSED
        self._statuses = [status if each in _DONE else each for each in self._statuses]
        try:
            self._end(status.value)
        except HistoryError as error:  # it is done; that this was not written must be known
            return self._applied(error.exit_code, error.message)
        # Nothing at all was done: whoever asked has to come again, as where the lock of all changes was held.
        return self._applied() if is_any or not self._busy else self._applied(LOCKED, self._busy)

    def _applied(self, exit_code: int = 0, failure: str = "", left_over: tuple[str, ...] = ()) -> Applied:
        results = tuple(self._results) if any(self._results) else ()
        left_out = tuple(self._left_out)
        return Applied(self._change, tuple(self._statuses), exit_code, failure, left_over, results, left_out)

    def _succeed_in_part(self) -> Applied:
        """Close the journal of steps that stand alone, of which some failed."""
        reason, left_over = joined(self._failures), tuple(self._left_over)
        self._note(lambda: self._end(ActionStatus.FAILED.value, reason, left_over))
        failure = f"{reason}. {self._unwritten}" if self._unwritten else reason
        return self._applied(FAILED if self._has_begun else REFUSED, failure, left_over)

    def fail(self, reason: str, exit_code: int) -> Applied:
        """Take back what was done, newest first, and close the journal; say what could not be taken back."""
        left_over = (*self._left_over, *self._take_back_all())
        if not self._has_begun:
            status = "refused"
            self._statuses = [ActionStatus.REFUSED] * len(self._statuses)
        else:
            # Of steps that stand alone, those that were made stay.
            is_kept = any(status in _DONE for status in self._statuses)
            status = "failed" if left_over or is_kept else "reverted"
            exit_code = exit_code if exit_code == INTERRUPTED else FAILED
        try:
            self._note(lambda: self._end(status, reason, left_over))
        except KeyboardInterrupt:  # that it has ended must be known
            self._note(lambda: self._end(status, reason, left_over))
        failure = f"{reason}. {self._unwritten}" if self._unwritten else reason
        return self._applied(exit_code, failure, left_over)

    def _take_back_all(self) -> Iterable[str]:
        for number in reversed(self._touched):
            step = self._plan.steps[number]
            left = self._left_of(number, step)
            is_back = not left and (step.undo is not None or not self._plan.steps_stand_alone)
            self._statuses[number] = ActionStatus.REVERTED if is_back else ActionStatus.FAILED
            if left:
                yield left

    def _left_of(self, number: int, step: Step) -> str:
        """Undo a step, whatever comes in between; return what is left of it, in a sentence.

        Ctrl-C is pressed twice by habit: the first one here begins anew, as an undo may be done again. The second one
        leaves what is not yet taken back.
        """
        reason = _("interrupted")
        while self._interrupts <= _MOST_INTERRUPTS:
            try:
                return self._take_back(number, step)
            except KeyboardInterrupt:
                self._interrupts += 1
            except SamaopsError as error:
                reason = error.message
                break
        return _("{step}: taking it back failed: {reason}").format(step=step.title, reason=reason)

    def _take_back(self, number: int, step: Step) -> str:
        """Undo a step and see that it is as before; return what is left of it, in a sentence."""
        if step.undo is None:
            if number not in self._over:
                return _(
                    "{step}: it was begun and may still happen; it cannot be taken back: {reason}"
                ).format(step=step.title, reason=step.no_undo)
            if step.before and readings.hold(step.before, self._look(step.before)):
                return ""
            return _("{step}: it cannot be taken back: {reason}").format(step=step.title, reason=step.no_undo)
        if step.is_undone_only_if_seen and self._had_no_effect(step):
            return ""
        changed = self._changed_by_others(number, step)
        if changed:
            text = _("{step}: it is not taken back, others have changed it since: {condition}")
            return text.format(step=step.title, condition=changed)
        self._note(lambda: self._write(history.UNDO_BEGUN, number, {}))
        outcome = self._engine.world.run(of_what_was_made(step.undo, self._measured.get(number, {})))
        broken = "" if outcome.is_ok else outcome.output
        if outcome.is_ok and not step.is_undo_final:
            broken = self._await(step.before)
        details = {"is_ok": not broken, "output": broken or outcome.output}
        self._note(lambda: self._write(history.UNDO_ENDED, number, details))
        text = _("{step}: taking it back failed: {reason}")
        return text.format(step=step.title, reason=broken) if broken else ""

    def _changed_by_others(self, number: int, step: Step) -> str:
        """Return what is no longer as this step left it, where somebody else could have the lock since; they stay."""
        if self._statuses[number] is not ActionStatus.VERIFIED or not step.after:
            return ""
        try:
            self._engine.guard()
        except SamaopsError:
            return readings.broken(step.after, self._look(step.after))
        return ""

    def _had_no_effect(self, step: Step) -> bool:
        """Return whether all is as before, also once what shows it has had time to change."""
        self._engine.sleep(SETTLE_SECONDS)
        return readings.hold(step.before, self._look(step.before))

    def _look(self, conditions: Iterable[Condition]) -> Snapshot:
        return self._engine.world.look(readings.codes_of(conditions))

    def _await(self, conditions: tuple[Condition, ...]) -> str:
        """Wait until all conditions hold; return the sentence about one that does not in time."""
        if not conditions:
            return ""
        return self._until_empty(lambda: readings.broken(conditions, self._look(conditions)))

    def _until_empty(self, look: Callable[[], SentencesT]) -> SentencesT:
        ends_at = time.monotonic() + self._engine.wait_seconds
        while True:
            began_at = time.monotonic()
            sentences = look()
            now = time.monotonic()
            # No look takes so long: this machine slept, or this process was stopped, and what it saw says nothing.
            if sentences and now - began_at > FROZEN_SECONDS:
                sentences = look()
            if not sentences or now + PAUSE_SECONDS > ends_at:
                return sentences
            self._engine.sleep(PAUSE_SECONDS)

    def _end(self, status: str, reason: str = "", left_over: tuple[str, ...] = ()) -> None:
        details = {
            "status": status,
            "reason": reason,
            "left_over": list(left_over),
            "undoes": self._plan.undoes,
        }
        self._write(history.ENDED, None, details)

    def _write(self, kind: str, step: int | None, details: Mapping[str, Any]) -> None:
        self._engine.journal.write(self._change, kind, step, details)

    def _note(self, write: Callable[[], None]) -> None:
        """Write while taking back: the way back is gone to its end even when the journal is lost, and that is said."""
        try:
            write()
        except HistoryError as error:
            self._unwritten = error.message


def _values(conditions: Iterable[Condition], snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return what was read just before a step: the before-values of the journal."""
    return [
        {
            "reading": condition.reading, "of": list(condition.of),
            "value": readings.value_of(condition, snapshot), "text": condition.text,
        }
        for condition in conditions
    ]  # fmt: skip
