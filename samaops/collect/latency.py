"""How long something takes, measured until it is quick or has been slow often enough to be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe

# This machine's own business can only make a measurement slower: the quickest is nearest the truth. A few more are
# taken than are needed to believe one, unless they take long themselves.
BELIEVED, MOST = 3, 10
LONGEST_MS = 1000.0
# What this machine is busy with makes each measurement longer by another time. Those that take the same are as long as
# the way is, and one more would cost the whole way again.
SAME_PART = 0.1


def is_steady(measured: Sequence[float]) -> bool:
    """Return whether the last measurements took the same, so that one more would."""
    last = measured[-BELIEVED:]
    return len(last) == BELIEVED and max(last) - min(last) <= SAME_PART * min(last)


def least_ms(measure: Callable[[], float], quick_ms: float, probe: Probe) -> float:
    """Return the quickest of some measurements; one that is quick or the same as two before ends them, as the look's time does."""
    measured = [measure()]
    while min(measured) >= quick_ms and (
        len(measured) < BELIEVED
        or (len(measured) < MOST and sum(measured) < LONGEST_MS and not is_steady(measured))
    ):
        if probe.remaining() * 1000 < 2 * measured[-1]:
            break  # a slow one more would end this look without an answer
        try:
            measured.append(measure())
        except ClientError:
            break  # it has answered once: that is how long it took then
    return min(measured)
