"""Take the facts of one kind out of what was observed, or say why they are not there."""

from __future__ import annotations

from typing import TypeVar

from samaops.errors import UnavailableError
from samaops.facts.observation import Snapshot

FactsT = TypeVar("FactsT")


def one(snapshot: Snapshot, facts_type: type[FactsT], message: str) -> FactsT:
    """Return the facts of one type. Raises UnavailableError: ``message``, with ``{reason}`` filled in."""
    for _observation, facts in snapshot.facts_of(facts_type):
        return facts
    failures = [seen.failure for seen in snapshot.observations if seen.failure is not None]
    raise UnavailableError(message.format(reason=failures[0].message if failures else "?"))
