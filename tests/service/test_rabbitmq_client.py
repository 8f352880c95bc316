"""RabbitMQ as it really is: a real broker with real alarms, limited users, and broken servers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import amqp
import pytest

from samaops.clients.amqp import greet
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config.secrets import Secret
from samaops.config.settings import RabbitMQ
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from samaops.portraits.compare import compare
from samaops.portraits.portrait import Portrait, portrait_of
from samaops.site.site import Site
from samaops.workflows import change, history
from tests.service import faulty
from tests.service.looking import Look, look
from tests.service.postgres_server import eventually
from tests.service.rabbitmq_server import USER, Broker

pytestmark = pytest.mark.service
TIMEOUT = 0.6
SUBJECT = "rabbitmq/api"
QUEUES = ("urgent", "high_priority", "normal", "low_priority")
ServerOf = Callable[[], contextlib.AbstractContextManager[tuple[str, int]]]


@pytest.fixture
def queues(broker: Broker) -> Iterator[Broker]:
    """Return the broker with the four queues of the guide, which are gone afterwards."""
    for name in QUEUES:
        broker.declare(name, **{"x-max-priority": 10})
    yield broker
    for name in QUEUES:
        with contextlib.suppress(OSError):  # a test may have deleted it
            broker.delete(name)


def log_in(address: tuple[str, int], **changes: Any) -> None:
    section = RabbitMQ.model_validate(
        {"management_port": address[1], "timeout": TIMEOUT, "password": "x"} | changes
    )
    with ManagementApi(address[0], section) as api:
        api.log_in()


def kind_of(talk: Callable[[], object]) -> FailureKind:
    started = time.monotonic()
    with pytest.raises(ClientError) as caught:
        talk()
    assert time.monotonic() - started < TIMEOUT + 0.6, "the timeout must bound all of it"
    return caught.value.kind


OK_HEADER = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"


@pytest.mark.parametrize(
    ("server_of", "kind"),
    [
        (faulty.refused_port, FailureKind.REFUSED),
        (faulty.silent, FailureKind.SILENT),
        (faulty.hanging, FailureKind.NO_ANSWER),
        (faulty.closing, FailureKind.CLOSED),
        (lambda: faulty.dripping(OK_HEADER, every_seconds=0.1), FailureKind.NO_ANSWER),
        (lambda: faulty.dripping(b"HTTP/1.1 200 OK\r\nX: ", every_seconds=0.1), FailureKind.NO_ANSWER),
        (faulty.garbage, FailureKind.GARBAGE),
        (lambda: faulty.answering(faulty.http_response(b"<html>")), FailureKind.GARBAGE),
        (
            lambda: faulty.answering(faulty.http_response(b"", "503 Service Unavailable")),
            FailureKind.UNAVAILABLE,
        ),
        (lambda: faulty.answering(faulty.http_response(b"", "401 Unauthorized")), FailureKind.AUTHENTICATION),
        (lambda: faulty.answering(faulty.http_response(b"{}", "404 Not Found")), FailureKind.MISSING),
    ],
)
def test_each_fault_of_the_management_api_is_told_apart(server_of: ServerOf, kind: FailureKind) -> None:
    with server_of() as address:
        assert kind_of(lambda: log_in(address)) is kind


def test_a_certificate_that_nobody_signed_is_a_tls_failure() -> None:
    with faulty.garbage(b"x", tls=True) as address:
        assert kind_of(lambda: log_in(address, management_tls=True)) is FailureKind.TLS


@pytest.mark.parametrize(
    ("server_of", "kind"),
    [
        (faulty.refused_port, FailureKind.REFUSED),
        (faulty.silent, FailureKind.SILENT),
        (faulty.hanging, FailureKind.NO_ANSWER),
        (faulty.closing, FailureKind.CLOSED),
        (lambda: faulty.dripping(b"\x01\x00\x00\x00\x00\x01\x00", every_seconds=0.1), FailureKind.NO_ANSWER),
        (faulty.garbage, FailureKind.GARBAGE),
        (lambda: faulty.garbage(b"AMQP\x00\x01\x00\x00"), FailureKind.GARBAGE),  # AMQP 1.0 only
        (lambda: faulty.garbage(b"SSH-2.0-OpenSSH_9.2\r\n"), FailureKind.GARBAGE),
    ],
)
def test_each_fault_of_the_amqp_port_is_told_apart(server_of: ServerOf, kind: FailureKind) -> None:
    with server_of() as address:
        assert kind_of(lambda: greet(*address, timeout=TIMEOUT)) is kind


def test_a_real_broker_greets_on_its_amqp_port(broker: Broker) -> None:
    greeting = greet("127.0.0.1", broker.port, 2.0)
    assert greeting.properties["product"] == "RabbitMQ"
    assert greeting.properties["version"]


def test_empty_queues_without_workers_are_a_warning_each_and_the_rest_is_ok(queues: Broker) -> None:
    empty = {f"rabbitmq.queue.no_consumer@rabbitmq/{name}" for name in QUEUES}
    seen = _until_look(
        queues, lambda one: one.bad() == empty
    )  # it counts a new queue's messages seconds later
    # One more: that nobody consumes a queue is asked of the broker itself.
    assert seen.snapshot.footprint.connections == 3


def test_a_queue_without_consumer_and_with_messages_is_critical(queues: Broker) -> None:
    queues.publish("low_priority", 7)
    finding = _until(queues, "rabbitmq.queue.no_consumer", "low_priority", lambda one: one.value == 7)
    assert finding.status is Status.CRITICAL
    assert finding.evidence["consumers"] == 0


def test_a_consumer_that_has_just_come_is_seen_before_the_statistics_know_of_it(queues: Broker) -> None:
    code = f"rabbitmq.queue.no_consumer@rabbitmq/{QUEUES[-1]}"
    _until_look(queues, lambda seen: code in seen.bad())
    for _attempt in range(5):
        with queues.consuming(QUEUES[-1]):
            assert code not in look(queues.settings(), "rabbitmq").bad()
        _until_look(queues, lambda seen: code in seen.bad())


def test_a_missing_queue_is_critical(queues: Broker) -> None:
    queues.delete("normal")
    seen = look(queues.settings(), "rabbitmq.queue.missing")
    assert seen.bad() == {"rabbitmq.queue.missing@rabbitmq/normal"}


def test_a_queue_that_drops_is_a_warning(queues: Broker) -> None:
    queues.delete("normal")
    queues.declare("normal", **{"x-max-length": 1})
    policy = {"pattern": "^urgent$", "definition": {"message-ttl": 1000}, "apply-to": "queues"}
    queues.request("PUT", "policies/%2F/short", policy)
    try:
        _until(queues, "rabbitmq.queue.arguments", "urgent", lambda one: one.status is Status.WARNING)
        finding = look(queues.settings(), "rabbitmq.queue.arguments").one(
            "rabbitmq.queue.arguments", "rabbitmq/normal"
        )
        assert finding.evidence["limits"] == {"max-length": 1}
    finally:
        queues.request("DELETE", "policies/%2F/short")


def test_a_queue_that_has_dropped_is_critical_and_names_its_policy(
    queues: Broker, limited: Callable[[str, bool], Any]
) -> None:
    definition = {"max-length": 2}
    queues.request(
        "PUT",
        "policies/%2F/keep%20two",
        {"pattern": "^urgent$", "definition": definition, "apply-to": "queues"},
    )
    try:
        _until(queues, "rabbitmq.queue.arguments", "urgent", lambda one: one.status is Status.WARNING)
        queues.publish("urgent", 20)
        finding = _until(
            queues, "rabbitmq.queue.arguments", "urgent", lambda one: one.status is Status.CRITICAL
        )
        assert finding.evidence["vanished_in_window"] == 18
        assert (finding.evidence["policy"], finding.evidence["pattern"]) == ("keep two", "^urgent$")
        assert finding.evidence["own_limits"] == []

        # Who may not see policies still sees what they do.
        seen = look(limited("monitoring", True), "rabbitmq.queue.arguments")
        finding = seen.one("rabbitmq.queue.arguments", "rabbitmq/urgent")
        assert finding.status is Status.CRITICAL
        assert (finding.evidence["policy"], finding.evidence["pattern"]) == ("keep two", None)
    finally:
        queues.request("DELETE", "policies/%2F/keep%20two")


def test_a_memory_alarm_is_seen_with_the_publisher_it_blocks(queues: Broker) -> None:
    with _publisher(queues) as publish:
        queues.ctl("set_vm_memory_high_watermark", "0.000001")
        try:
            publish()
            seen = _until_look(
                queues, lambda one: one.status("rabbitmq.connection.blocked") is Status.CRITICAL
            )
            assert seen.status("rabbitmq.alarm.memory") is Status.CRITICAL
            assert seen.status("rabbitmq.alarm.disk") is Status.OK
            assert seen.status("rabbitmq.amqp.unreachable") is Status.OK
        finally:
            queues.ctl("set_vm_memory_high_watermark", "absolute", "1GB")
        _until_look(queues, lambda one: one.status("rabbitmq.alarm.memory") is Status.OK)


def test_a_disk_alarm_is_seen(queues: Broker) -> None:
    queues.ctl("set_disk_free_limit", "100000GB")
    try:
        seen = _until_look(queues, lambda one: one.status("rabbitmq.alarm.disk") is Status.CRITICAL)
        assert seen.status("rabbitmq.alarm.memory") is Status.OK
        assert seen.status("rabbitmq.disk.low") is Status.WARNING
    finally:
        queues.ctl("set_disk_free_limit", "50MB")
    _until_look(queues, lambda one: one.status("rabbitmq.alarm.disk") is Status.OK)


def test_messages_that_find_no_queue_are_counted(queues: Broker) -> None:
    body = {"properties": {}, "routing_key": "nowhere", "payload": "x", "payload_encoding": "string"}
    queues.request("PUT", "exchanges/%2F/samaconso", {"type": "direct", "durable": True})
    try:
        # The counter's first sample is the zero of a new exchange: what comes after it is a loss of now.
        for _number in range(12):
            queues.request("POST", "exchanges/%2F/samaconso/publish", body)
        seen = _until_look(
            queues, lambda one: one.status("rabbitmq.messages.unroutable") is Status.CRITICAL, seconds=40
        )
        lost = seen.one("rabbitmq.messages.unroutable").evidence["exchanges"]["samaconso"]["lost"]
        assert lost == 12
    finally:
        queues.request("DELETE", "exchanges/%2F/samaconso")


def test_a_wrong_password_is_unknown_and_no_outage(broker: Broker) -> None:
    section = broker.section().model_dump() | {"password": "wrong"}
    seen = look(type(broker.settings()).model_validate({"rabbitmq": section}), "rabbitmq")
    finding = seen.one("rabbitmq.service.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, "authentication")
    assert seen.status("rabbitmq.amqp.unreachable") is Status.OK


@pytest.fixture
def limited(broker: Broker) -> Iterator[Callable[[str, bool], Any]]:
    """Return a function that makes a user with a tag, with or without rights on the virtual host."""
    made = []

    def make(tag: str, has_rights: bool) -> Any:
        name = f"only_{tag or 'nothing'}"
        broker.request("PUT", f"users/{name}", {"password": "secret", "tags": tag})
        made.append(name)
        if has_rights:
            nothing = {"configure": "^$", "write": "^$", "read": "^$"}
            broker.request("PUT", f"permissions/%2F/{name}", nothing)
        section = broker.section().model_dump() | {"username": name, "password": "secret"}
        return type(broker.settings()).model_validate({"rabbitmq": section})

    yield make
    for name in made:
        broker.request("DELETE", f"users/{name}")


def test_a_monitoring_user_without_any_right_to_write_sees_everything(
    queues: Broker, limited: Callable[[str, bool], Any]
) -> None:
    _until(queues, "rabbitmq.queue.backlog", "urgent", lambda one: one.status is Status.OK)
    seen = look(limited("monitoring", True), "rabbitmq")
    assert not [one for one in seen.findings if one.status is Status.UNKNOWN], seen.summary()


def test_a_management_user_does_not_take_empty_lists_for_an_idle_broker(
    queues: Broker, limited: Callable[[str, bool], Any]
) -> None:
    seen = look(limited("management", True), "rabbitmq")
    assert seen.status("rabbitmq.connection.blocked") is Status.UNKNOWN
    assert seen.status("rabbitmq.alarm.memory") is Status.UNKNOWN
    assert seen.status("rabbitmq.queue.missing", "rabbitmq/normal") is Status.OK


def test_a_user_without_the_virtual_host_cannot_judge_the_queues(
    queues: Broker, limited: Callable[[str, bool], Any]
) -> None:
    seen = look(limited("monitoring", False), "rabbitmq")
    assert seen.status("rabbitmq.queue.missing") is Status.UNKNOWN
    assert seen.status("rabbitmq.alarm.memory") is Status.OK


def test_a_user_without_a_tag_is_not_allowed_to_look(
    broker: Broker, limited: Callable[[str, bool], Any]
) -> None:
    finding = look(limited("", True), "rabbitmq.service").one("rabbitmq.service.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, "permission")


def test_hostile_queue_names_are_listed_and_looked_up(broker: Broker) -> None:
    names = ["[red]x[/]\x1b[2J", "a/b?c=d&e#f %2F", "é" * 100]
    for name in names:
        broker.declare(name)
    try:
        section = broker.section().model_dump() | {
            "queues": dict.fromkeys(names, 1),
            "password": broker.password,
        }
        settings = type(broker.settings()).model_validate({"rabbitmq": section})
        broker.publish(names[1])
        seen = look(settings, "rabbitmq.queue")
        assert {seen.status("rabbitmq.queue.missing", f"rabbitmq/{name}") for name in names} == {Status.OK}
    finally:
        for name in names:
            broker.delete(name)


@contextlib.contextmanager
def _publisher(broker: Broker) -> Iterator[Callable[[], None]]:
    """Yield a function that publishes over AMQP, without waiting for anything."""
    from amqp import Connection, Message

    connection = Connection(f"127.0.0.1:{broker.port}", "samaconso_admin", broker.password)
    connection.connect()
    channel = connection.channel()
    try:
        yield lambda: channel.basic_publish(Message("x"), "", "normal")
    finally:
        with contextlib.suppress(OSError):
            connection.transport.sock.shutdown(socket.SHUT_RDWR)
        connection.collect()


def _until_look(broker: Broker, is_so: Callable[[Look], bool], seconds: float = 20) -> Look:
    deadline = time.monotonic() + seconds
    while True:
        seen = look(broker.settings(), "rabbitmq")
        if is_so(seen):
            return seen
        assert time.monotonic() < deadline, seen.summary()
        time.sleep(0.2)


def _until(broker: Broker, code: str, queue: str, is_so: Callable[[Any], bool]) -> Any:
    seen = _until_look(broker, lambda one: is_so(one.one(code, f"rabbitmq/{queue}")))
    return seen.one(code, f"rabbitmq/{queue}")


def test_what_was_set_up_otherwise_is_told(queues: Broker) -> None:
    def portrait(**section: object) -> Portrait:
        return portrait_of(look(queues.settings(**section), "rabbitmq").snapshot)

    binding = "bindings/%2F/e/amq.direct/q/normal"
    queues.request("POST", binding, {"routing_key": "n"})
    before = portrait()
    assert compare(before, portrait(), datetime.now(timezone.utc)) == ()
    policy = {"pattern": "^low_priority$", "definition": {"message-ttl": 1000}, "apply-to": "queues"}
    try:
        queues.request("PUT", "policies/%2F/ttl-test", policy)
        queues.request("PUT", "vhost-limits/%2F/max-connections", {"value": 500})
        queues.request("DELETE", f"{binding}/n")
        after = portrait()
    finally:
        queues.request("DELETE", "policies/%2F/ttl-test")
        queues.request("DELETE", "vhost-limits/%2F/max-connections")
    titles = {difference.title for difference in compare(before, after, datetime.now(timezone.utc))}
    assert titles >= {
        'policy ttl-test is new: pattern ^low_priority$; apply-to queues; priority 0; definition {"message-ttl": 1000}',
        "binding amq.direct -> normal (n) is gone",
        'RabbitMQ parameter vhost-limits limits is {"max-connections": 500}, it was not set',
    }
    assert "hash" not in repr(after)


def abruptly_closed(broker: Broker) -> list[str]:
    """Return what the broker's own log says of clients that left without a word."""
    lines = [
        line for path in (broker.directory / "log").glob("*.log") for line in path.read_text().splitlines()
    ]
    words = ("client unexpectedly closed TCP connection", "closed_with_no_data_received", "handshake_timeout")
    return [line for line in lines if any(word in line for word in words)]


