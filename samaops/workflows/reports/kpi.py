"""The guide's six objectives against what was measured in a period."""

from __future__ import annotations

from samaops.facts.availability import Kpi, Period
from samaops.model.table import Table
from samaops.site.site import Site


def observed(site: Site, period: Period) -> tuple[Kpi, ...]:
    """Return the six objectives in the guide's order. Raises UnavailableError where the history cannot be read."""
    raise NotImplementedError


def table(site: Site, period: Period) -> Table:
    """Return the same as a list for people. Raises UnavailableError."""
    raise NotImplementedError
