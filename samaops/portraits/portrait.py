"""The portrait of a site: parts such as ``rabbitmq@api/policy``, each with its things and their traits.

A part that is there was looked at; one that is not there is unknown, and is never compared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from samaops.facts.observation import Observation, Snapshot
from samaops.facts.portrait import Things, Trait

FactsT = TypeVar("FactsT")
# part -> name of the thing -> attribute -> trait
Portrait = dict[str, dict[str, dict[str, Trait]]]
Portrayal = Callable[[FactsT], Things]

logger = logging.getLogger(__name__)
_portrayals: dict[str, Portrayal[Any]] = {}


def portrays(facts: type[FactsT]) -> Callable[[Portrayal[FactsT]], Portrayal[FactsT]]:
    """Register the decorated function: it returns what facts of this type say of how their system is set up."""

    def register(portrayal: Portrayal[FactsT]) -> Portrayal[FactsT]:
        _portrayals[facts.__name__] = portrayal
        return portrayal

    return register


def place_of(observation: Observation) -> str:
    """Return where the parts of an observation stand, as ``--only`` names it: ``rabbitmq@api``."""
    return f"{observation.system}@{observation.server}" if observation.server else observation.system


def portrait_of(snapshot: Snapshot) -> Portrait:
    """Return how the site is set up, as far as it was seen."""
    portrait: Portrait = {}
    for observation in snapshot.observations:
        portrayal = _portrayals.get(observation.facts_type)
        if portrayal is None or observation.facts is None:
            continue
        place = place_of(observation)
        try:
            kinds = portrayal(observation.facts)
        except Exception:  # a part that is not there is unknown, and is never compared
            logger.exception("the portrait of %s failed", observation.subject)
            continue
        for kind, things in kinds.items():
            portrait.setdefault(f"{place}/{kind}", {}).update(things)
    return portrait
