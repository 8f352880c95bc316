"""All routines of maintenance, and the tasks of all of them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from samaops.config import consistency
from samaops.errors import UsageError
from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.model.routine import ListedTask, Routine
from samaops.site.site import Site
from samaops.workflows.maintenance import past
from samaops.workflows.maintenance.daily import DAILY
from samaops.workflows.maintenance.monthly import MONTHLY
from samaops.workflows.maintenance.past import LastRun
from samaops.workflows.maintenance.weekly import WEEKLY

ROUTINES = (DAILY, WEEKLY, MONTHLY)
# Returns when a routine is due next (ISO 8601); None where nothing plans it.
NextRun = Callable[[Site, Routine], "str | None"]


def listed(
    site: Site | None, next_run: NextRun = lambda _site, _routine: None
) -> tuple[tuple[ListedTask, ...], str]:
    """Return all tasks with how each was last, and why that is not known, "" where it is."""
    found: list[ListedTask] = []
    reason = ""
    for routine in ROUTINES:
        last: Mapping[str, LastRun] = {}
        if site is not None and not reason:
            try:
                last = past.last_runs(site, routine)
            except HistoryError as error:
                reason = error.message
        following = None if site is None else next_run(site, routine)
        for task in routine.tasks:
            done = last.get(task.id)
            found.append(
                ListedTask(routine, task, done.at if done else None, done.result if done else None, following)
            )
    return tuple(found), reason


def routine_of(task: str) -> Routine:
    """Return the routine that a task belongs to: no two have one of the same name. Raises UsageError."""
    for routine in ROUTINES:
        if any(each.id == task for each in routine.tasks):
            return routine
    names = [each.id for routine in ROUTINES for each in routine.tasks]
    text = _("There is no task {name!r}").format(name=task)
    raise UsageError(text + "; " + consistency.not_one_of(task, names), hint="samaops maintain list")
