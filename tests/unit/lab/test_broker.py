"""The broker's definitions: its user's password as RabbitMQ hashes it, the four queues as the application's."""

from __future__ import annotations

from samaops.lab import broker
from samaops.lab.app.celery_app import EXCHANGE, QUEUE_ARGUMENTS, QUEUE_PRIORITIES
from samaops.lab.layout import Secrets


def test_a_password_is_hashed_as_in_rabbitmqs_documentation() -> None:
    # RabbitMQ, "Credentials and Passwords": password test12, salt 908DC60A
    expected = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert broker.password_hash("test12", bytes.fromhex("908DC60A")) == expected


def test_the_definitions_declare_what_the_application_declares() -> None:
    definitions = broker.make_definitions(Secrets.generate())
    assert {queue["name"] for queue in definitions["queues"]} == set(QUEUE_PRIORITIES)
    assert all(queue["arguments"] == QUEUE_ARGUMENTS for queue in definitions["queues"])
    assert [exchange["name"] for exchange in definitions["exchanges"]] == [EXCHANGE]
    assert {binding["routing_key"] for binding in definitions["bindings"]} == set(QUEUE_PRIORITIES)


def test_no_password_is_written_in_clear() -> None:
    secrets = Secrets.generate()
    assert secrets.rabbitmq_password not in str(broker.make_definitions(secrets))
