"""What is observed of the load balancer: the virtual address as customers see it, and the F5's own view."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from samaops.facts.health import HealthAnswer

AVAILABLE = "available"
# What a person may set a member to: disabled still gets the sessions that persist, offline nothing new.
ENABLED, DISABLED, OFFLINE = "enabled", "disabled", "offline"


class VipFacts(Struct, frozen=True):
    """How the virtual address answers on the health path."""

    answer: HealthAnswer


class MemberFacts(Struct, frozen=True):
    """One pool member, in the F5's words (availability, enabled state, reason, monitor status, session).

    A word that the balancer did not give is "". ``address`` is where it serves, host:port. ``setting`` is what a person
    has set it to itself, and not its node: enabled, disabled, offline; "" where that is not known.
    """

    name: str
    availability: str
    enabled: str
    reason: str
    monitor_status: str
    session: str
    current_connections: int | None
    address: str = ""
    setting: str = ""

    @property
    def is_forced(self) -> bool:
        """Whether a person took it out: it or its node is disabled, forced offline, or in maintenance."""
        return (
            self.enabled.startswith("disabled")
            or self.session.endswith("disabled")
            or self.monitor_status in _BY_A_PERSON
            or self.reason.lower().startswith("forced")
        )

    @property
    def is_name(self) -> bool:
        """Whether it only stands for the members to which a name resolves, and gets no connections itself."""
        return self.monitor_status.startswith("fqdn")

    @property
    def state(self) -> str:
        """What it is to new connections; "" when the F5 says what is not known here.

        The words are those of the F5's icons and of its monitors (F5-BIGIP-LOCAL-MIB, ltmPoolMemberMonitorStatus):
        available is green, unavailable yellow (a limit of its own), offline red, unknown blue (no answer of a monitor).
        """
        if self.is_forced:
            return "taken-out"
        if self.is_name:
            return self.monitor_status
        of_an_icon = {
            AVAILABLE: "serving",
            "unavailable": "limit" if "limit" in self.reason else "unavailable",
            "unknown": _WITHOUT_ANSWER.get(self.monitor_status, ""),
            "offline": _OFFLINE.get(
                self.monitor_status, "down" if "by a monitor" in self.reason else "offline"
            ),
            "unlicensed": "unlicensed",
        }
        return of_an_icon.get(self.availability, "")

    @property
    def is_serving(self) -> bool:
        """Whether it is given new connections; one that no monitor looks at is too."""
        return self.state in ("serving", "unwatched")


_BY_A_PERSON = ("user-down", "forced-down", "maint", "disabled")
_WITHOUT_ANSWER = {
    "": "unwatched",
    "unchecked": "unwatched",
    "inband": "unwatched",
    "up": "unwatched",
    "checking": "checking",
}
_OFFLINE = {
    "down": "down",
    "inband-down": "down",
    "addr-down": "node-down",
    "address-down": "node-down",
    "node-down": "node-down",
    "irule-down": "irule-down",
    "down-manual-resume": "resume",
    "checking": "checking",
}


class MonitorFacts(Struct, frozen=True):
    """One monitor of the pool. ``receive`` is "" where it accepts any answer; None: not an HTTP monitor."""

    name: str
    receive: str | None
    send: str


class BigIpFacts(Struct, frozen=True):
    """The balancer's own view of pool and virtual server, in the words of an F5.

    A balancer that is controlled by commands tells its members alone: its ``virtual_server`` is "".
    """

    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = ("monitors",)

    pool: str
    virtual_server: str
    members: tuple[MemberFacts, ...]
    monitors: tuple[MonitorFacts, ...] | None
    virtual_availability: str | None
    virtual_enabled: str | None
    virtual_reason: str | None

    def named(self, name: str) -> MemberFacts | None:
        """Return a member by the balancer's name of it."""
        return next((member for member in self.members if member.name == name), None)
