"""How long something takes, measured until it is quick or has been slow often enough to be believed."""

from __future__ import annotations

from collections.abc import Callable

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe

# This machine's own business can only make a measurement slower: the quickest is nearest the truth. A few more are
# taken than are needed to believe one, unless they take long themselves.
BELIEVED, MOST = 3, 10
LONGEST_MS = 1000.0


def least_ms(measure: Callable[[], float], quick_ms: float, probe: Probe) -> float:
    """Return the quickest of some measurements; the first one that is quick ends them, and so does the look's time."""
    measured = [measure()]
    while min(measured) >= quick_ms and (
        len(measured) < BELIEVED or (len(measured) < MOST and sum(measured) < LONGEST_MS)
    ):
        if probe.remaining() * 1000 < 2 * measured[-1]:
            break  # a slow one more would end this look without an answer
        try:
            measured.append(measure())
        except ClientError:
            break  # it has answered once: that is how long it took then
    return min(measured)
