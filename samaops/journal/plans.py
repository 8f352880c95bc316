"""A plan as the journal keeps it, and back: also one that an earlier version wrote.

Before operations had arguments they had a ``text``: a command line, or words in a fixed order as a shell quotes them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from samaops.i18n import _
from samaops.journal import history
from samaops.journal.history import Change
from samaops.model import encoding
from samaops.model.plan import SHELL, Plan

# What the words were, in their order, by kind of operation.
_OLD_WORDS: Mapping[str, Mapping[str, Callable[[str], object]]] = {
    "rabbitmq.take": {"queue": str, "most": int, "file": str},
    "rabbitmq.restore": {"queue": str, "file": str},
    "rabbitmq.park": {"queue": str, "holding": str, "label": str, "seconds": float, "which": str},
    "rabbitmq.unpark": {"queue": str, "holding": str, "label": str, "which": str},
    "canary.publish": {"queue": str, "task": str, "task_id": str, "lifetime_ms": int},
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
        words = zip(_OLD_WORDS[kind].items(), shlex.split(text), strict=True)
        return {name: read(word) for (name, read), word in words}
    except (KeyError, ValueError) as error:
        raise encoding.MisfitError(_("{place}: not of the right kind").format(place="operation")) from error
