"""Which time a report is about: a month of the site's time zone, or between two moments."""

from __future__ import annotations

from datetime import datetime

from samaops.facts.availability import Period
from samaops.site.site import Site


def of_month(site: Site, month: str, now: datetime | None = None) -> Period:
    """Return a month such as ``2026-10``, the last whole one where it is empty. Raises UsageError."""
    raise NotImplementedError


def between(site: Site, since: datetime, until: datetime, now: datetime | None = None) -> Period:
    """Return the time between two moments, until now at most. Raises UsageError where it is none."""
    raise NotImplementedError


def before(site: Site, period: Period, months: int) -> tuple[Period, ...]:
    """Return so many months up to that in which a period ends, the oldest first."""
    raise NotImplementedError
