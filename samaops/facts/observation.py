"""One look at one system, and all looks of one run. Plain data that can be saved and judged again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, field

from samaops.model.failure import Failure
from samaops.model.report import Footprint

FactsT = TypeVar("FactsT")
Moment = Annotated[datetime, Meta(tz=True)]


class Observation(Struct, frozen=True):
    """What one collector saw.

    Either ``facts`` or ``failure`` is set. ``missing`` names the parts of the facts that could not be
    looked at, each with the reason; these fields of the facts are None.
    """

    system: str
    subject: str
    server: str | None
    facts_type: str
    facts: Any = None
    failure: Failure | None = None
    missing: Mapping[str, Failure] = field(default_factory=dict)
    duration_ms: int = 0


class Snapshot(Struct, frozen=True):
    """Everything that one run observed.

    ``own_load`` is how many processes of the machine that looked wanted each of its processors (mean of the last minute).
    """

    taken_at: Moment
    observations: tuple[Observation, ...] = ()
    duration_ms: int = 0
    deadline_hit: bool = False
    footprint: Footprint = field(default_factory=Footprint)
    own_load: float | None = None

    def facts_of(self, facts_type: type[FactsT]) -> Iterator[tuple[Observation, FactsT]]:
        """Yield each successful observation of one type of facts, with the facts themselves."""
        for observation in self.observations:
            if isinstance(observation.facts, facts_type):
                yield observation, observation.facts

    def of_system(self, system: str) -> tuple[Observation, ...]:
        """Return all observations of one system, failed ones too."""
        return tuple(observation for observation in self.observations if observation.system == system)
