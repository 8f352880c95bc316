"""Servers that several service tests share, each started once and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service import rabbitmq_server


@pytest.fixture(scope="session")
def broker() -> Iterator[rabbitmq_server.Broker]:
    """Return a running RabbitMQ with the management plugin; tests delete the queues they declare."""
    if not rabbitmq_server.is_installed():
        pytest.skip("rabbitmq-server is not installed (apt-get install rabbitmq-server)")
    with rabbitmq_server.running() as started:
        yield started
