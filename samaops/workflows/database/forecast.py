"""When a disk will be full, by what grew on it: a span, and no date where there is too little to say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median, quantiles

from msgspec import Struct

DAY = 86_400.0
LEAST_LOOKS = 3
LEAST_SECONDS = DAY


class Growth(Struct, frozen=True):
    """Bytes a second: the middle of what was seen between each two looks, and the span that half of it lies in."""

    middle: float
    least: float
    most: float


def growth(looks: Sequence[tuple[float, float]]) -> Growth | None:
    """Return how fast something grows, from its size at moments in seconds; None when that is too little to say.

    The middle of the slopes between each two looks (Theil-Sen): one load or one clean-up does not move it.
    """
    moments = sorted(looks)
    if len(moments) < LEAST_LOOKS or moments[-1][0] - moments[0][0] < LEAST_SECONDS:
        return None
    slopes = [
        (after - before) / (end - start)
        for (start, before), (end, after) in combinations(moments, 2)
        if end > start
    ]
    least, _middle, most = quantiles(slopes, n=4, method="inclusive") if len(slopes) > 1 else (0.0, 0.0, 0.0)
    return Growth(median(slopes), least, most)


class FullIn(Struct, frozen=True):
    """In how many seconds a disk is full: most likely, at the earliest, at the latest."""

    seconds: float
    earliest: float
    latest: float


def full_in(free_bytes: float, rate: Growth | None) -> FullIn | None:
    """Return when so much is used up; None when it does not grow steadily, or it is not known whether it does."""
    if rate is None or rate.least <= 0:
        return None
    return FullIn(free_bytes / rate.middle, free_bytes / rate.most, free_bytes / rate.least)
