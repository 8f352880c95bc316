"""What is done again and again, as every night: a routine is a table of tasks, and a task is one declaration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from samaops.model.finding import Finding


class Kept(Struct, frozen=True):
    """What a task keeps for the next runs: the field ``name`` of these facts, or ``field``, for each server.

    ``form`` is the field's type. A later run compares with what was kept at least so many ``hours`` before it, where
    there is such a run, else with the oldest; without ``hours``, with the newest.
    """

    name: str
    facts: type
    form: Any
    hours: float | None = None
    field: str = ""

    @property
    def kept_field(self) -> str:
        """The name of the field that is kept."""
        return self.field or self.name


class TaskChange(Struct, frozen=True):
    """What a task changes: the verb that is planned and run, and the words for what it achieved.

    ``achieved`` is given a finding of the task after the change, and the snapshots before and after it. ``arguments`` are
    those of the verb; ``prepare`` plans it for a site where what must be known for that is not all in its looks. ``wait_seconds``
    bounds how long its effect is waited for. ``on`` tells by the settings whether it can be made at all.
    """

    verb: str
    achieved: Callable[[Finding, Any, Any], Finding] = lambda finding, _before, _after: finding
    arguments: tuple[str, ...] = ()
    prepare: Callable[[Any], Any] | None = None
    wait_seconds: float = 20.0
    on: Callable[[Any], bool] | None = None


class Task(Struct, frozen=True):
    """One thing that a routine does: its name on the command line, and the checks it asks for.

    ``sections`` are those of the configuration without which there is nothing to do; any of them is enough.
    ``warning`` holds limits of the routine's own, by code, which a site may set otherwise. ``with_words`` adds to a
    finding what the routine's snapshot says of it. ``on`` tells by the settings whether a task is done at all, where
    it is not always. One that ``is_last`` looks at nothing: it is done when all else was kept and told, by whoever asks for
    the run.
    """

    id: str
    title: str
    codes: tuple[str, ...]
    sections: tuple[str, ...]
    warning: Mapping[str, float] = field(default_factory=dict)
    with_words: Callable[[Finding, Any], Finding] | None = None
    keeps: Kept | None = None
    change: TaskChange | None = None
    on: Callable[[Any], bool] | None = None
    is_last: bool = False


class Routine(Struct, frozen=True):
    """Tasks that are done together. ``spare`` is the share of the time that is left for changing, keeping and telling.

    ``hours`` is how far apart its runs are. ``limit_seconds`` returns by the settings how long a run may take.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    spare: float
    hours: float = 24.0
    limit_seconds: Callable[[Any], float] = lambda settings: float(settings.maintenance.limit_seconds)

    @property
    def command(self) -> str:
        """The command that runs it; its lock and its records are named after it too."""
        return f"maintain {self.name}"

    @property
    def keeps(self) -> tuple[Kept, ...]:
        """What its tasks keep for the next runs."""
        return tuple(task.keeps for task in self.tasks if task.keeps is not None)


class ListedTask(Struct, frozen=True):
    """A task as it is listed. Times are ISO 8601 in UTC: of the last run, and the next where one is planned.

    ``result`` is the worst status of the last run, or "failed"; None where it was never done.
    """

    routine: Routine
    task: Task
    last_run_at: str | None = None
    result: str | None = None
    next_run_at: str | None = None
