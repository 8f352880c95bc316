"""Availability of a period: an interval with its coverage, planned times shown both ways."""

from __future__ import annotations

from samaops.facts.availability import Availability, Budget, Period
from samaops.model.table import Table
from samaops.site.site import Site


def observed(site: Site, period: Period) -> tuple[Availability, ...]:
    """Return each subject's availability, the whole service first. Raises UnavailableError where the history cannot be read."""
    raise NotImplementedError


def budget(availability: Availability, target: float = 99.9) -> Budget:
    """Return how long it may be down in its period by a target in percent, and what is left of that."""
    raise NotImplementedError


def table(site: Site, period: Period) -> Table:
    """Return the same as a list for people. Raises UnavailableError."""
    raise NotImplementedError
