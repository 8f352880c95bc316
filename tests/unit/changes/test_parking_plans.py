"""The plans that park messages and put them back: what is asked for, and where it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.changes.rabbitmq.parking import ALL, GIVEN_BACK, MOST_HELD
from samaops.changes.run import operations
from samaops.changes.run.rabbitmq import parking
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.observation import Observation
from samaops.facts.rabbitmq import SHOWN_QUEUES, Count, QueueHistory, RabbitMQFacts
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import QUEUE, SETTINGS, broker, snapshot
from tests.unit.checks.judging import REFUSED, failed

RESTLESS = replace(QUEUE, unacknowledged=4, history=QueueHistory(600, 9, 3, 0, None, 0, 90, 0))
HOLDING = replace(QUEUE, name="samaops.parked.low_priority", ready=2)


def park(which: str, *observations: Observation, more: tuple[str, ...] = ()) -> Plan:
    return verbs.find("queue park").plan(
        snapshot(*observations), Site(SETTINGS), ("low_priority", which, *more)
    )


def unpark(which: str, *observations: Observation) -> Plan:
    return verbs.find("queue unpark").plan(snapshot(*observations), Site(SETTINGS), ("low_priority", which))


def test_one_task_is_moved_to_the_holding_queue_and_the_undo_takes_only_what_this_change_parked() -> None:
    plan = park("id-7", broker(QUEUE, HOLDING))
    (step,) = plan.steps
    names = {"queue": "low_priority", "holding": "samaops.parked.low_priority"}
    label = step.operation.arguments["label"]
    assert step.operation.arguments == {**names, "label": label, "seconds": 30, "which": "id-7"}
    assert step.undo is not None
    assert step.undo.arguments == {**names, "label": label, "which": ALL}
    assert (step.risk, plan.target, plan.cures) == (Risk.DISRUPTIVE, "low_priority", ())
    assert readings.hold(step.before, snapshot(broker(QUEUE, HOLDING)))
    assert not readings.hold(step.after, snapshot(broker(QUEUE, HOLDING)))
    assert readings.hold(step.after, snapshot(broker(QUEUE, replace(HOLDING, ready=3))))
    assert any("unpark" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("more", "typed"),
    [
        ((), ("low_priority", "--message", "id-7")),
        (("", "30"), ("low_priority", "--message", "id-7")),
        (("aside", "60"), ("low_priority", "--message", "id-7", "--to", "aside", "--within", "60")),
    ],
)
def test_the_history_shows_the_command_line_as_it_is_typed(
    more: tuple[str, ...], typed: tuple[str, ...]
) -> None:
    assert park("id-7", broker(QUEUE), more=more).arguments == typed
    assert park(GIVEN_BACK, broker(RESTLESS)).arguments == ("low_priority", "--redelivered")
    assert unpark(ALL, broker(QUEUE, HOLDING)).arguments == ("low_priority",)


def test_what_workers_give_back_cures_the_finding_and_is_bounded() -> None:
    plan = park(GIVEN_BACK, broker(RESTLESS))
    assert plan.cures == ("rabbitmq.queue.redelivering@rabbitmq/low_priority",)
    assert "at most 10" in plan.title
    assert readings.hold(plan.steps[0].before, snapshot(broker(RESTLESS))), "no holding queue holds nothing"


@pytest.mark.parametrize(
    "history",
    [QueueHistory(600, 9, 3, 0, None, 0, 90, 30), QueueHistory(600, 9, 3, 0, None, 0, 0, 0)],
    ids=["over", "never"],
)
def test_a_calm_queue_has_nothing_to_park(history: QueueHistory) -> None:
    assert "came back" in park(GIVEN_BACK, broker(replace(RESTLESS, history=history))).nothing_to_do
    assert park(GIVEN_BACK, broker(replace(RESTLESS, unacknowledged=0))).nothing_to_do


@pytest.mark.parametrize(
    ("queue", "holding", "said"),
    [
        ({"ready": MOST_HELD + 1}, {}, "too many to be held"),
        ({}, {"consumers": 1}, "has a consumer"),
        ({}, {"limits": {"message-ttl": 1000}}, "message-ttl"),
        ({}, {"is_durable": False}, "not durable"),
    ],
)
def test_it_is_refused_where_a_message_could_be_lost_or_all_would_wait(
    queue: dict[str, Any], holding: dict[str, Any], said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        park("id-7", broker(replace(QUEUE, **queue), replace(HOLDING, **holding)))


def test_the_broker_itself_counts_and_not_its_statistics() -> None:
    late = replace(HOLDING, ready=0, unacknowledged=None, counted=Count(2, 0))
    (step,) = unpark(ALL, broker(QUEUE, late)).steps
    assert readings.hold(step.before, snapshot(broker(QUEUE, late)))
    assert unpark(ALL, broker(QUEUE, replace(HOLDING, counted=Count(0, 0)))).nothing_to_do
    with pytest.raises(RefusedError, match="has a consumer"):
        park("id-7", broker(QUEUE, replace(HOLDING, counted=Count(2, 1))))
    with pytest.raises(RefusedError, match="too many to be held"):
        park("id-7", broker(replace(QUEUE, counted=Count(MOST_HELD + 1, 0))))
    uncounted = broker(QUEUE, HOLDING)
    facts = uncounted.facts
    assert isinstance(facts, RabbitMQFacts)
    queues = tuple(replace(queue, counted=None) for queue in facts.queues or ())
    uncounted = replace(uncounted, facts=replace(facts, queues=queues, uncounted="refused"))
    with pytest.raises(UnavailableError, match="could not be counted on the broker itself: refused"):
        park("id-7", uncounted)


def test_a_queue_that_is_not_there_or_not_seen_is_not_parked_from() -> None:
    with pytest.raises(RefusedError):
        park("id-7", broker())
    with pytest.raises(UnavailableError):
        park("id-7", failed("rabbitmq/api", RabbitMQFacts, REFUSED))
    others = [replace(QUEUE, name=f"q{number}") for number in range(SHOWN_QUEUES)]
    with pytest.raises(UnavailableError, match="not among the fullest"):
        park("id-7", broker(*others))


@pytest.mark.parametrize(
    "arguments",
    [
        ("none", "id"),
        ("normal", "id", "urgent"),
        ("normal", "id", "amq.gen"),
        ("normal", "id", "", "4"),
        ("normal", "id", "", "301"),
    ],
)
def test_names_and_times_that_mean_nothing_are_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        verbs.find("queue park").codes(Site(SETTINGS), arguments)


def test_what_is_parked_goes_back_and_then_there_is_nothing_to_do() -> None:
    plan = unpark(ALL, broker(QUEUE, HOLDING))
    (step,) = plan.steps
    assert step.operation.arguments == {
        "queue": "low_priority", "holding": "samaops.parked.low_priority", "label": ALL, "which": ALL,
    }  # fmt: skip
    assert readings.hold(step.before, snapshot(broker(QUEUE, HOLDING)))
    assert not readings.hold(step.after, snapshot(broker(QUEUE, HOLDING)))
    assert readings.hold(step.after, snapshot(broker(QUEUE)))
    assert step.no_undo
    (one,) = unpark("id-7", broker(QUEUE, HOLDING)).steps
    assert readings.hold(one.after, snapshot(broker(QUEUE, replace(HOLDING, ready=1))))
    assert unpark(ALL, broker(QUEUE)).nothing_to_do
    with pytest.raises(RefusedError):
        unpark(ALL, broker(HOLDING))


def test_a_name_from_outside_stays_one_word_of_what_is_run_and_shown() -> None:
    evil = "x; touch /tmp/mark #"
    (step,) = park(evil, broker(QUEUE)).steps
    assert step.operation.arguments["which"] == evil
    assert any(f"'{evil}'" in line for line in operations.lines(step.operation, Site(SETTINGS)))


def test_the_calls_are_shown_as_they_are_made() -> None:
    (step,) = park("id-7", broker(QUEUE)).steps
    lines = operations.lines(step.operation, Site(SETTINGS))
    assert lines[0] == "amqp://samaconso_admin@10.0.0.2:5672/%2F"
    places = [
        next(at for at, line in enumerate(lines) if word in line)
        for word in ("declare", "consume", "publish")
    ]
    assert places == sorted(places)
    publish = lines[places[-1]]
    assert publish.index("publish") < publish.index("confirm") < publish.index("basic.ack"), (
        "never the other way"
    )
    assert step.undo is not None
    assert f"header {parking.MARK}=" in " ".join(operations.lines(step.undo, Site(SETTINGS)))
