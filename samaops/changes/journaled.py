"""A plan as the journal keeps it, and back: also one that an earlier version wrote.

Before operations had arguments they had a ``text``: a command line, or words in a fixed order as a shell quotes them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, ValidationError, convert, to_builtins

from samaops.changes import canary
from samaops.changes.rabbitmq import parking, queues
from samaops.i18n import _
from samaops.journal import history
from samaops.journal.history import Change
from samaops.model import encoding
from samaops.model.plan import SHELL, Plan
from samaops.model.typed import ready

# What the words were, in their order.
_OLD_WORDS: dict[str, tuple[type[Struct], tuple[str, ...]]] = {
    queues.TAKE: (queues.Taking, ("queue", "most", "file")),
    queues.RESTORE: (queues.Restoring, ("queue", "file")),
    parking.PARK: (parking.Parking, ("queue", "holding", "label", "seconds", "which")),
    parking.UNPARK: (parking.Unparking, ("queue", "holding", "label", "which")),
    canary.PUBLISH: (canary.Canary, ("queue", "task", "task_id", "lifetime_ms")),
}


def to_plain(plan: Plan) -> Mapping[str, Any]:
    """Return a plan as plain JSON values."""
    plain: Mapping[str, Any] = encoding.encode(plan)
    return plain


def fault_of(change: Change) -> str:
    """Return why this version cannot read what the journal keeps of a change; "" when it can."""
    try:
        steps = len(plan_from(change.plan).steps)
        for event in change.events:
            datetime.fromisoformat(event.at)
            if event.step is not None and not 0 <= event.step < steps:
                return _("there is no step {number}").format(number=event.step)
            if event.kind == history.ENDED and event.details["status"] not in history.STATUSES:
                return _("it ended in a way that is not known: {status!r}").format(
                    status=event.details["status"]
                )
            if event.kind == history.UNDO_ENDED and not isinstance(event.details["is_ok"], bool):
                return f"{event.kind}: is_ok"
        _owner = change.owner
    except (LookupError, TypeError, ValueError) as error:
        return str(error) if isinstance(error, encoding.MisfitError) else f"{type(error).__name__}: {error}"
    return ""


def plan_from(plain: Mapping[str, Any]) -> Plan:
    """Return the plan that the journal keeps. Raises MisfitError when it is none."""
    steps = [
        {**step, "operation": _operation(step["operation"]), "undo": _operation(step["undo"])}
        for step in plain["steps"]
    ]
    return encoding.decode({**plain, "steps": steps}, Plan)


def _operation(plain: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return an operation with arguments in place of an old text."""
    if plain is None or "text" not in plain:
        return plain
    kept = {name: value for name, value in plain.items() if name != "text"}
    return {**kept, "arguments": _arguments(plain["kind"], plain["text"])}


def _arguments(kind: str, text: str) -> Mapping[str, Any]:
    if kind == SHELL:
        return {"command": text}
    try:
        parameters, names = _OLD_WORDS[kind]
        words = dict(zip(names, shlex.split(text), strict=True))
        arguments: Mapping[str, Any] = to_builtins(convert(words, ready(parameters), strict=False))
    except (KeyError, ValueError, ValidationError) as error:
        raise encoding.MisfitError(_("{place}: not of the right kind").format(place="operation")) from error
    return arguments
