"""The tasks of maintenance, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from samaops.i18n import _
from samaops.model.task import Task
from samaops.render.layout import Hanging

SCHEMA = "samaops/tasks/1"


def table(run: str, tasks: Sequence[Task]) -> RenderableType:
    """Return the tasks of one run, each with what it does."""
    width = max(len(one.name) for one in tasks) + 2
    lines: list[RenderableType] = [Text(f"samaops maintain {run}", "bold")]
    for one in tasks:
        mark = _(" (changes something)") if one.changes else ""
        lines.append(Hanging(Text(f"  {one.name.ljust(width)}", "bold"), Text(_(one.does) + mark)))
    return Group(*lines)


def document(run: str, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return the tasks of one run as plain values."""
    return {
        "schema": SCHEMA,
        "tasks": [
            {
                "run": run,
                "name": one.name,
                "does": _(one.does),
                "checks": list(one.codes),
                "changes": one.changes,
            }
            for one in tasks
        ],
    }
