"""Every check of RabbitMQ on facts given as data, and what its samples are turned into."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.collect.rabbitmq.history import history_of
from samaops.collect.rabbitmq.limits import limits_of, own_limits_of
from samaops.config.settings import Settings
from samaops.facts.rabbitmq import (
    AmqpFacts,
    BrokerConnections,
    BrokerNode,
    BrokerQueue,
    Exchange,
    ExchangeLoss,
    Limit,
    QueueHistory,
    RabbitMQFacts,
    Refusal,
    Rights,
    Routing,
)
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields

SUBJECT = "rabbitmq/api"
MB = 1024 * 1024
SETTINGS = Settings.model_validate({"servers": {"api": {"address": "10.0.0.2"}}, "rabbitmq": {}})
OK, WARNING, CRITICAL, UNKNOWN = Status.OK, Status.WARNING, Status.CRITICAL, Status.UNKNOWN

NODE = BrokerNode(
    name="rabbit@rabbitmq",
    is_running=True,
    memory_used=200 * MB,
    memory_limit=1400 * MB,
    memory_alarm=False,
    disk_free=50_000 * MB,
    disk_free_limit=10_000 * MB,
    disk_alarm=False,
    descriptors_used=60,
    descriptors_total=1000,
    sockets_used=20,
    sockets_total=900,
    partitions=(),
    uptime_seconds=86_400,
)
QUEUE = BrokerQueue(
    name="low_priority",
    state="running",
    consumers=1,
    ready=0,
    unacknowledged=0,
    bytes=0,
    is_durable=True,
    is_transient=False,
    publish_rate=2.0,
    deliver_rate=2.0,
    ack_rate=2.0,
    redeliver_rate=0.0,
    head_timestamp=None,
    limits={},
)
HISTORY = QueueHistory(
    window_seconds=600,
    published=1200,
    acknowledged=1200,
    waiting_seconds=0,
    oldest_ready_seconds=5,
    stuck_seconds=0,
)
QUEUES = ("urgent", "high_priority", "normal", "low_priority")
HEALTHY = RabbitMQFacts(
    version="3.13.7",
    cluster="rabbit@rabbitmq",
    vhost="/",
    our_tags=("administrator",),
    uses_default_password=False,
    guest_exists=False,
    publish_rate=8.0,
    deliver_rate=8.0,
    ack_rate=8.0,
    queue_count=9,
    nodes=(NODE,),
    queues=tuple(replace(QUEUE, name=name) for name in QUEUES),
    connections=BrokerConnections(16, (), ()),
    losses=(ExchangeLoss("samaconso", 1200, 0),),
    vhost_states={"rabbit@rabbitmq": "running"},
    limits=(Limit("vhost", "/", "max-connections", 100, 16),),
    routing=Routing(
        (Exchange("", "direct", None, QUEUES), Exchange("samaconso", "direct", 1200, QUEUES)),
        (Rights("samaconso_admin", ".*", ".*", ".*"),),
    ),
)
ENTERED = AmqpFacts("RabbitMQ", "3.13.7", 2.0, "channel")


def node(**changes: Any) -> dict[str, Any]:
    return {"nodes": (replace(NODE, **changes),)}


def queue(**changes: Any) -> dict[str, Any]:
    """Return the change that makes ``low_priority`` different, its history too (``history_...``)."""
    past = {name[8:]: value for name, value in changes.items() if name.startswith("history_")}
    rest = {name: value for name, value in changes.items() if not name.startswith("history_")}
    history = replace(HISTORY, **past) if past else None
    others = tuple(one for one in HEALTHY.queues or () if one.name != "low_priority")
    return {"queues": (*others, replace(QUEUE, history=history, **rest))}


def routing(**changes: Any) -> dict[str, Any]:
    assert HEALTHY.routing is not None
    return {"routing": replace(HEALTHY.routing, **changes)}


def bound(exchange: str, *queues: str) -> dict[str, Any]:
    return routing(
        exchanges=(Exchange("", "direct", None, QUEUES), Exchange(exchange, "direct", None, queues))
    )


def rights(**changes: str) -> dict[str, Any]:
    return routing(rights=(replace(Rights("samaconso_admin", ".*", ".*", ".*"), **changes),))


def limit(most: int, used: int | None) -> dict[str, Any]:
    return {"limits": (Limit("user", "samaconso_admin", "max-connections", most, used),)}


REJECTING = {"max-length": 5, "overflow": "reject-publish"}
WITHOUT_QUEUE = {"queues": tuple(one for one in HEALTHY.queues or () if one.name != "low_priority")}
LOW = "rabbitmq/low_priority"

CASES: list[tuple[str, str, Status, dict[str, Any]]] = [
    ("rabbitmq.service.unreachable", SUBJECT, OK, {}),
    ("rabbitmq.alarm.memory", SUBJECT, OK, {}),
    ("rabbitmq.alarm.memory", SUBJECT, CRITICAL, node(memory_alarm=True)),
    ("rabbitmq.alarm.disk", SUBJECT, OK, {}),
    ("rabbitmq.alarm.disk", SUBJECT, CRITICAL, node(disk_alarm=True, disk_free=9_000 * MB)),
    ("rabbitmq.node.down", SUBJECT, OK, {}),
    ("rabbitmq.node.down", SUBJECT, CRITICAL, node(is_running=False, memory_limit=0, disk_free_limit=0)),
    ("rabbitmq.node.down", SUBJECT, CRITICAL, node(partitions=("rabbit@other",))),
    ("rabbitmq.memory.high", SUBJECT, OK, {}),
    ("rabbitmq.memory.high", SUBJECT, WARNING, node(memory_used=1200 * MB)),
    ("rabbitmq.disk.low", SUBJECT, OK, {}),
    ("rabbitmq.disk.low", SUBJECT, WARNING, node(disk_free=15_000 * MB)),
    ("rabbitmq.descriptors.high", SUBJECT, OK, {}),
    ("rabbitmq.descriptors.high", SUBJECT, WARNING, node(descriptors_used=850)),
    ("rabbitmq.descriptors.high", SUBJECT, CRITICAL, node(sockets_used=890)),
    ("rabbitmq.connection.blocked", SUBJECT, OK, {}),
    ("rabbitmq.connection.blocked", SUBJECT, WARNING, {"connections": BrokerConnections(3, (), ("a",))}),
    ("rabbitmq.connection.blocked", SUBJECT, CRITICAL, {"connections": BrokerConnections(3, ("a",), ())}),
    ("rabbitmq.messages.unroutable", SUBJECT, OK, {}),
    ("rabbitmq.messages.unroutable", SUBJECT, WARNING, {"losses": (ExchangeLoss("", 5, 1),)}),
    ("rabbitmq.messages.unroutable", SUBJECT, CRITICAL, {"losses": (ExchangeLoss("samaconso", 50, 50),)}),
    ("rabbitmq.credentials.default", SUBJECT, OK, {}),
    ("rabbitmq.credentials.default", SUBJECT, OK, {"guest_exists": None}),
    ("rabbitmq.credentials.default", SUBJECT, WARNING, {"guest_exists": True}),
    ("rabbitmq.credentials.default", SUBJECT, WARNING, {"uses_default_password": True}),
    ("rabbitmq.queue.missing", LOW, OK, {}),
    ("rabbitmq.queue.missing", LOW, CRITICAL, WITHOUT_QUEUE),
    ("rabbitmq.queue.no_consumer", LOW, OK, {}),
    ("rabbitmq.queue.no_consumer", LOW, WARNING, queue(consumers=0)),
    ("rabbitmq.queue.no_consumer", LOW, CRITICAL, queue(consumers=0, ready=86)),
    ("rabbitmq.queue.backlog", LOW, OK, queue(ready=10, history_oldest_ready_seconds=5)),
    ("rabbitmq.queue.backlog", LOW, WARNING, queue(ready=1000)),
    ("rabbitmq.queue.backlog", LOW, WARNING, queue(ready=3, history_oldest_ready_seconds=600)),
    ("rabbitmq.queue.backlog", LOW, CRITICAL, queue(ready=20_000)),
    ("rabbitmq.queue.redelivering", LOW, OK, {}),
    ("rabbitmq.queue.redelivering", LOW, OK, queue(unacknowledged=8, history_redelivered=8)),  # a restart
    ("rabbitmq.queue.redelivering", LOW, WARNING, queue(unacknowledged=1, history_redelivered=20)),
    ("rabbitmq.queue.redelivering", LOW, OK, queue(unacknowledged=8, history_redelivered=30)),
    (
        "rabbitmq.queue.redelivering",
        LOW,
        OK,
        queue(unacknowledged=1, history_redelivered=90, history_calm_seconds=90),
    ),
    ("rabbitmq.queue.redelivering", LOW, OK, queue(ready=0, unacknowledged=0, history_redelivered=90)),
    ("rabbitmq.queue.stuck", LOW, OK, queue(ready=3, unacknowledged=8, history_stuck_seconds=20)),
    ("rabbitmq.queue.stuck", LOW, OK, queue(ready=3, consumers=0, history_stuck_seconds=600)),
    ("rabbitmq.queue.stuck", LOW, WARNING, queue(ready=3, unacknowledged=8, history_stuck_seconds=120)),
    ("rabbitmq.queue.stuck", LOW, CRITICAL, queue(ready=3, unacknowledged=8, history_stuck_seconds=600)),
    ("rabbitmq.queue.arguments", LOW, OK, queue(limits={"overflow": "reject-publish"})),
    ("rabbitmq.queue.arguments", LOW, WARNING, queue(limits={"max-length": 1})),
    ("rabbitmq.queue.arguments", LOW, WARNING, queue(limits={"message-ttl": 60_000})),
    ("rabbitmq.queue.arguments", LOW, WARNING, queue(is_durable=False)),
    (
        "rabbitmq.queue.arguments",
        LOW,
        CRITICAL,
        queue(limits={"max-length": 5}, history_published=52, history_vanished=35),
    ),
    # Under load the broker's counters are seconds apart.
    ("rabbitmq.queue.arguments", LOW, WARNING, queue(limits={"max-length": 5}, history_vanished=30)),
    ("rabbitmq.queue.arguments", LOW, WARNING, queue(limits={"max-length": 5}, history_published=0)),
    (
        "rabbitmq.queue.arguments",
        LOW,
        OK,
        queue(history_vanished=600),
    ),  # purged by hand: no setting of the queue
    ("rabbitmq.queue.arguments", LOW, CRITICAL, queue(ready=5, limits=REJECTING)),
    ("rabbitmq.queue.arguments", LOW, WARNING, queue(ready=4, limits=REJECTING)),
    ("rabbitmq.queue.down", LOW, OK, {}),
    ("rabbitmq.queue.down", LOW, CRITICAL, queue(state="stopped")),
    ("rabbitmq.queue.down", LOW, CRITICAL, queue(state="minority")),
    ("rabbitmq.node.down", SUBJECT, CRITICAL, node(is_drained=True)),
    ("rabbitmq.descriptors.high", SUBJECT, CRITICAL, node(processes_used=960, processes_total=1000)),
    ("rabbitmq.vhost.down", SUBJECT, OK, {}),
    (
        "rabbitmq.vhost.down",
        SUBJECT,
        CRITICAL,
        {"vhost_states": {"rabbit@a": "running", "rabbit@b": "stopped"}},
    ),
    ("rabbitmq.limit.reached", SUBJECT, OK, {}),
    ("rabbitmq.limit.reached", SUBJECT, OK, {"limits": ()}),
    ("rabbitmq.limit.reached", SUBJECT, WARNING, limit(10, 9)),
    ("rabbitmq.limit.reached", SUBJECT, CRITICAL, limit(16, 16)),
    ("rabbitmq.limit.reached", SUBJECT, CRITICAL, limit(0, 0)),  # no more than none: nobody may connect
    ("rabbitmq.limit.reached", SUBJECT, UNKNOWN, limit(16, None)),
    ("rabbitmq.exchange.missing", SUBJECT, OK, {}),
    ("rabbitmq.exchange.missing", SUBJECT, UNKNOWN, routing(exchanges=())),
    ("rabbitmq.exchange.unbound", SUBJECT, OK, {}),
    ("rabbitmq.exchange.unbound", SUBJECT, WARNING, bound("samaconso", *QUEUES[:3])),
    (
        "rabbitmq.exchange.unbound",
        SUBJECT,
        CRITICAL,
        bound("samaconso", *QUEUES[:3]) | {"losses": (ExchangeLoss("samaconso", 50, 12),)},
    ),
    # Celery's way: an exchange for each queue, and nobody publishes to any.
    ("rabbitmq.exchange.unbound", SUBJECT, OK, bound("normal", "normal")),
    ("rabbitmq.rights.missing", SUBJECT, OK, {}),
    ("rabbitmq.rights.missing", SUBJECT, CRITICAL, rights(write="^(amq\\.default|celeryev)$")),
    ("rabbitmq.rights.missing", SUBJECT, CRITICAL, rights(write="")),
    ("rabbitmq.rights.missing", SUBJECT, CRITICAL, rights(read="^urgent$")),
    ("rabbitmq.rights.missing", SUBJECT, WARNING, rights(configure="^$")),
    ("rabbitmq.rights.missing", SUBJECT, UNKNOWN, rights(write="(")),
    ("rabbitmq.rights.missing", SUBJECT, CRITICAL, routing(rights=())),  # none on this virtual host
    ("rabbitmq.rights.missing", SUBJECT, Status.SKIPPED, routing(rights=None)),
    # A monitor died: what the broker says then is no measurement.
    ("rabbitmq.disk.low", SUBJECT, UNKNOWN, node(disk_free=None)),
    ("rabbitmq.alarm.disk", SUBJECT, UNKNOWN, node(disk_free=None)),
    ("rabbitmq.alarm.memory", SUBJECT, UNKNOWN, node(memory_limit=None)),
    ("rabbitmq.alarm.memory", SUBJECT, UNKNOWN, node(memory_alarm=None)),
    ("rabbitmq.alarm.disk", SUBJECT, UNKNOWN, {"nodes": ()}),
    ("rabbitmq.node.down", SUBJECT, UNKNOWN, {"nodes": ()}),
    ("rabbitmq.connection.blocked", SUBJECT, UNKNOWN, {"connections": BrokerConnections(3, (), (), 3)}),
    ("rabbitmq.queue.no_consumer", LOW, UNKNOWN, queue(consumers=None)),
    ("rabbitmq.queue.no_consumer", LOW, UNKNOWN, queue(consumers=0, ready=None)),
    ("rabbitmq.queue.backlog", LOW, UNKNOWN, queue(ready=None)),
    ("rabbitmq.queue.backlog", LOW, UNKNOWN, queue(ready=3)),  # for how long is not known
    ("rabbitmq.queue.stuck", LOW, UNKNOWN, queue(ready=3, unacknowledged=8)),
    ("rabbitmq.queue.redelivering", LOW, UNKNOWN, queue(ready=3, history_redelivered=None)),
    ("rabbitmq.queue.arguments", LOW, UNKNOWN, queue(limits=None)),
]


@pytest.mark.parametrize(("code", "subject", "status", "changes"), CASES)
def test_facts_lead_to_this_finding(code: str, subject: str, status: Status, changes: dict[str, Any]) -> None:
    finding = findings(SETTINGS, observed(with_fields(HEALTHY, changes), SUBJECT))[f"{code}@{subject}"]
    assert finding.status is status, finding.title
    if status not in (OK, Status.SKIPPED):
        assert finding.hint


def test_every_check_has_its_cases() -> None:
    seen: dict[str, set[Status]] = {
        "rabbitmq.amqp.unreachable": {OK},
        "rabbitmq.amqp.refused": {OK, CRITICAL},
    }
    for code, _subject, status, _changes in CASES:
        seen.setdefault(code, set()).add(status)
    assert uncovered("rabbitmq", seen) == []


def test_a_healthy_broker_has_nothing_but_ok() -> None:
    found = findings(SETTINGS, observed(HEALTHY, SUBJECT), observed(ENTERED, SUBJECT))
    assert {finding.status for finding in found.values()} == {OK}


@pytest.mark.parametrize(
    "part", ["nodes", "queues", "connections", "exchanges", "vhost", "limits", "routing"]
)
def test_a_part_we_may_not_see_is_unknown(part: str) -> None:
    field = {"exchanges": "losses", "vhost": "vhost_states"}.get(part, part)
    found = findings(SETTINGS, observed(with_fields(HEALTHY, {field: None}), SUBJECT, missing=(part,)))
    unknown = [finding for finding in found.values() if finding.status is not OK]
    assert unknown
    assert {finding.status for finding in unknown} == {Status.UNKNOWN}


def test_the_management_api_and_amqp_fail_apart() -> None:
    down = failed(RabbitMQFacts, SUBJECT, FailureKind.REFUSED)
    found = findings(SETTINGS, down, observed(AmqpFacts("RabbitMQ", "3.13.7", 2.0), SUBJECT))
    assert found[f"rabbitmq.service.unreachable@{SUBJECT}"].status is CRITICAL
    assert found[f"rabbitmq.amqp.unreachable@{SUBJECT}"].status is OK
    assert found[f"rabbitmq.alarm.memory@{SUBJECT}"].status is Status.SKIPPED
    found = findings(SETTINGS, observed(HEALTHY, SUBJECT), failed(AmqpFacts, SUBJECT, FailureKind.NO_ANSWER))
    assert found[f"rabbitmq.amqp.unreachable@{SUBJECT}"].status is CRITICAL


def test_a_refused_password_is_unknown() -> None:
    found = findings(SETTINGS, failed(RabbitMQFacts, SUBJECT, FailureKind.AUTHENTICATION))
    assert found[f"rabbitmq.service.unreachable@{SUBJECT}"].status is Status.UNKNOWN


def samples(*values: int) -> dict[str, Any]:
    """Return samples as RabbitMQ gives them: newest first, ten seconds apart."""
    return {
        "samples": [
            {"sample": value, "timestamp": 1_795_000_000_000 - 10_000 * index}
            for index, value in enumerate(values)
        ]
    }


def history(ready: Any, unacknowledged: Any, published: Any, acknowledged: Any) -> QueueHistory:
    raw = {
        "messages_ready_details": ready,
        "messages_unacknowledged_details": unacknowledged,
        "message_stats": {"publish_details": published, "ack_details": acknowledged},
    }
    found = history_of(raw, ready["samples"][0]["sample"])
    assert found is not None
    return found


def test_stuck_is_since_the_last_acknowledgement() -> None:
    found = history(
        samples(4, 4, 4, 4, 0), samples(2, 2, 2, 2, 0), samples(9, 9, 9, 9, 3), samples(3, 3, 3, 2, 2)
    )
    assert found.stuck_seconds == 20
    assert found.waiting_seconds == 30


def test_consumers_that_acknowledge_are_not_stuck() -> None:
    found = history(samples(4, 4, 4), samples(2, 2, 2), samples(9, 8, 7), samples(5, 4, 3))
    assert found.stuck_seconds == 0


def test_a_queue_that_never_had_an_acknowledgement_is_stuck_as_long_as_it_waits() -> None:
    raw = {
        "messages_ready_details": samples(1, 1, 1, 0),
        "messages_unacknowledged_details": samples(1, 1, 1, 1),
    }
    found = history_of(raw, 1)
    assert found is not None
    assert found.stuck_seconds == 20


def test_the_oldest_message_is_as_old_as_the_publish_counter_says() -> None:
    # 100 published in all and 20 wait: the first of them was number 81, published 20 to 30 seconds ago.
    found = history(
        samples(20, 20, 20, 20), samples(1, 1, 1, 1), samples(100, 95, 85, 80), samples(0, 0, 0, 0)
    )
    assert found.oldest_ready_seconds == 20


def test_what_left_the_queue_and_was_not_acknowledged_has_vanished() -> None:
    # 60 came, 22 were acknowledged, 3 more are there than before: 35 reached nobody.
    found = history(samples(3, 0, 0), samples(2, 1, 2), samples(160, 120, 100), samples(52, 40, 30))
    assert found.vanished == 35


def test_what_waits_or_is_taken_without_acknowledgement_has_not_vanished() -> None:
    assert history(samples(60, 0), samples(0, 0), samples(60, 0), samples(0, 0)).vanished == 0
    raw = {
        "messages_ready_details": samples(0, 0),
        "messages_unacknowledged_details": samples(0, 0),
        "message_stats": {"publish_details": samples(9, 2), "deliver_no_ack_details": samples(7, 0)},
    }
    found = history_of(raw, 0)
    assert found is not None
    assert found.vanished == 0


def test_a_queue_that_fills_after_a_start_of_the_broker_has_lost_nothing() -> None:
    assert history(samples(500, 0), samples(0, 0), samples(0, 0), samples(0, 0)).vanished == 0


def test_of_two_limits_the_smaller_one_holds_and_arguments_are_told_from_policies() -> None:
    raw = {
        "arguments": {"x-max-length": 100, "x-max-priority": 10},
        "effective_policy_definition": {"max-length": 5, "message-ttl": 1000, "ha-mode": "all"},
    }
    assert limits_of(raw) == {"max-length": 5, "message-ttl": 1000}
    assert own_limits_of(raw) == ("max-length",)
    assert limits_of({"arguments": [], "effective_policy_definition": []}) == {}


def test_a_broker_without_samples_has_no_history() -> None:
    assert history_of({}, 5) is None
    assert history_of({"messages_ready_details": [], "message_stats": []}, 5) is None


def test_hostile_queue_names_stay_data() -> None:
    name = "[bold red]x[/]\x1b[31m$(reboot)" + "y" * 10_000
    settings = Settings.model_validate({"rabbitmq": {"queues": {name: 1}}})
    found = findings(settings, observed(HEALTHY, SUBJECT))
    assert found[f"rabbitmq.queue.missing@rabbitmq/{name}"].status is CRITICAL
    assert all("reboot" not in (finding.hint or "") for finding in found.values())


def amqp_refused(code: int, words: str, **section: Any) -> Status:
    settings = Settings.model_validate({"rabbitmq": section})
    amqp = AmqpFacts("RabbitMQ", "3.13.7", 2.0, "virtual host", Refusal("virtual host", code, words))
    return findings(settings, observed(amqp, SUBJECT))[f"rabbitmq.amqp.refused@{SUBJECT}"].status


@pytest.mark.parametrize(
    ("code", "words", "status"),
    [
        (541, "INTERNAL_ERROR - access to vhost '/' refused for user 'a': vhost '/' is down", CRITICAL),
        (
            530,
            "NOT_ALLOWED - access to vhost '/' refused for user 'a': connection limit (4) is reached",
            CRITICAL,
        ),
        (530, "NOT_ALLOWED - vhost shop not found", CRITICAL),
        (530, "NOT_ALLOWED - access to vhost '/' refused for user 'a'", CRITICAL),
        (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN", UNKNOWN),
    ],
)
def test_whom_the_broker_refuses_on_its_amqp_port(code: int, words: str, status: Status) -> None:
    assert amqp_refused(code, words) is status


def test_a_user_of_ours_without_rights_says_nothing_of_the_application_s() -> None:
    words = "NOT_ALLOWED - access to vhost '/' refused for user 'a'"
    assert amqp_refused(530, words, application_user="samaconso_app") is UNKNOWN


def test_who_did_not_log_in_is_not_called_welcome() -> None:
    found = findings(SETTINGS, observed(AmqpFacts("RabbitMQ", "3.13.7", 2.0), SUBJECT))
    assert found[f"rabbitmq.amqp.refused@{SUBJECT}"].status is Status.SKIPPED


def test_a_configured_exchange_that_is_gone_and_one_that_leads_nowhere_are_critical() -> None:
    def statuses(exchange: str, **changes: Any) -> tuple[Status, ...]:
        settings = Settings.model_validate({"rabbitmq": {"exchange": exchange}})
        found = findings(settings, observed(with_fields(HEALTHY, changes), SUBJECT))
        return tuple(found[f"rabbitmq.exchange.{fault}@{SUBJECT}"].status for fault in ("missing", "unbound"))

    assert statuses("samaconso") == (OK, OK)
    assert statuses("") == (OK, OK)
    assert statuses("other") == (CRITICAL, OK)
    assert statuses("samaconso", **bound("samaconso")) == (OK, CRITICAL)


def test_of_two_users_one_that_only_consumes_needs_no_right_to_publish() -> None:
    reader = Rights("worker", ".*", "^celeryev", ".*")
    rows = routing(rights=(Rights("api", ".*", ".*", "^$"), reader))
    connected = {"connections": BrokerConnections(3, (), (), 0, ("api", "worker"))}
    found = findings(SETTINGS, observed(with_fields(HEALTHY, rows | connected), SUBJECT))
    assert found[f"rabbitmq.rights.missing@{SUBJECT}"].status is WARNING
