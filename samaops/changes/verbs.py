"""What can be changed, by the words of the command line. A verb makes a plan; the engine runs it.

A verb is one declaration, ``@verb``, over the function that plans it; ``samaops.changes.registered`` names
the rooms where they are. It is imported when a verb is asked for by its name: what only lists needs no plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.readings import UnreadableError, register_all
from samaops.errors import UnavailableError
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Plan, Step
from samaops.site.site import Site

Codes = tuple[str, ...]
PlannerT = TypeVar("PlannerT", bound=Callable[..., Plan])


class Verb(Struct, frozen=True):
    """One kind of change.

    ``looks`` names the checks whose facts a plan needs, or is a function ``(site, *arguments)`` that returns them and
    raises UsageError for arguments that name nothing. ``planner`` is a pure function ``(snapshot, site, *arguments)``:
    the same facts give the same plan. It raises RefusedError where a guard forbids the change. ``typed`` returns for
    the arguments of a plan the words that a person types, where these are others.
    """

    name: str
    looks: Codes | Callable[..., Codes]
    planner: Callable[..., Plan]
    typed: Callable[..., tuple[str, ...]] = lambda *arguments: arguments

    def codes(self, site: Site, arguments: Sequence[str]) -> Codes:
        """Return what must be observed first. Raises UsageError."""
        return self.looks(site, *arguments) if callable(self.looks) else self.looks

    def plan(self, snapshot: Snapshot, site: Site, arguments: Sequence[str]) -> Plan:
        """Plan the change. Raises RefusedError, UnavailableError where what must be known could not be looked at."""
        try:
            plan = self.planner(snapshot, site, *arguments)
        except UnreadableError as error:
            text = _("Could not look at what the change needs to know: {reason}")
            raise UnavailableError(text.format(reason=error)) from error
        seen = site.seen_in(snapshot)
        return replace(plan, steps=tuple(_as_running(step, seen) for step in plan.steps))


def _as_running(step: Step, site: Site) -> Step:
    """Return a step with the names that containers have now in its commands."""

    def now(operation: Operation) -> Operation:
        if "command" not in operation.arguments:
            return operation
        command = site.as_running(operation.server, operation.command)
        return replace(operation, arguments={**operation.arguments, "command": command})

    return replace(step, operation=now(step.operation), undo=step.undo and now(step.undo))


_verbs: dict[str, Verb] = {}


def verb(
    name: str,
    *,
    looks: Codes | Callable[..., Codes],
    typed: Callable[..., tuple[str, ...]] = lambda *arguments: arguments,
) -> Callable[[PlannerT], PlannerT]:
    """Register the decorated function as the planner of a verb."""

    def register(planner: PlannerT) -> PlannerT:
        if name in _verbs:
            raise ValueError(f"two verbs with the name {name}")
        _verbs[name] = Verb(name, looks, planner, typed)
        return planner

    return register


def names() -> tuple[str, ...]:
    """Return all verbs."""
    register_all()
    return tuple(sorted(_verbs))


def find(name: str) -> Verb:
    """Return a verb."""
    register_all()
    return _verbs[name]
