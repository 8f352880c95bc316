"""What Flower sees: one witness of the workers, and not the judge of the queues."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

API_CLOSED = "absent, API closed"


class FlowerFacts(Struct, frozen=True):
    """One look at Flower. ``online`` has each node name it ever heard of, and whether it still does.

    ``authentication`` is "required", "absent" (its API answers anybody), "absent, API closed" (then only its pages
    do), or "" when that was not looked at.
    """

    milliseconds: float
    online: Mapping[str, bool]
    uses_default_password: bool
    has_password: bool
    authentication: str = ""
