"""A task that never ends, revoked in a real worker: only it, and what becomes of its message is what was said."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from samaops.changes.celery.revoke import TERMINATE
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError
from samaops.model.plan import ActionStatus
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows import history as past
from tests.service.test_add_queue import DOCKER
from tests.service.test_celery_workers import FLOWER_LOGIN, STUCK_AFTER, Plant, _celery, _wait_for, plant

__all__ = ["plant"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(240), pytest.mark.xdist_group("celery")]
QUEUE = "stuck"


@pytest.fixture
def settings(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Return the configuration of a third worker, with two processes: a thread cannot be ended."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(plant.in_containers(DOCKER))
    docker.chmod(0o755)
    for name, value in plant.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    plant.broker.declare(QUEUE)
    start(plant, "prefork")
    yield _settings(plant, tmp_path)
    (tmp_path / "go").touch()
    plant.stop("worker3")
    plant.broker.delete(QUEUE)


def start(plant: Plant, pool: str) -> None:
    words = ("-n", "worker3@probe", "--concurrency=2", f"--pool={pool}", "-Q", QUEUE, "--loglevel=warning")
    plant.start("worker3", *_celery("worker", *words))


def _settings(plant: Plant, place: Path) -> Settings:
    base = plant.settings().model_dump()
    worker = {"server": "here", "container": "c3", "queues": [QUEUE]}
    celery = {
        "workers": {"worker3": worker}, "command": f"{sys.executable} -m celery",
        "app": "tests.service.probe_tasks", "stuck_after": STUCK_AFTER,
    }  # fmt: skip
    flower = {**base["flower"], "password": FLOWER_LOGIN[1]}
    return plant.broker.settings(
        servers={"here": {"address": "127.0.0.1", "ssh": "local"}}, celery=celery, flower=flower,
        safety={"lock_directory": place},
    )  # fmt: skip


def active(plant: Plant) -> dict[str, float]:
    """Return the tasks that Flower calls started, with the moment."""
    url = f"http://127.0.0.1:{plant.flower_port}/api/tasks?state=STARTED"
    found = requests.get(url, auth=FLOWER_LOGIN, timeout=10).json()
    return {
        one: float(task["started"])
        for one, task in found.items()
        if str(task["worker"]).startswith("worker3@")
    }


def hang_two(plant: Plant, place: Path, settings: Settings) -> tuple[str, str]:
    """Start two tasks that hang, and wait until both are called stuck."""
    before = set(active(plant))
    plant.send("hang", str(place / "go"), queue=QUEUE, count=2)
    _wait_for(lambda: len(set(active(plant)) - before) == 2)
    one, other = sorted(set(active(plant)) - before)
    _wait_for(lambda: _is_planned(settings, one) and _is_planned(settings, other))
    return one, other


def _is_planned(settings: Settings, task: str) -> bool:
    try:
        return bool(change.prepare(Site(settings), "workers revoke", (task, TERMINATE)).steps)
    except (RefusedError, UnavailableError):
        return False


def unacknowledged(plant: Plant) -> int:
    return int(plant.broker.request("GET", f"queues/%2F/{QUEUE}").json().get("messages", -1))


def commands_sent(plant: Plant) -> int:
    exchange: dict[str, Any] = plant.broker.request("GET", "exchanges/%2F/celery.pidbox").json()
    return int(exchange.get("message_stats", {}).get("publish_in", 0))


def test_the_one_task_is_ended_the_other_goes_on_and_the_message_is_gone(
    settings: Settings, plant: Plant, tmp_path: Path
) -> None:
    one, other = hang_two(plant, tmp_path, settings)
    sent = commands_sent(plant)
    plan = change.prepare(Site(settings), "workers revoke", (one, TERMINATE))
    assert commands_sent(plant) == sent, "planning says nothing to anybody"
    report = change.apply(Site(settings), plan, 30)
    assert [each.status for each in report.actions] == [ActionStatus.VERIFIED], report.errors
    assert other in active(plant)
    _wait_for(lambda: unacknowledged(plant) == 1, 30)  # with acks_late too: it does not come back

    again = change.prepare(Site(settings), "workers revoke", (one, TERMINATE))
    assert "no worker is in a task" in again.nothing_to_do
    with pytest.raises(RefusedError, match="cannot be taken back"):
        past.undo(Site(settings), str(report.actions[0].journal))
    (tmp_path / "go").touch()
    _wait_for(lambda: unacknowledged(plant) == 0, 30)


def test_without_terminate_the_process_goes_on_and_what_comes_back_is_dropped(
    settings: Settings, plant: Plant, tmp_path: Path
) -> None:
    one, _other = hang_two(plant, tmp_path, settings)
    report = change.apply(Site(settings), change.prepare(Site(settings), "workers revoke", (one,)), 30)
    assert [each.status for each in report.actions] == [ActionStatus.APPLIED], report.errors
    assert one in active(plant)
    name, *_rest = one.partition(" ")
    body = {
        "properties": {
            "headers": {"id": name, "task": "hang", "lang": "py", "root_id": name, "argsrepr": "()"},
            "content_type": "application/json", "content_encoding": "utf-8", "correlation_id": name,
        },
        "routing_key": QUEUE, "payload": "[[], {}, {}]", "payload_encoding": "string",
    }  # fmt: skip
    (tmp_path / "go").touch()
    _wait_for(lambda: unacknowledged(plant) == 0, 30)
    plant.broker.request("POST", "exchanges/%2F/amq.default/publish", body)  # it comes again
    state = f"http://127.0.0.1:{plant.flower_port}/api/task/info/{name}"
    _wait_for(
        lambda: requests.get(state, auth=FLOWER_LOGIN, timeout=10).json().get("revoked") is not None, 30
    )


def test_a_task_that_has_just_begun_is_not_revoked(settings: Settings, plant: Plant, tmp_path: Path) -> None:
    patient = settings.model_copy(
        update={
            "celery": settings.celery.model_copy(update={"stuck_after": 600.0}) if settings.celery else None
        }
    )
    one, _other = hang_two(plant, tmp_path, settings)
    with pytest.raises(RefusedError, match="stuck after 600 s"):
        change.prepare(Site(patient), "workers revoke", (one, TERMINATE))
    assert one in active(plant)


def test_a_pool_that_cannot_end_a_task_is_a_failure_and_nothing_else_is_said(
    settings: Settings, plant: Plant, tmp_path: Path
) -> None:
    plant.stop("worker3")
    start(plant, "threads")
    one, _other = hang_two(plant, tmp_path, settings)
    report = change.apply(
        Site(settings), change.prepare(Site(settings), "workers revoke", (one, TERMINATE)), 5
    )
    assert [each.status for each in report.actions] != [ActionStatus.VERIFIED]
    assert report.errors[0].exit_code == 2
    assert one in active(plant)
