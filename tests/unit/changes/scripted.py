"""A system of named values in a file, that a plan sets, and that can be told to fail: the engine's real counterpart."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from samaops.changes.engine import Engine
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.run.operations import runs
from samaops.facts.observation import Observation, Snapshot
from samaops.journal.history import Journal
from samaops.model.failure import Failure, FailureKind
from samaops.model.plan import Condition, Operation, Outcome, Plan, Risk, Scalar, Step
from samaops.site.site import Site

CODES = ("scripted.value",)
CURE = "scripted.value.wrong@scripted/all"


@runs("scripted", lines=lambda operation, _site: (operation.command,))
def refuse(operation: Operation, _site: Site) -> Outcome:
    """A scripted operation is run by a scripted world, which must be told of each."""
    raise AssertionError(operation)


@dataclass(frozen=True, slots=True)
class Things:
    """The values that were seen."""

    values: Mapping[str, Scalar]


@reading("scripted.value", codes=CODES)
def value(snapshot: Snapshot, name: str) -> Scalar:
    values = facts_in(snapshot, Things).values
    if name not in values:
        raise UnreadableError(f"there is no {name}")
    return values[name]


@dataclass
class ScriptedWorld:
    """``on`` holds what happens at an operation or, by the number of the look (from 1), at a look."""

    file: Path
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    on: dict[str | int, Callable[[], None]] = field(default_factory=dict)
    is_blind: bool = False
    still_wrong: tuple[str, ...] = ()
    ran: list[str] = field(default_factory=list)
    looks: int = 0

    @property
    def values(self) -> dict[str, Scalar]:
        found: dict[str, Scalar] = json.loads(self.file.read_text())
        return found

    def set(self, name: str, wanted: Scalar) -> None:
        aside = self.file.with_suffix(".new")
        aside.write_text(json.dumps({**self.values, name: wanted}))
        aside.replace(self.file)

    def look(self, codes: tuple[str, ...]) -> Snapshot:
        assert codes
        self.looks += 1
        self.on.get(self.looks, lambda: None)()
        failure = Failure(FailureKind.REFUSED, "Connection refused") if self.is_blind else None
        facts = None if self.is_blind else Things(self.values)
        seen = Observation("scripted", "scripted/all", None, "Things", facts, failure)
        return Snapshot(datetime.now(timezone.utc), (seen,))

    def unhealthy(
        self, keys: tuple[str, ...], snapshot: Snapshot, eased: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        assert keys == (CURE,)
        return self.still_wrong

    def run(self, operation: Operation) -> Outcome:
        self.ran.append(operation.command)
        self.on.get(operation.command, lambda: None)()
        outcome = self.outcomes.get(operation.command, Outcome(True, "done"))
        if outcome.is_ok or outcome.output == "failed late":
            name, _equals, wanted = operation.command.partition("=")
            self.set(name, int(wanted))
        return outcome


def never(_operation: Operation) -> bool:
    """Say of a final undo that it is still to be done."""
    return False


def world_with(directory: Path, **values: Scalar) -> ScriptedWorld:
    file = directory / "values.json"
    file.write_text(json.dumps(values))
    return ScriptedWorld(file)


def step(name: str, risk: Risk = Risk.SAFE, *, can_undo: bool = True) -> Step:
    """Return the step that sets a value from 0 to 1."""
    return Step(
        id=f"scripted.{name}",
        title=f"Set {name}",
        risk=risk,
        operation=Operation("scripted", {"command": f"{name}=1"}),
        before=(Condition("scripted.value", (name,), 0, f"{name} is 0"),),
        after=(Condition("scripted.value", (name,), 1, f"{name} is 1"),),
        undo=Operation("scripted", {"command": f"{name}=0"}) if can_undo else None,
        no_undo="" if can_undo else "it is gone",
    )


def plan(*steps: Step, cures: tuple[str, ...] = (), **changes: Any) -> Plan:
    return Plan("scripted set", ("all",), "Set them", "all", steps, cures, **changes)


def journal_in(directory: Path) -> Journal:
    journal = Journal(f"sqlite:///{directory / 'history.sqlite3'}", "test")
    journal.prepare()
    return journal


def engine(world: ScriptedWorld, journal: Journal, guard: Callable[[], None] = lambda: None) -> Engine:
    """Return an engine that does not wait: what is not so at once will never be."""
    return Engine(world, journal, guard, wait_seconds=0.0)
