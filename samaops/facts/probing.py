"""What ``diagnose --probe`` observes: a marked value that was written and removed again. The base of each system's."""

from __future__ import annotations

from msgspec import Struct


class Written(Struct, frozen=True):
    """Where the value was, such as a bucket or a virtual host, and how long writing, reading and removing it took."""

    place: str
    milliseconds: float
