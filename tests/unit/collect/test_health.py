"""A slow answer of a health path is believed after as many samples as a quick one."""

from __future__ import annotations

import pytest

from samaops.collect import health
from tests.unit.collect.test_latency import Patient


class Answer:
    """An answer that took so long."""

    connect_ms = 0.0

    def __init__(self, total_ms: float) -> None:
        self.total_ms = total_ms


class Connection:
    """A connection whose next answers take these times."""

    def __init__(self, *times: float) -> None:
        self._times = iter(times)

    def get(self, max_bytes: int) -> Answer:
        assert max_bytes
        return Answer(next(self._times))


@pytest.mark.parametrize(
    ("first", "then", "samples"),
    [
        (900.0, (5.0, 6.0), 3),  # one busy moment is no slow server
        (900.0, (800.0, 900.0), 3),
        (5.0, (6.0, 7.0), 3),
        (60.0, (50.0,) * 9, 4),  # the way is as long as that
        (60.0, (50.0, 70.0) * 5, 10),
    ],
)
def test_a_slow_first_answer_is_not_the_last_word(
    first: float, then: tuple[float, ...], samples: int
) -> None:
    taken = health._samples(Connection(*then), Answer(first), Patient())  # type: ignore[arg-type]
    assert taken == [first, *then][:samples]


def test_a_look_that_would_run_out_of_time_takes_what_it_has() -> None:
    assert health._samples(Connection(1.0), Answer(4000.0), Patient(5.0)) == [4000.0]  # type: ignore[arg-type]
