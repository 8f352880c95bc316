"""Times as Docker writes them."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_STAMP = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>\d\d))"
)


def epoch_of(stamp: str | None) -> float | None:
    """Return a time of docker (RFC 3339, with or without an offset); None for its zero time.

    Releases may be built within one second of each other, and a container starts again within one: the fraction
    counts.
    """
    parts = _STAMP.fullmatch(stamp or "")
    if parts is None or parts["second"].startswith("0001-"):
        return None
    moment = datetime.strptime(parts["second"], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    if parts["sign"]:
        offset = int(parts["hours"]) * 3600 + int(parts["minutes"]) * 60
        moment += offset if parts["sign"] == "-" else -offset
    return moment + float(f"0.{parts['fraction'] or 0}")
