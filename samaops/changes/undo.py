"""The plan that takes a journaled change back: its steps inverted, newest first, from the journal alone."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from samaops.changes import readings
from samaops.changes.run import operations
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.journal import history
from samaops.journal.history import Change
from samaops.model import encoding
from samaops.model.plan import Plan, Risk, Step


def plan_of(change: Change) -> Plan:
    """Return the plan that a change was begun with."""
    plan: Plan = encoding.decode(change.plan, Plan)
    return plan


def codes_of(change: Change) -> tuple[str, ...]:
    """Return what must be observed to plan the undoing."""
    steps = [step for _number, step in touched(change)]
    return readings.codes_of(one for step in steps for one in (*step.needs, *step.before, *step.after))


def touched(change: Change) -> Iterator[tuple[int, Step]]:
    """Yield the steps that may have had an effect, newest first: begun, and not taken back since."""
    steps = plan_of(change).steps
    begun = {one.step for one in change.events if one.kind == history.STEP_BEGUN}
    back = {one.step for one in change.events if one.kind == history.UNDO_ENDED and one.details["is_ok"]}
    for number in reversed(range(len(steps))):
        if number in begun - back:
            yield number, steps[number]


def plan(change: Change, snapshot: Snapshot) -> Plan:
    """Return the plan that takes a change back.

    A step whose before-value is there again needs nothing. Raises RefusedError when a step has no undo, or when
    somebody has changed the same thing since.
    """
    original = plan_of(change)
    steps, notes = [], []
    for _number, step in touched(change):
        if _is_back(step, snapshot):
            continue
        if step.undo is None:
            notes.append(
                _("{step}: it cannot be taken back: {reason}").format(step=step.title, reason=step.no_undo)
            )
            continue
        steps.append(_inverse(step, snapshot))
    if notes and not steps:
        raise RefusedError("; ".join(notes), hint=f"samaops history show {change.id}")
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
    )


def _is_back(step: Step, snapshot: Snapshot) -> bool:
    if step.undo is not None and step.is_undo_final:
        return operations.is_done(step.undo)
    return bool(step.before) and readings.hold(step.before, snapshot)


def _inverse(step: Step, snapshot: Snapshot) -> Step:
    assert step.undo is not None
    inverse = replace(
        step,
        id=f"{step.id}.undo",
        # What was lost is brought back: nothing is lost by that.
        risk=Risk.DISRUPTIVE if step.risk is Risk.DESTRUCTIVE else step.risk,
        title=_("Take back: {title}").format(title=step.title),
        operation=step.undo,
        undo=step.operation,
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
