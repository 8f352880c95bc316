"""Servers that several service tests share, each started once and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service import rabbitmq_server
from tests.service.lab_fixture import RunningLab, running_lab

# Minutes each: begun last, one of them alone would be waited for.
LONGEST_FIRST = (
    "test_releases.py",
    "test_incidents.py",
    "test_restore.py",
    "test_backup_lab.py",
    "test_troubleshoot.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin first, and all others in their order."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(autouse=True)
def as_on_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a look that a test itself takes see no load: on a busy machine it would look a second time."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))


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
