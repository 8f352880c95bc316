"""A message that kills the process which runs it: parked on a real broker, and put back. Nothing else is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import amqp
import pytest

from samaops.changes.rabbitmq import parking
from samaops.changes.run import operations
from samaops.changes.run.rabbitmq.parking import MARK
from samaops.clients.amqp import AmqpSession
from samaops.clients.errors import ClientError
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.errors import UnavailableError
from samaops.model.failure import FailureKind
from samaops.model.plan import ActionStatus
from samaops.site.site import Site
from samaops.workflows import change, queues
from samaops.workflows import history as past
from tests.service import faulty
from tests.service.rabbitmq_server import USER, Broker, free_port

pytestmark = [pytest.mark.service, pytest.mark.timeout(240), pytest.mark.xdist_group("rabbitmq")]
QUEUE, HOLDING = "low_priority", "samaops.parked.low_priority"
COUNT, POISON = 30, "id-7"


@pytest.fixture
def settings(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    broker.declare(QUEUE, **{"x-max-priority": 10})
    fill(broker)
    yield broker.settings(safety={"lock_directory": tmp_path})
    for name in names(broker) & {QUEUE, HOLDING}:
        broker.delete(name)


def fill(broker: Broker, queue: str = QUEUE) -> None:
    for number in range(COUNT):
        broker.request("POST", "exchanges/%2F/amq.default/publish", numbered(number, queue))


def numbered(number: int, queue: str = QUEUE) -> dict[str, Any]:
    properties = {"priority": 3, "delivery_mode": 2, "headers": {"task": "t", "id": f"id-{number}"}}
    return {
        "properties": properties, "routing_key": queue, "payload": f"n° {number}", "payload_encoding": "string",
    }  # fmt: skip


def names(broker: Broker) -> set[str]:
    return {one["name"] for one in broker.request("GET", "queues/%2F?columns=name").json()}


def messages(broker: Broker, queue: str = QUEUE) -> list[dict[str, Any]]:
    """Return what waits in a queue, but for the mark that looking leaves."""
    body = {"count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto"}
    found = broker.request("POST", f"queues/%2F/{queue}/get", body).json() if queue in names(broker) else []
    return [{key: one[key] for key in ("payload", "properties")} for one in found]


def ids(broker: Broker, queue: str = QUEUE) -> list[str]:
    return [one["properties"]["headers"]["id"] for one in messages(broker, queue)]


class Worker:
    """Holds as many messages as a worker may, and gives back those that would kill it."""

    def __init__(self, broker: Broker, poison: set[str], room: int) -> None:
        self.poison, self.room, self.given_back = poison, room, 0
        self.done: list[str] = []
        self._stop = threading.Event()
        self._connection = amqp.Connection(
            f"127.0.0.1:{broker.port}", userid=USER, password=broker.password, login_method="PLAIN"
        )
        self._connection.connect()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        channel = self._connection.channel()
        channel.basic_qos(0, self.room, False)
        channel.basic_consume(QUEUE, callback=lambda one: self._work(channel, one))
        while not self._stop.is_set():
            try:
                self._connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue

    def _work(self, channel: Any, message: Any) -> None:
        task = message.headers["id"]
        if task in self.poison:
            self._stop.wait(0.2)
            self.given_back += 1
            channel.basic_reject(message.delivery_tag, requeue=True)
        else:
            self.done.append(task)
            channel.basic_ack(message.delivery_tag)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self._connection.collect()


@contextmanager
def working(broker: Broker, *poison: str, room: int = 4) -> Iterator[Worker]:
    """Let a worker work until it has given back a few; with no more room than poison it does nothing else."""
    worker = Worker(broker, set(poison), room)
    others = COUNT - len(poison) if room > len(poison) else 0
    try:
        until(lambda: worker.given_back > 3 and len(worker.done) >= others)
        yield worker
    finally:
        worker.stop()


def until(is_so: Any, seconds: float = 30.0) -> None:
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "waited in vain"
        time.sleep(0.1)


def plan_for(settings: Settings, which: str, seconds: float = 20.0) -> Any:
    return change.prepare(Site(settings), "queue park", (QUEUE, which, "", str(seconds)))


def test_one_task_is_parked_all_others_stay_in_their_order_and_undo_puts_it_back(
    settings: Settings, broker: Broker
) -> None:
    before = messages(broker)
    plan = plan_for(settings, POISON)
    assert HOLDING not in names(broker), "planning makes nothing"
    assert messages(broker) == before
    report = change.apply(Site(settings), plan, 30)
    assert [one.status for one in report.actions] == [ActionStatus.VERIFIED], report.errors
    assert messages(broker) == [one for one in before if one["properties"]["headers"]["id"] != POISON]
    (parked,) = messages(broker, HOLDING)
    assert parked["payload"] == "n° 7"
    assert parked["properties"]["headers"][MARK]["from"] == QUEUE

    back = change.apply(Site(settings), past.undo(Site(settings), str(report.actions[0].journal)), 30)
    assert [one.status for one in back.actions] == [ActionStatus.VERIFIED], back.errors
    after = messages(broker)
    assert sorted(after, key=str) == sorted(before, key=str), "each as it was, the one at the end"
    assert ids(broker)[-1] == POISON
    assert HOLDING not in names(broker)


def test_what_a_worker_gives_back_is_parked_and_nothing_else(settings: Settings, broker: Broker) -> None:
    assert ids(broker)[0] == "id-0", "looked at, all are marked as delivered before"
    with working(broker, "id-0", "id-1", room=2) as worker:
        until(lambda: _counts(broker)["redelivered"])
        plan = plan_for(settings, parking.GIVEN_BACK)
        report = change.apply(Site(settings), plan, 40)
        assert [one.status for one in report.actions] == [ActionStatus.VERIFIED], report.errors
        assert sorted(ids(broker, HOLDING)) == ["id-0", "id-1"]
        until(lambda: len(worker.done) == COUNT - 2)
    assert worker.done == [f"id-{number}" for number in range(2, COUNT)], "each once, in their order"


def test_in_a_busy_queue_only_what_comes_back_is_taken_and_all_others_keep_their_order(
    settings: Settings, broker: Broker
) -> None:
    with publishing(broker), working(broker, "id-3", "id-9") as worker:
        until(lambda: _counts(broker)["redelivered"])
        asked = parking.Parking(QUEUE, HOLDING, "label", 30, parking.GIVEN_BACK)
        assert operations.run(parking.park(asked), Site(settings)).is_ok
        assert sorted(ids(broker, HOLDING)) == ["id-3", "id-9"]
        many = len(worker.done)
        until(lambda: len(worker.done) > many + 50)
        later = [int(one[3:]) for one in worker.done if int(one[3:]) >= 100]
    assert later == list(range(100, 100 + len(later))), "none lost, none twice, each after those before it"


@contextmanager
def publishing(broker: Broker) -> Iterator[None]:
    """Publish some thirty messages a second, from id-100 on."""
    stop = threading.Event()

    def publish() -> None:
        number = 100
        while not stop.wait(0.03):
            broker.request("POST", "exchanges/%2F/amq.default/publish", numbered(number))
            number += 1

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _counts(broker: Broker) -> dict[str, Any]:
    found = broker.request("GET", f"queues/%2F/{QUEUE}?msg_rates_age=600&msg_rates_incr=10").json()
    stats = found.get("message_stats", {})
    return {"redelivered": stats.get("redeliver", 0) > 0 and found.get("messages", 0) > 0}


def test_a_second_run_has_nothing_to_do(settings: Settings, broker: Broker) -> None:
    assert settings.rabbitmq is not None
    # A name of its own: the broker counts what a channel did seconds later, also to a new queue of the same name.
    calm, holding = "calm", parking.holding_queue("calm")
    known = settings.rabbitmq.model_copy(update={"queues": {calm: 3}})
    site = Site(settings.model_copy(update={"rabbitmq": known}))
    arguments = (calm, POISON, "", "20")
    broker.declare(calm, **{"x-max-priority": 10})
    try:
        fill(broker, calm)
        report = change.apply(site, change.prepare(site, "queue park", arguments), 30)
        assert [action.status for action in report.actions] == [ActionStatus.VERIFIED], report.errors
        until(lambda: "effective_policy_definition" in broker.request("GET", f"queues/%2F/{holding}").json())
        again = queues.plan_park(site, arguments)
        assert (again.steps, "is parked" in again.nothing_to_do) == ((), True)
        broker.request("DELETE", f"queues/%2F/{calm}/contents")
        until(lambda: broker.request("GET", f"queues/%2F/{calm}").json().get("messages") == 0)
        plan = change.prepare(site, "queue park", (calm, parking.GIVEN_BACK, "", "20"))
        assert "came back" in plan.nothing_to_do
    finally:
        for name in names(broker) & {calm, holding}:
            broker.delete(name)


def test_what_is_not_there_is_not_parked_and_all_others_stay(settings: Settings, broker: Broker) -> None:
    before = messages(broker)
    report = change.apply(Site(settings), plan_for(settings, "id-none", 5), 10)
    assert [one.status for one in report.actions] == [ActionStatus.REVERTED]
    assert "did not come through" in report.errors[0].message
    assert messages(broker) == before
    assert HOLDING not in names(broker)


def test_no_more_is_parked_than_was_asked_for(settings: Settings, broker: Broker) -> None:
    many = [f"id-{number}" for number in range(parking.MOST_GIVEN_BACK + 4)]
    with working(broker, *many, room=20):
        asked = parking.Parking(QUEUE, HOLDING, "label", 20, parking.GIVEN_BACK)
        assert operations.run(parking.park(asked), Site(settings)).is_ok
    assert len(ids(broker, HOLDING)) == parking.MOST_GIVEN_BACK


def test_parked_tasks_are_put_back_by_hand_one_or_all_each_once(settings: Settings, broker: Broker) -> None:
    for which in ("id-1", "id-2"):
        change.apply(Site(settings), plan_for(settings, which), 30)
        until(lambda: "effective_policy_definition" in broker.request("GET", f"queues/%2F/{HOLDING}").json())
    copy_of = messages(broker, HOLDING)[0]  # as a process leaves it that is killed before it acknowledges
    body = {**copy_of, "routing_key": HOLDING, "payload_encoding": "string"}
    broker.request("POST", "exchanges/%2F/amq.default/publish", body)
    until(lambda: broker.request("GET", f"queues/%2F/{HOLDING}").json().get("messages") == 3)
    one = change.apply(Site(settings), change.prepare(Site(settings), "queue unpark", (QUEUE, "id-2")), 30)
    assert [each.status for each in one.actions] == [ActionStatus.VERIFIED], one.errors
    assert ids(broker, HOLDING) == ["id-1", "id-1"]
    rest = change.apply(
        Site(settings), change.prepare(Site(settings), "queue unpark", (QUEUE, parking.ALL)), 30
    )
    assert [each.status for each in rest.actions] == [ActionStatus.VERIFIED], rest.errors
    assert sorted(ids(broker)) == sorted(f"id-{number}" for number in range(COUNT))
    assert (
        "nothing is parked"
        in change.prepare(Site(settings), "queue unpark", (QUEUE, parking.ALL)).nothing_to_do
    )


@pytest.mark.parametrize("definition", [{"max-length": 5}, {"message-ttl": 1000}])
def test_a_holding_queue_that_a_policy_would_empty_is_not_used(
    settings: Settings, broker: Broker, definition: dict[str, int]
) -> None:
    policy = {"pattern": "^samaops", "definition": definition, "apply-to": "queues"}
    broker.request("PUT", "policies/%2F/drops", policy)
    try:
        report = change.apply(Site(settings), plan_for(settings, POISON), 5)
        assert "would not keep" in report.errors[0].message
        assert (len(ids(broker)), HOLDING in names(broker)) == (COUNT, False)
    finally:
        broker.request("DELETE", "policies/%2F/drops")


def test_a_queue_that_counts_deliveries_is_not_held(settings: Settings, broker: Broker) -> None:
    broker.delete(QUEUE)
    broker.declare(QUEUE, **{"x-queue-type": "quorum"})
    fill(broker)
    asked = parking.Parking(QUEUE, HOLDING, "label", 5, POISON)
    outcome = operations.run(parking.park(asked), Site(settings))
    assert not outcome.is_ok
    assert "quorum queue" in outcome.output
    assert HOLDING not in names(broker)
    found = broker.request(
        "POST", f"queues/%2F/{QUEUE}/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    )
    assert found.json()[0]["redelivered"] is False


def test_a_broker_that_blocks_publishers_parks_nothing_and_loses_nothing(
    settings: Settings, broker: Broker
) -> None:
    before = messages(broker)
    plan = plan_for(settings, POISON)
    broker.ctl("set_vm_memory_high_watermark", "0")
    try:
        report = change.apply(Site(settings), plan, 5)
    finally:
        broker.ctl("set_vm_memory_high_watermark", "absolute", "1GB")
    assert [one.status for one in report.actions] == [ActionStatus.REVERTED], report.errors
    until(lambda: {*ids(broker), *ids(broker, HOLDING)} >= {f"id-{number}" for number in range(COUNT)})
    assert messages(broker) == before


def test_an_expiration_does_not_run_out_while_it_is_parked(settings: Settings, broker: Broker) -> None:
    body = {
        "properties": {"expiration": "600000", "headers": {"id": "short"}}, "routing_key": QUEUE,
        "payload": "x", "payload_encoding": "string",
    }  # fmt: skip
    broker.request("POST", "exchanges/%2F/amq.default/publish", body)
    change.apply(Site(settings), plan_for(settings, "short"), 30)
    (parked,) = messages(broker, HOLDING)
    assert "expiration" not in parked["properties"]
    change.apply(Site(settings), change.prepare(Site(settings), "queue unpark", (QUEUE, "short")), 30)
    assert messages(broker)[-1]["properties"]["expiration"] == "600000"


# Each call that changes something on the broker, with a moment to die before and after it.
PROGRAM = """
import json, os, signal, sys
from samaops.changes.run import operations
from samaops.clients import amqp
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.model.plan import Operation
from samaops.site.site import Site