def test_whatever_talks_amqp_takes_leave_of_the_broker(
    queues: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each log-in that is only cut off is a warning in the broker's log, which hides those of the workers."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    settings = queues.settings(safety={"lock_directory": tmp_path})
    site, before = Site(settings), len(abruptly_closed(queues))
    look(settings, "rabbitmq")
    assert look(settings, "rabbitmq", probe=True).status("rabbitmq.publish.probe") is Status.OK
    assert settings.rabbitmq is not None
    refused = settings.rabbitmq.model_copy(update={"password": Secret.model_validate("wrong")})
    look(settings.model_copy(update={"rabbitmq": refused}), "rabbitmq")
    queues.publish("normal", 3)
    purge = change.prepare(site, "queue purge", ("normal", str(tmp_path / "taken.jsonl")))
    purged = change.apply(site, purge, 30)
    change.apply(site, history.undo(site, str(purged.actions[0].journal)), 30)
    change.apply(site, change.prepare(site, "queue park", ("normal", "no-such-task", "", "5")), 5)
    # And so looks one that does not: what comes before it in the log is there by then.
    rude = amqp.Connection(f"127.0.0.1:{queues.port}", userid=USER, password=queues.password)
    rude.connect()
    rude.transport.sock.close()
    eventually(lambda: len(abruptly_closed(queues)) > before)
    assert len(abruptly_closed(queues)) == before + 1, abruptly_closed(queues)[before:]
