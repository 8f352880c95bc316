"""The tasks of maintenance, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.routine import ListedTask, Routine
from samaops.model.status import Status
from samaops.render import words
from samaops.render.layout import Hanging

SCHEMA = "samaops/tasks/1"


def table(listed: Iterable[ListedTask]) -> RenderableType:
    """Return the tasks of some routines, each with what it does, and how it was last."""
    return Group(
        *(
            line
            for routine, tasks in groupby(listed, lambda each: each.routine)
            for line in _lines(routine, tuple(tasks))
        )
    )


def _lines(routine: Routine, listed: tuple[ListedTask, ...]) -> Iterator[RenderableType]:
    width = max(len(each.task.id) for each in listed) + 2
    yield Text(f"samaops {routine.command}", "bold")
    following = listed[0].next_run_at
    if following is not None:
        yield Text("  " + _("next: {moment}").format(moment=_minute(following)))
    for each in listed:
        mark = _(" (changes something)") if each.task.change else ""
        yield Hanging(
            Text(f"  {each.task.id.ljust(width)}", "bold"), Text(_(each.task.title) + mark + _last(each))
        )


def _last(each: ListedTask) -> str:
    if each.last_run_at is None:
        return ""
    known = each.result in [status.value for status in Status]
    result = words.status(Status(each.result)) if known else _("failed")
    return "\n" + _("last: {moment}, {result}").format(moment=_minute(each.last_run_at), result=result)


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ") + " UTC"


def document(listed: Iterable[ListedTask]) -> dict[str, Any]:
    """Return the tasks of some routines as plain values."""
    return {
        "schema": SCHEMA,
        "tasks": [
            {
                "run": each.routine.name,
                "name": each.task.id,
                "does": _(each.task.title),
                "checks": list(each.task.codes),
                "changes": each.task.change is not None,
                "last_run_at": each.last_run_at,
                "last_result": each.result,
                "next_run_at": each.next_run_at,
            }
            for each in listed
        ],
    }
