"""Servers that several service tests share, each started once and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service import rabbitmq_server
from tests.service.lab_fixture import RunningLab, running_lab


@pytest.fixture(scope="session")
def broker() -> Iterator[rabbitmq_server.Broker]:
    """Return a running RabbitMQ with the management plugin; tests delete the queues they declare."""
    if not rabbitmq_server.is_installed():
        pytest.skip("rabbitmq-server is not installed (apt-get install rabbitmq-server)")
    with rabbitmq_server.running() as started:
        yield started


@pytest.fixture(scope="session")
def whole_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """Return a lab that is up; whoever breaks it heals it."""
    with running_lab(tmp_path_factory.mktemp("whole-lab")) as lab:
        yield lab
