"""Where the lines, bars and days of a chart lie, in a field of 100 by 100 that the page stretches: ``templates/charts.html`` writes the SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from samaops.model.page import Chart, Point

FIELD = 100.0
# Room above the highest and below the lowest value.
_MARGIN = 0.08
_BAD = ("warning", "critical", "unknown")


class Spot(Struct, frozen=True):
    """A value of a line, where it lies from the left and from above."""

    x: float
    y: float
    point: Point


class Level(Struct, frozen=True):
    """A limit, how far it lies below the top."""

    y: float
    label: str
    text: str


class Line(Struct, frozen=True):
    """A line: its pieces (what was not observed is a gap), the single values that no line joins, and the limits."""

    pieces: tuple[str, ...]
    spots: tuple[Spot, ...]
    levels: tuple[Level, ...]
    highest: Point
    lowest: Point


class Bar(Struct, frozen=True):
    """A bar, as long as this of 100."""

    width: float
    point: Point


def line(chart: Chart) -> Line | None:
    """Return how a line is drawn; None where nothing was observed."""
    known = [point for point in chart.points if point.value is not None]
    if not known:
        return None
    values = [_value(point) for point in known]
    bounds = [*values, *(limit.value for limit in chart.limits)]
    low, high = min(bounds), max(bounds)
    spread = (high - low) or abs(high) or 1.0
    bottom, top = low - _MARGIN * spread, high + _MARGIN * spread
    step = FIELD / max(1, len(chart.points))

    def down(value: float) -> float:
        return round(FIELD * (top - value) / (top - bottom), 2)

    spots = tuple(
        Spot(round(step * (place + 0.5), 2), down(_value(point)), point)
        for place, point in enumerate(chart.points)
        if point.value is not None
    )
    levels = tuple(Level(down(limit.value), limit.label, limit.text) for limit in chart.limits)
    return Line(tuple(_pieces(spots, step)), spots, levels, max(known, key=_value), min(known, key=_value))


def _value(point: Point) -> float:
    assert point.value is not None
    return point.value


def _pieces(spots: Sequence[Spot], step: float) -> Iterator[str]:
    """Yield the points of each piece that has more than one; between two pieces something was not observed."""
    piece: list[Spot] = []
    for spot in spots:
        if piece and spot.x - piece[-1].x > 1.5 * step:
            if len(piece) > 1:
                yield _joined(piece)
            piece = []
        piece.append(spot)
    if len(piece) > 1:
        yield _joined(piece)


def _joined(piece: Sequence[Spot]) -> str:
    return " ".join(f"{spot.x:g},{spot.y:g}" for spot in piece)


def bars(chart: Chart) -> tuple[Bar, ...]:
    """Return how long each bar is, the longest as long as there is room."""
    longest = max((abs(point.value) for point in chart.points if point.value is not None), default=0.0)
    return tuple(
        Bar(round(FIELD * abs(point.value or 0.0) / longest, 2) if longest else 0.0, point)
        for point in chart.points
    )


def runs_of(points: Sequence[Point]) -> tuple[tuple[Point, Point], ...]:
    """Return the days that are not well, those one after the other that say the same as their first and last."""
    found: list[tuple[Point, Point]] = []
    for (level, _text), group in groupby(points, key=lambda point: (point.level, point.text)):
        days = list(group)
        if level in _BAD:
            found.append((days[0], days[-1]))
    return tuple(found)
