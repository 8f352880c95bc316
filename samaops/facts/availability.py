"""What a report says of a period: availability as an interval, the objectives against what was measured, growth and dates."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from samaops.facts.observation import Moment
from samaops.facts.sample import Span


class Period(Struct, frozen=True):
    """What a report is about. ``label`` is ``2026-10`` for a month of the site's time zone, else both days.

    ``until`` is the first moment behind it; of a month that is not over, this moment (``is_whole`` is false then).
    """

    since: Moment
    until: Moment
    label: str
    is_month: bool = False
    is_whole: bool = True

    @property
    def minutes(self) -> int:
        """How many minutes it has: those of a month with a change of the clock are more or fewer."""
        return round((self.until - self.since).total_seconds() / 60)


class Planned(Struct, frozen=True):
    """A time that was planned and announced: of what, and where that stands (a change's id, a blackout)."""

    since: Moment
    until: Moment
    what: str
    source: str


class Bounds(Struct, frozen=True):
    """Availability in percent: at least, if all that was not observed was down, and at most, if all of it was up.

    None where no minute is left to judge.
    """

    lower: float | None
    upper: float | None


class Day(Struct, frozen=True):
    """A subject on one day of the site's time zone, in minutes."""

    day: date
    up: int = 0
    degraded: int = 0
    down: int = 0
    unobserved: int = 0
    planned: int = 0


class Availability(Struct, frozen=True):
    """How much of a period a subject was there, in minutes. ``planned_minutes`` are those of planned times, whatever it was then.

    Degraded is available. ``all_time`` is over the whole period, ``outside_planned`` without the planned times. ``coverage``
    is the share of the minutes that were observed, in percent. ``outages`` are the times in which it was down.
    ``measured_by`` is what saw it: our own samples.
    """

    subject: str
    since: Moment
    until: Moment
    up_minutes: int
    degraded_minutes: int
    down_minutes: int
    unobserved_minutes: int
    planned_minutes: int
    coverage: float
    all_time: Bounds
    outside_planned: Bounds
    outages: tuple[Span, ...] = ()
    days: tuple[Day, ...] = ()
    planned: tuple[Planned, ...] = ()
    measured_by: str = "samples"

    @property
    def minutes(self) -> int:
        """All minutes of the period."""
        return self.up_minutes + self.degraded_minutes + self.down_minutes + self.unobserved_minutes


class Budget(Struct, frozen=True):
    """How long the service may be down in a period by its target, and what is left, in minutes; planned times cost nothing.

    ``left_at_least`` counts what was not observed as down. Below zero it is overspent.
    """

    target: float
    minutes: float
    spent: int
    left_at_most: float
    left_at_least: float


class MonthValue(Struct, frozen=True):
    """An objective in one month (``2026-10``); ``value`` is None where the month cannot support one."""

    month: str
    value: float | None
    coverage: float


class Kpi(Struct, frozen=True):
    """An objective of the guide against what was measured. ``coverage`` is in percent of the period.

    ``is_least`` is true where the value must be at least the target. ``status`` is ``met``, ``missed`` (between target and
    critical), ``critical`` or ``unknown``. ``value_at_least`` and ``value_at_most`` are the bounds where it is an interval,
    else the same as ``value``. ``basis`` says how it was measured, ``reason`` why there is no value. ``trend`` has six
    months, the oldest first, the period's own month last.
    """

    id: str
    title: str
    target: float
    critical: float
    unit: str
    is_least: bool
    value: float | None
    coverage: float
    status: str
    basis: str
    reason: str = ""
    value_at_least: float | None = None
    value_at_most: float | None = None
    trend: tuple[MonthValue, ...] = ()
    command: str = ""


# The ids of the six objectives, in the guide's order.
AVAILABILITY, API_TIME, DATABASE_TIME, NOTIFICATIONS, HTTP_ERRORS, CONNECTIONS = (
    "availability", "api-time", "database-time", "notifications", "http-errors", "connections",
)  # fmt: skip
MET, MISSED, CRITICAL, UNKNOWN = "met", "missed", "critical", "unknown"


class Capacity(Struct, frozen=True):
    """When something is full, if it goes on as it did. ``now`` and ``limit`` are in ``unit``, growth in it a day.

    ``earliest`` and ``latest`` are the band around ``full_on``; ``latest`` is None where the slow end of the band never
    reaches the limit. All are None where ``reason`` says why no date can be told. ``fit`` is the share of the spread that
    the line explains (0 to 1), ``points`` how many days it goes through.
    """

    subject: str
    server: str | None
    unit: str
    now: float
    limit: float | None
    growth_per_day: float | None = None
    full_on: date | None = None
    earliest: date | None = None
    latest: date | None = None
    reason: str = ""
    fit: float | None = None
    points: int = 0


class Growth(Struct, frozen=True):
    """How much an owner on a server holds, in bytes, and by how much that grew in a period; None: nothing to compare with."""

    server: str
    owner: str
    size_bytes: int
    grown_bytes: int | None = None
    since: Moment | None = None
