"""The tasks of maintenance, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.routine import Routine
from samaops.render.layout import Hanging

SCHEMA = "samaops/tasks/1"


def table(*routines: Routine) -> RenderableType:
    """Return the tasks of some routines, each with what it does."""
    return Group(*(line for routine in routines for line in _lines(routine)))


def _lines(routine: Routine) -> Iterator[RenderableType]:
    width = max(len(task.id) for task in routine.tasks) + 2
    yield Text(f"samaops {routine.command}", "bold")
    for task in routine.tasks:
        mark = _(" (changes something)") if task.change else ""
        yield Hanging(Text(f"  {task.id.ljust(width)}", "bold"), Text(_(task.title) + mark))


def document(*routines: Routine) -> dict[str, Any]:
    """Return the tasks of some routines as plain values."""
    return {
        "schema": SCHEMA,
        "tasks": [
            {
                "run": routine.name,
                "name": task.id,
                "does": _(task.title),
                "checks": list(task.codes),
                "changes": task.change is not None,
            }
            for routine in routines
            for task in routine.tasks
        ],
    }
