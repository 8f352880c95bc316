"""What grows, and when it is full if it goes on so: a date with a band, or none where the days do not lie on a line."""

from __future__ import annotations

from samaops.facts.availability import Capacity, Growth, Period
from samaops.model.table import Table
from samaops.site.site import Site


def foreseen(site: Site, period: Period) -> tuple[Capacity, ...]:
    """Return what has a limit, the soonest full first. Raises UnavailableError where the history cannot be read."""
    raise NotImplementedError


def growth(site: Site, period: Period) -> tuple[Growth, ...]:
    """Return what each owner holds at the end of a period, and by how much that grew. Raises UnavailableError."""
    raise NotImplementedError


def table(site: Site, period: Period) -> Table:
    """Return what has a limit as a list for people. Raises UnavailableError."""
    raise NotImplementedError
