"""What is observed of the load balancer: the virtual address as customers see it, and the F5's own view."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.health import HealthAnswer

AVAILABLE = "available"


class VipFacts(Struct, frozen=True):
    """How the virtual address answers on the health path."""

    answer: HealthAnswer


class MemberFacts(Struct, frozen=True):
    """One pool member, in the F5's words (availability, enabled state, reason, monitor status, session)."""

    name: str
    availability: str
    enabled: str
    reason: str
    monitor_status: str
    session: str
    current_connections: int | None

    @property
    def is_forced(self) -> bool:
        """Whether a person took it out: disabled, or forced offline."""
        return self.enabled.startswith("disabled") or self.reason.lower().startswith("forced")

    @property
    def is_serving(self) -> bool:
        """Whether it is given new connections; "unknown" is a member without a monitor."""
        return not self.is_forced and self.availability in (AVAILABLE, "unknown")


class MonitorFacts(Struct, frozen=True):
    """One monitor of the pool. ``receive`` is "" where it accepts any answer; None: not an HTTP monitor."""

    name: str
    receive: str | None
    send: str


class BigIpFacts(Struct, frozen=True):
    """The F5's view of pool and virtual server."""

    pool: str
    virtual_server: str
    members: tuple[MemberFacts, ...]
    monitors: tuple[MonitorFacts, ...] | None
    virtual_availability: str | None
    virtual_enabled: str | None
    virtual_reason: str | None
