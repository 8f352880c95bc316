"""Counts of a window, from the samples of the management API."""

from __future__ import annotations

from samaops.collect.rabbitmq.flow import flow_of


def samples(*values: int) -> dict[str, object]:
    return {"samples": [{"sample": value, "timestamp": place} for place, value in enumerate(values)]}


def test_a_count_is_by_how_much_the_counter_rose_in_the_window() -> None:
    raw = {
        "messages_ready": 86, "messages_unacknowledged": 4, "consumers": 1,
        "message_stats": {"publish_details": samples(190, 150, 100), "ack_details": samples(7, 0, 0)},
    }  # fmt: skip
    flow = flow_of("low_priority", raw)
    assert (flow.published, flow.acknowledged, flow.delivered) == (90, 7, 0)
    assert (flow.ready, flow.unacknowledged, flow.consumers) == (86, 4, 1)


def test_a_counter_that_never_ran_is_zero_and_one_that_nobody_keeps_is_not() -> None:
    flow = flow_of(
        "urgent", {"message_stats": [], "messages_ready": 0}
    )  # an empty object is written as a list
    assert (flow.published, flow.ready, flow.redelivered) == (0, 0, 0)
    flow = flow_of("urgent", {})
    assert (flow.published, flow.ready, flow.redelivered) == (None, None, None)
