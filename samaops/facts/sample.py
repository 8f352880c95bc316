"""What one look a minute shows of what the objectives speak of: each subject up, degraded, down, or not observed."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.observation import Moment

UP, DEGRADED, DOWN, UNOBSERVED = "up", "degraded", "down", "unobserved"
STATES = (UP, DEGRADED, DOWN, UNOBSERVED)
# What a subject is: before its "/" stands what kind of thing, behind it its name.
SERVICE, MEMBER, DATABASE, POOL, QUEUE, REDIS, DISK, NOTIFICATIONS = (
    "service", "member", "database", "pool", "queue", "redis", "disk", "notifications",
)  # fmt: skip
# The service as customers reach it, of which availability is told first.
WHOLE = f"{SERVICE}/vip"


class Sample(Struct, frozen=True):
    """One subject in one minute, such as ``member/api1``. ``value`` is in ``unit`` (ms, messages, MB, %, clients).

    ``age_seconds`` is how long the oldest message of a queue has waited; None where that is not known.
    """

    subject: str
    state: str
    value: float | None = None
    unit: str = ""
    age_seconds: float | None = None
    reason: str = ""
    server: str | None = None

    @property
    def kind(self) -> str:
        """What kind of thing it is of: one of the words above."""
        return self.subject.partition("/")[0]


class Minute(Struct, frozen=True):
    """All that was seen in one minute. ``at`` is its beginning, in UTC; ``cpu_ms`` is what looking cost this machine."""

    at: Moment
    samples: tuple[Sample, ...]
    cpu_ms: int | None = None


class Span(Struct, frozen=True):
    """A subject in one state without a break; ``until`` is the first moment behind it.

    ``is_over``: it was seen in a better state afterwards. Otherwise nobody knows what it was from ``until`` on.
    """

    since: Moment
    until: Moment
    state: str
    is_over: bool = True

    @property
    def minutes(self) -> int:
        """How long that is."""
        return round((self.until - self.since).total_seconds() / 60)
