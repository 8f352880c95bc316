"""Every check of the workers and of Flower on facts given as data, and the join of the broker's consumers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.collect.celery import WELL_STREAK, recent_of, workers_of
from samaops.config.settings import Settings
from samaops.facts.celery import (
    ActiveTask,
    CeleryFacts,
    CeleryNode,
    FailingReason,
    OtherConsumer,
    RecentTasks,
    ReplyQueue,
)
from samaops.facts.flower import API_CLOSED, FlowerFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields

SUBJECT = "celery/workers"
OK, WARNING, CRITICAL, SKIPPED = Status.OK, Status.WARNING, Status.CRITICAL, Status.SKIPPED
SETTINGS = Settings.model_validate(
    {
        "rabbitmq": {},
        "flower": {},
        "celery": {
            "workers": {
                "worker1": {"queues": ["urgent", "high_priority"], "container": "samaconso_celery_worker_1"},
                "worker2": {"queues": ["normal", "low_priority"], "container": "samaconso_celery_worker_2"},
            }
        },
    }
)
ONE = CeleryNode("worker1@celery_worker_1", "10.0.0.3:40001", ("high_priority", "urgent"), 0, 16)
TWO = CeleryNode("worker2@celery_worker_2", "10.0.0.3:40002", ("low_priority", "normal"), 0, 16)
HANGING = ActiveTask("id-1", "send_broadcast_notifications", TWO.name, "('hello',)", 900.0, 1)


def recent(*outcomes: bool) -> RecentTasks:
    failures = outcomes.count(False)
    return RecentTasks(outcomes, "ProxyError()" if failures else "", failures, {}, 300)


HEALTHY = CeleryFacts(nodes=(ONE, TWO), others=(), replies=(), active=(), recent=recent(*[True] * 20))
DEAF = replace(TWO, queues=("normal",))
MUTE = replace(TWO, queues=())
STRANGERS = tuple(OtherConsumer(queue, "10.0.0.3:40003") for queue in TWO.queues)

CASES: list[tuple[str, str, Status, dict[str, Any]]] = [
    ("celery.service.unreachable", "workers", OK, {}),
    ("celery.worker.missing", "worker2", OK, {}),
    ("celery.worker.missing", "worker2", CRITICAL, {"nodes": (ONE,)}),
    ("celery.worker.missing", "worker2", WARNING, {"nodes": (ONE,), "others": STRANGERS}),
    ("celery.worker.missing", "worker2", CRITICAL, {"nodes": (ONE,), "others": STRANGERS[:1]}),
    ("celery.worker.not_consuming", "worker2", OK, {}),
    # gevent: the control queue has a connection of its own
    ("celery.worker.not_consuming", "worker2", OK, {"nodes": (ONE, MUTE), "others": STRANGERS}),
    ("celery.worker.not_consuming", "worker2", CRITICAL, {"nodes": (ONE, MUTE), "others": STRANGERS[:1]}),
    ("celery.worker.not_consuming", "worker2", CRITICAL, {"nodes": (ONE, DEAF)}),
    (
        "celery.worker.not_consuming",
        "worker2",
        WARNING,
        {"nodes": (ONE, DEAF), "others": (OtherConsumer("low_priority", "10.0.0.9:1"),)},
    ),
    ("celery.queue.uncovered", "low_priority", OK, {}),
    ("celery.queue.uncovered", "low_priority", CRITICAL, {"nodes": (ONE, DEAF)}),
    ("celery.queue.foreign", "normal", OK, {}),
    ("celery.queue.foreign", "normal", WARNING, {"others": (OtherConsumer("normal", "10.0.0.9:1"),)}),
    ("celery.queue.foreign", "urgent", OK, {"others": (OtherConsumer("normal", "10.0.0.9:1"),)}),
    # a worker of another site
    ("celery.queue.foreign", "normal", WARNING, {"nodes": (ONE, TWO, replace(TWO, name="worker9@laptop"))}),
    # gevent, and a worker without a control queue: the stranger is the worker itself
    ("celery.queue.foreign", "normal", OK, {"nodes": (ONE, MUTE), "others": STRANGERS}),
    ("celery.queue.foreign", "normal", OK, {"nodes": (ONE,), "others": STRANGERS}),
    ("celery.task.stuck", "worker2", OK, {}),
    ("celery.task.stuck", "worker2", OK, {"active": (replace(HANGING, runtime_seconds=599.0),)}),
    ("celery.task.stuck", "worker2", WARNING, {"active": (HANGING,), "nodes": (ONE,), "others": STRANGERS}),
    ("celery.task.stuck", "worker2", WARNING, {"active": (HANGING,)}),
    (
        "celery.task.stuck",
        "worker2",
        CRITICAL,
        {"active": (HANGING,), "nodes": (ONE, replace(TWO, unacknowledged=16))},
    ),
    # Flower remembers the task of a worker that was killed; the new worker runs nothing.
    ("celery.task.stuck", "worker2", OK, {"active": (replace(HANGING, worker_active=0),)}),
    ("celery.task.stuck", "worker2", SKIPPED, {"active": None}),
    ("celery.tasks.failing", "tasks", OK, {}),
    ("celery.tasks.failing", "tasks", WARNING, {"recent": recent(False)}),  # too few, and none went well
    ("celery.tasks.failing", "tasks", WARNING, {"recent": recent(False, True, False, True)}),
    ("celery.tasks.failing", "tasks", OK, {"recent": recent(True, False)}),  # the last one went well
    ("celery.tasks.failing", "tasks", OK, {"recent": recent(False, True, True, True)}),  # few of few
    ("celery.tasks.failing", "tasks", OK, {"recent": recent(False, *[True] * 99)}),
    ("celery.tasks.failing", "tasks", WARNING, {"recent": recent(*[False] * 6, *[True] * 94)}),
    ("celery.tasks.failing", "tasks", CRITICAL, {"recent": recent(*[False] * 5, *[True] * 5)}),
    ("celery.tasks.failing", "tasks", OK, {"recent": recent(*[True] * 3, *[False] * 9)}),  # it is over
    ("celery.tasks.failing", "tasks", CRITICAL, {"recent": recent(True, True, *[False, True] * 10)}),
    ("celery.tasks.failing", "tasks", SKIPPED, {"recent": None}),
    ("celery.broker.replies", "replies", OK, {}),
    (
        "celery.broker.replies",
        "replies",
        WARNING,
        {"replies": (ReplyQueue("a.reply.celery.pidbox", 100, 0),)},
    ),
    (
        "celery.broker.replies",
        "replies",
        CRITICAL,
        {"replies": (ReplyQueue("a.reply.celery.pidbox", 20_000, 0),)},
    ),
]


@pytest.mark.parametrize(("code", "name", "status", "changes"), CASES)
def test_facts_lead_to_this_finding(code: str, name: str, status: Status, changes: dict[str, Any]) -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, changes), SUBJECT))
    key = f"{code}@celery/{name}" if f"{code}@celery/{name}" in found else f"{code}@{SUBJECT}"
    assert found[key].status is status, found[key].title
    if status in (WARNING, CRITICAL):
        assert found[key].hint


def test_every_check_has_its_cases() -> None:
    seen: dict[str, set[Status]] = {}
    for code, _name, status, _changes in CASES:
        seen.setdefault(code, set()).add(status)
    assert uncovered("celery", seen) == []


def test_healthy_workers_have_nothing_but_ok() -> None:
    found = findings(SETTINGS, observed(HEALTHY, SUBJECT))
    assert {finding.status for finding in found.values()} == {OK}


def test_without_flower_the_tasks_are_unknown_and_the_workers_are_not() -> None:
    blind = with_fields(HEALTHY, {"active": None, "recent": None})
    found = findings(SETTINGS, observed(blind, SUBJECT, missing=("tasks",)))
    unknown = {finding.code for finding in found.values() if finding.status is Status.UNKNOWN}
    assert unknown == {"celery.task.stuck", "celery.tasks.failing"}


def test_without_the_broker_nothing_is_known_and_nothing_is_called_down() -> None:
    found = findings(SETTINGS, failed(CeleryFacts, SUBJECT, FailureKind.DEPENDENCY))
    assert found.pop(f"celery.service.unreachable@{SUBJECT}").status is Status.UNKNOWN
    assert {finding.status for finding in found.values()} == {SKIPPED}


def consumer(connection: str, queue: str) -> dict[str, Any]:
    return {"channel_details": {"connection_name": connection}, "queue": {"name": queue, "vhost": "/"}}


def test_a_connection_joins_a_workers_name_with_its_queues() -> None:
    first, second, stranger = "10.0.0.3:1 -> 10.0.0.2:5672", "10.0.0.3:2 -> 10.0.0.2:5672", "9.9.9.9:3 -> x"
    consumers = [
        consumer(first, "worker1@a.celery.pidbox"),
        consumer(first, "urgent"),
        consumer(first, "celeryev.f68cb6a1"),
        consumer(second, "worker2@b.celery.pidbox"),
        consumer(stranger, "normal"),
        consumer(stranger, "0a1b.reply.celery.pidbox"),
    ]
    channel = {"connection_details": {"name": first}, "vhost": "/", "global_prefetch_count": 8}
    channels = [{**channel, "messages_unacknowledged": 3}, {**channel, "vhost": "other"}]
    nodes, others = workers_of(consumers, channels, "/")
    assert nodes == (
        CeleryNode("worker1@a", "10.0.0.3:1", ("urgent",), 3, 8),
        CeleryNode("worker2@b", "10.0.0.3:2", (), None, None),
    )
    assert others == (OtherConsumer("normal", "9.9.9.9:3"),)


def test_what_a_channel_does_not_tell_is_not_counted_as_none() -> None:
    connection = "10.0.0.3:1 -> 10.0.0.2:5672"
    channels = [
        {"connection_details": {"name": connection}, "vhost": "/", "prefetch_count": 8, **told}
        for told in ({"messages_unacknowledged": 3}, {})
    ]
    nodes, _others = workers_of([consumer(connection, "worker1@a.celery.pidbox")], channels, "/")
    assert nodes == (CeleryNode("worker1@a", "10.0.0.3:1", (), None, 16),)


def test_a_channel_whose_connection_has_ended_counts_for_nobody_and_hides_nobody() -> None:
    connection = "10.0.0.3:1 -> 10.0.0.2:5672"
    ended: dict[str, Any] = {"connection_details": [], "vhost": "/", "messages_unacknowledged": 7}
    nodes, _others = workers_of([consumer(connection, "worker1@a.celery.pidbox")], [ended], "/")
    assert nodes == (CeleryNode("worker1@a", "10.0.0.3:1", (), None, None),)


def test_a_consumer_whose_channel_has_just_ended_is_no_reason_to_know_nothing_of_the_others() -> None:
    gone = {"channel_details": [], "queue": {"name": "normal", "vhost": "/"}}
    connection = "10.0.0.4:5001 -> 10.0.0.3:5672"
    nodes, others = workers_of([consumer(connection, "worker1@a.celery.pidbox"), gone], [], "/")
    assert ([node.name for node in nodes], others) == (["worker1@a"], ())
    with pytest.raises(ClientError, match="connection_name"):
        workers_of([gone], [], "/")


def test_a_control_exchange_of_another_name_is_known() -> None:
    connection = "10.0.0.3:1 -> 10.0.0.2:5672"
    queues = ("worker1@a.example.samaconso.pidbox", "urgent", "0a1b.reply.samaconso.pidbox")
    nodes, others = workers_of([consumer(connection, queue) for queue in queues], [], "/")
    assert [(node.name, node.queues) for node in nodes] == [("worker1@a.example", ("urgent",))]
    assert others == ()


def test_the_most_frequent_exception_of_the_recent_failures_is_named() -> None:
    now = 1_795_000_000.0
    tasks: list[dict[str, Any]] = [{"state": "SUCCESS", "timestamp": now - 10}]
    tasks += [{"state": "FAILURE", "timestamp": now - 20, "exception": "A()", "name": "t"}] * 3
    tasks += [{"state": "FAILURE", "timestamp": now - 30, "exception": "B()", "name": "t"}]
    tasks += [{"state": "FAILURE", "timestamp": now - 5000, "exception": "old"}, {"state": "STARTED"}]
    found = recent_of(tasks, now)
    assert found.outcomes == (True, False, False, False, False)
    assert (found.exception, found.exception_count, found.failing_names) == ("A()", 3, {"t": 4})
    assert found.exception_of == 4
    assert [(one.exception, one.count, one.of, one.succeeded_since) for one in found.reasons] == [
        ("A()", 3, 3, 1),
        ("B()", 1, 1, 1),
    ]


@pytest.mark.parametrize(("succeeded_since", "is_kept"), [(0, True), (2, True), (30, False)])
def test_a_reason_without_which_many_tasks_have_succeeded_is_over(
    succeeded_since: int, is_kept: bool
) -> None:
    reasons = (
        FailingReason("A()", 10, 20, 0),
        FailingReason("B()", 10, 20, succeeded_since),
    )
    about = replace(recent(*[False] * 60), reasons=reasons)
    found = findings(SETTINGS, observed(with_fields(HEALTHY, {"recent": about}), SUBJECT))
    assert ("B()" in found["celery.tasks.failing@celery/tasks"].evidence["exceptions"]) == is_kept


def test_where_flower_heard_of_no_task_it_is_said_that_failures_are_not_seen() -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, {"recent": recent()}), SUBJECT))
    assert "would not be seen" in found["celery.tasks.failing@celery/tasks"].title
    assert found["celery.tasks.failing@celery/tasks"].value is None


def test_what_failed_before_all_went_well_again_is_not_the_present_trouble() -> None:
    now = 1_795_000_000.0
    tasks: list[dict[str, Any]] = [
        {"state": "FAILURE", "timestamp": now - 5, "exception": f"Refused at 0x7f{number}"}
        for number in range(3)
    ]
    tasks += [{"state": "SUCCESS", "timestamp": now - 10}] * WELL_STREAK
    tasks += [{"state": "FAILURE", "timestamp": now - 20, "exception": "old"}] * 9
    found = recent_of(tasks, now)
    assert (found.exception, found.exception_count, found.exception_of) == ("Refused at 0x", 3, 3)


FLOWER = FlowerFacts(
    milliseconds=12.0,
    online={"worker1@a": True, "worker2@b": True},
    uses_default_password=False,
    has_password=True,
)
FLOWER_CASES: list[tuple[str, Status, dict[str, Any]]] = [
    ("flower.service.unreachable", OK, {}),
    ("flower.credentials.default", OK, {}),
    ("flower.credentials.default", WARNING, {"uses_default_password": True}),
    ("flower.credentials.default", WARNING, {"has_password": False}),
    ("flower.credentials.default", OK, {"authentication": "required"}),
    ("flower.credentials.default", WARNING, {"authentication": "absent"}),
    ("flower.credentials.default", WARNING, {"authentication": API_CLOSED}),
    ("flower.workers.unseen", OK, {}),
    ("flower.workers.unseen", WARNING, {"online": {"worker1@a": True, "worker2@b": False}}),
    ("flower.workers.unseen", WARNING, {"online": {}}),
]


@pytest.mark.parametrize(("code", "status", "changes"), FLOWER_CASES)
def test_facts_of_flower_lead_to_this_finding(code: str, status: Status, changes: dict[str, Any]) -> None:
    found = findings(SETTINGS, observed(with_fields(FLOWER, changes), "flower/workers"))
    assert found[f"{code}@flower/workers"].status is status


def test_every_check_of_flower_has_its_cases() -> None:
    seen: dict[str, set[Status]] = {}
    for code, status, _changes in FLOWER_CASES:
        seen.setdefault(code, set()).add(status)
    assert uncovered("flower", seen) == []


@pytest.mark.parametrize(
    ("kind", "status"), [(FailureKind.REFUSED, CRITICAL), (FailureKind.AUTHENTICATION, Status.UNKNOWN)]
)
def test_a_flower_that_cannot_be_looked_at(kind: FailureKind, status: Status) -> None:
    found = findings(SETTINGS, failed(FlowerFacts, "flower/workers", kind))
    assert found["flower.service.unreachable@flower/workers"].status is status
