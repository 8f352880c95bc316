"""A latency is believed after it was slow three times; a quick one is asked for once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.collect.latency import least_ms
from samaops.model.failure import FailureKind

QUICK_MS = 20.0


class Patient(Probe):
    """A look with so much time left."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._left = seconds

    def remaining(self) -> float:
        return self._left


def measuring(*times: float | None) -> tuple[Callable[[], float], list[float]]:
    """Return a measurement that takes these times, and what was taken; None is one that fails."""
    taken: list[float] = []
    left: Iterator[float | None] = iter(times)

    def measure() -> float:
        took = next(left)
        if took is None:
            raise ClientError(FailureKind.CLOSED, "gone", "PING")
        taken.append(took)
        return took

    return measure, taken


@pytest.mark.parametrize(
    ("times", "least", "asked"),
    [
        ((1.0, 2.0), 1.0, 1),
        ((80.0, 2.0, 3.0), 2.0, 2),
        ((80.0, 90.0, 70.0, 5.0), 5.0, 4),
        ((5000.0, 4000.0, 4500.0, 1.0), 4000.0, 3),
        ((80.0, None), 80.0, 1),
        ((260.0, 230.0, 200.0, 170.0, 150.0, 1.0), 150.0, 5),  # a second was spent
        ((95.0, 40.0, 41.0, 40.5, 1.0), 40.0, 4),  # a way of 40 ms
        ((80.0, 40.0) * 10, 40.0, 10),
    ],
)
def test_the_quickest_counts_and_a_slow_one_is_asked_again(
    times: tuple[float | None, ...], least: float, asked: int
) -> None:
    measure, taken = measuring(*times)
    assert least_ms(measure, QUICK_MS, Patient()) == least
    assert len(taken) == asked


def test_what_would_outlast_the_look_is_not_asked_again() -> None:
    measure, taken = measuring(3000.0, 1.0)
    assert least_ms(measure, QUICK_MS, Patient(4.0)) == 3000.0
    assert len(taken) == 1
