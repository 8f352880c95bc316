"""What is observed of each API member, asked directly and not through the balancer."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.health import HealthAnswer


class ApiFacts(Struct, frozen=True):
    """How one member answers on its health path."""

    name: str
    answer: HealthAnswer
