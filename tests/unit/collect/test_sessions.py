"""Many transactions that wait for their clients: those that began together are looked at a second time."""

from __future__ import annotations

import pytest

from samaops.collect.postgresql import sessions
from samaops.facts.postgresql import Activity, Session


def activity(waiting: int, seconds: float, active: int = 0) -> Activity:
    one = Session(
        7, "u", "d", "app", "10.1.1.1", "idle in transaction", "", seconds, None, seconds, "SELECT 1"
    )
    listed = (one,) * min(waiting, sessions.TOP)
    return Activity(active, (), listed, waiting, {}, (), ())


@pytest.mark.parametrize(
    ("seen", "is_doubtful"),
    [
        (activity(20, 0.4), True),
        (activity(20, 1.4), False),  # that they are held is seen
        (activity(4, 0.4), False),  # a few are always between two statements
        (activity(6, 0.4, active=7), False),
    ],
)
def test_many_that_wait_for_less_than_a_second_are_looked_at_again(seen: Activity, is_doubtful: bool) -> None:
    assert sessions.may_be_held(seen) is is_doubtful