port, management, user, password, kind, arguments, moment = sys.argv[1:]
left = [int(moment)]
def perhaps_die():
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
def mortal(name):
    real = getattr(amqp.AmqpSession, name)
    def act(*arguments, **named):
        perhaps_die()
        answer = real(*arguments, **named)
        perhaps_die()
        return answer
    setattr(amqp.AmqpSession, name, act)
for name in ("declare", "subscribe", "copy", "acknowledge", "give_back", "delete_if_empty"):
    mortal(name)
section = {"host": "127.0.0.1", "port": port, "management_port": management, "username": user, "password": password}
outcome = operations.run(Operation(kind, json.loads(arguments)), Site(Settings.model_validate({"rabbitmq": section})))
print(outcome.output)
"""


def _killed_at(broker: Broker, moment: int, operation: Any) -> bool:
    words = [str(broker.port), str(broker.management_port), USER, broker.password]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, operation.kind, json.dumps(operation.arguments), str(moment)],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ},
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def _present(broker: Broker) -> set[str]:
    return {*ids(broker), *ids(broker, HOLDING)}


def test_killed_between_any_two_steps_nothing_is_lost_and_the_next_run_goes_on(
    settings: Settings, broker: Broker
) -> None:
    everything = {f"id-{number}" for number in range(COUNT)}
    asked = parking.Parking(QUEUE, HOLDING, "label", 8, POISON)
    there, back = parking.park(asked), parking.unpark(parking.Unparking(QUEUE, HOLDING, "label"))
    for forth, undo in ((there, back), (back, there)):
        moment, was_killed = 0, True
        while was_killed:
            moment += 1
            was_killed = _killed_at(broker, moment, forth)
            until(lambda: _present(broker) >= everything, 10)
            operations.run(forth, Site(settings))  # again: what is there already may be said to be missing
            assert (POISON in ids(broker)) == (forth is back), moment
            assert _present(broker) == everything
            outcome = operations.run(undo, Site(settings))
            assert outcome.is_ok, outcome
            if forth is there:
                assert sorted(ids(broker)) == sorted(everything), "each once again"
        assert moment > 8
    operations.run(back, Site(settings))


@pytest.mark.parametrize("fault", ["refused", "silent", "garbage", "closing", "password"])
def test_a_broker_that_does_not_answer_is_said_within_its_time(broker: Broker, fault: str) -> None:
    section = broker.section(timeout=0.6)
    started = time.monotonic()
    with _fault(fault, section.port) as port:
        changes: dict[str, Any] = {"port": port}
        if fault == "password":
            changes["password"] = Secret.model_validate("wrong")
        wrong = section.model_copy(update=changes)
        with pytest.raises(ClientError) as caught, AmqpSession("127.0.0.1", wrong):
            pass
    assert time.monotonic() - started < 5
    assert caught.value.kind in FailureKind


@contextmanager
def _fault(fault: str, port: int) -> Iterator[int]:
    if fault == "refused":
        yield free_port()
    elif fault == "password":
        yield port
    else:
        servers = {"silent": faulty.hanging(), "garbage": faulty.garbage(), "closing": faulty.closing()}
        with servers[fault] as (_host, served):
            yield served


def test_a_queue_that_cannot_be_looked_at_is_not_touched(settings: Settings) -> None:
    assert settings.rabbitmq is not None
    gone = settings.model_copy(
        update={"rabbitmq": settings.rabbitmq.model_copy(update={"management_port": 1})}
    )
    with pytest.raises(UnavailableError):
        plan_for(gone, POISON)
    assert parking.holding_queue(QUEUE) == HOLDING
