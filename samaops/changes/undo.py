"""The plan that takes a journaled change back: its steps inverted, newest first, from the journal alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from samaops.changes import readings
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.i18n import _, joined
from samaops.journal import history
from samaops.journal.history import Change
from samaops.journal.plans import plan_from
from samaops.model.plan import Operation, Plan, Risk, Step

# Of an undo that takes back no more than what its step has made: as that said when it ended.
MADE = "made"


def of_what_was_made(undo: Operation, measured: Mapping[str, Any]) -> Operation:
    """Return an undo with what its step has made, where it asks for that; None in it where the step did not come to say it."""
    if MADE not in undo.arguments:
        return undo
    return replace(undo, arguments={**undo.arguments, MADE: measured.get(MADE)})


def codes_of(change: Change) -> tuple[str, ...]:
    """Return what must be observed to plan the undoing."""
    conditions = (
        condition
        for step, _is_kept in _touched(change, plan_from(change.plan))
        for condition in (*step.needs, *step.before, *step.after)
    )
    return readings.codes_of(conditions)


def _touched(change: Change, original: Plan) -> Iterator[tuple[Step, bool]]:
    """Yield the steps that may have had an effect, newest first: begun, and not taken back since. Their undos know what they made.

    With each, whether it is of a part that has ended well: then it stays, since later steps of it have taken back what can be.
    """
    begun = {event.step for event in change.events if event.kind == history.STEP_BEGUN}
    back = {
        event.step for event in change.events if event.kind == history.UNDO_ENDED and event.details["is_ok"]
    }
    verified = {event.step for event in change.events if event.kind == history.STEP_VERIFIED}
    measured = {
        event.step: event.details.get("measured", {})
        for event in change.events
        if event.kind == history.STEP_ENDED
    }
    ended = [number for number, step in enumerate(original.steps) if step.ends_part and number in verified]
    for number, step in reversed(list(enumerate(original.steps))):
        if number in begun - back:
            if step.undo is not None:
                step = replace(step, undo=of_what_was_made(step.undo, measured.get(number, {})))  # noqa: PLW2901
            yield step, number <= max(ended, default=-1)


def plan(change: Change, snapshot: Snapshot, is_done: Callable[[Operation], bool]) -> Plan:
    """Return the plan that takes a change back; ``is_done`` tells whether nothing is left to do of a final undo.

    A step whose before-value is there again needs nothing. Raises RefusedError when a step has no undo, or when
    somebody has changed the same thing since.
    """
    original = plan_from(change.plan)
    steps, notes = [], []
    for step, is_kept in _touched(change, original):
        if is_kept and (step.undo or step.risk is Risk.SAFE):
            continue
        final = step.undo if step.is_undo_final else None
        is_back = is_done(final) if final else bool(step.before) and readings.hold(step.before, snapshot)
        if is_back:
            continue
        if step.undo is None:
            notes.append(
                _("{step}: it cannot be taken back: {reason}").format(step=step.title, reason=step.no_undo)
            )
            continue
        steps.append(_inverse(step, snapshot))
    if notes and not steps:
        raise RefusedError(joined(notes), hint=f"samaops history show {change.id}")
    nothing = "" if steps else _("nothing of the change {id} is left to take back").format(id=change.id)
    return Plan(
        verb="undo",
        arguments=(change.id,),
        title=_("Take back: {title}").format(title=original.title),
        target=original.target,
        steps=tuple(steps),
        nothing_to_do=nothing,
        undoes=change.id,
        notes=tuple(notes),
        lock=original.lock,
    )


def _inverse(step: Step, snapshot: Snapshot) -> Step:
    assert step.undo is not None
    inverse = replace(
        step,
        id=f"{step.id}.undo",
        risk=_risk_of_undo(step),
        title=_("Take back: {title}").format(title=step.title),
        operation=step.undo,
        undo=step.operation,
        destroys=step.undo_destroys,
        undo_restores="",
        undo_destroys="",
        before=step.after,
        after=step.before,
    )
    if step.is_undo_final:
        return replace(inverse, before=(), after=(), undo=None, no_undo=_("others may have it already"))
    broken = readings.broken(step.after, snapshot)
    if broken:
        text = _("It was changed again since: {condition}. Nothing was changed now")
        raise RefusedError(text.format(condition=broken))
    return inverse


def _risk_of_undo(step: Step) -> Risk:
    """What was lost is brought back: nothing is lost by that, unless the step says what is."""
    if step.undo_destroys:
        return Risk.DESTRUCTIVE
    return Risk.DISRUPTIVE if step.risk is Risk.DESTRUCTIVE else step.risk
