"""A queue added to a real worker on a real broker, through what stands for ``docker exec``, and taken back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from samaops.changes.celery.draining import DRAIN, TAKE_UP, Draining, TakingUp
from samaops.changes.run import operations
from samaops.config.settings import Settings
from samaops.model.plan import ActionStatus, Operation, Outcome
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows import history as past
from tests.service.test_celery_workers import Plant, plant

__all__ = ["plant"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(180), pytest.mark.xdist_group("celery")]
# docker exec CONTAINER COMMAND...
DOCKER = '#!/bin/sh\n[ "$1" = exec ] || exit 64\nshift 2\nexec "$@"\n'
VERB, ARGUMENTS = "workers add-queue", ("worker2", "extra")


@pytest.fixture
def settings(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(plant.in_containers(DOCKER))
    docker.chmod(0o755)
    for name, value in plant.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    plant.broker.request("PUT", "queues/%2F/extra", {"durable": True})
    yield _settings(plant, tmp_path)
    plant.broker.delete("extra")


def _settings(plant: Plant, place: Path) -> Settings:
    worker: dict[str, Any] = {"server": "here", "container": "c2", "queues": ["normal", "low_priority"]}
    base = plant.broker.settings(
        servers={"here": {"address": "127.0.0.1", "ssh": "local"}},
        celery={
            "workers": {"worker2": worker},
            "command": f"{sys.executable} -m celery",
            "app": "tests.service.probe_tasks",
        },
        safety={"lock_directory": place},
    )
    assert base.rabbitmq is not None
    queues = {**base.rabbitmq.queues, "extra": 1}
    return base.model_copy(update={"rabbitmq": base.rabbitmq.model_copy(update={"queues": queues})})


def consumers(plant: Plant, queue: str) -> list[str]:
    found = plant.broker.request("GET", "consumers/%2F").json()
    return [one["channel_details"]["connection_name"] for one in found if one["queue"]["name"] == queue]


def test_the_queue_is_added_to_the_one_worker_the_finding_goes_and_undo_brings_it_back(
    settings: Settings, plant: Plant
) -> None:
    ends_at = time.monotonic() + 15  # until the management counts the new queue
    while True:
        plan = change.prepare(Site(settings), VERB, ARGUMENTS)
        if "rabbitmq.queue.no_consumer@rabbitmq/extra" in plan.cures:
            break
        assert time.monotonic() < ends_at, plan.cures
    assert consumers(plant, "extra") == [], "planning changes nothing"

    report = change.apply(Site(settings), plan, wait_seconds=30)
    assert [one.status for one in report.actions] == [ActionStatus.VERIFIED], report.errors
    assert len(consumers(plant, "extra")) == 1, "one worker, and not every worker"
    assert {one.status.value for one in report.findings} == {"ok"}

    again = change.prepare(Site(settings), VERB, ARGUMENTS)
    assert again.steps == ()

    identifier = str(report.actions[0].journal)
    back = change.apply(Site(settings), past.undo(Site(settings), identifier), wait_seconds=30)
    assert [one.status for one in back.actions] == [ActionStatus.VERIFIED], back.errors
    assert consumers(plant, "extra") == []
    assert not past.undo(Site(settings), identifier).steps
    assert [one.status for one in past.changes(Site(settings), 5)] == ["verified", "verified"]


def test_a_worker_that_does_not_obey_is_a_failure_and_nothing_is_left(
    settings: Settings, plant: Plant, tmp_path: Path
) -> None:
    plan = change.prepare(Site(settings), VERB, ARGUMENTS)
    (step,) = plan.steps
    command = step.operation.command.replace("worker2@", "nobody@")
    deaf = replace(step.operation, arguments={"command": command})
    report = change.apply(
        Site(settings), replace(plan, steps=(replace(step, operation=deaf),)), wait_seconds=5
    )
    assert [one.status for one in report.actions] == [ActionStatus.REVERTED]
    assert "No nodes replied" in report.errors[0].message
    assert consumers(plant, "extra") == []


def test_what_worked_although_the_answer_was_lost_is_taken_back(
    settings: Settings, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = operations.run

    def lossy(operation: Operation, site: Site) -> Outcome:
        outcome = real(operation, site)
        is_answer_lost = "add_consumer" in operation.command
        return Outcome(False, "the connection was closed") if is_answer_lost else outcome

    monkeypatch.setattr(operations, "run", lossy)
    report = change.apply(Site(settings), change.prepare(Site(settings), VERB, ARGUMENTS), wait_seconds=30)
    assert [one.status for one in report.actions] == [ActionStatus.REVERTED]
    assert consumers(plant, "extra") == []


def test_a_worker_that_somebody_changed_meanwhile_stops_it(settings: Settings, plant: Plant) -> None:
    plan = change.prepare(Site(settings), VERB, ARGUMENTS)
    change.apply(Site(settings), plan, wait_seconds=30)
    report = change.apply(Site(settings), plan, wait_seconds=30)
    assert report.errors[0].exit_code == 77
    assert "worker2 does not consume extra: this is not so" in report.errors[0].message
    identifier = past.changes(Site(settings), 5)[1].id
    change.apply(Site(settings), past.undo(Site(settings), identifier), wait_seconds=30)


def draining(plant: Plant, within: float) -> tuple[Operation, Operation]:
    """Return what lets worker2 end its tasks and take no new ones, and what lets it consume again."""
    queues = ("low_priority", "normal")
    of = Draining("worker2", "worker2@probe", "c2", queues, within, 120.0)
    again = TakingUp("worker2", "worker2@probe", "c2", queues)
    return Operation(DRAIN, asdict(of), "here"), Operation(TAKE_UP, asdict(again), "here")


def test_a_worker_that_is_to_be_restarted_ends_its_tasks_and_takes_no_new_ones(
    settings: Settings, plant: Plant, tmp_path: Path
) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.write_text(plant.in_containers(DOCKER.replace("[", '[ "$1" = inspect ] && exit\n[', 1)))
    site, go = Site(settings), tmp_path / "go"
    plant.send("hang", str(go), queue="normal")
    drain, again = draining(plant, 1.0)
    outcome = operations.run(drain, site)
    assert (outcome.is_ok, outcome.is_skipped) == (False, False)
    assert "worker2 still works on 1 task after" in outcome.output
    assert consumers(plant, "normal") == []
    plant.send("fine", queue="normal", count=3)

    go.touch()
    ended = operations.run(draining(plant, 60.0)[0], site)
    assert ended.is_ok, ended.output
    assert "works on nothing any more" in ended.output
    plant.until(lambda _seen: plant.ready("normal") == 3)
    outcome = operations.run(again, site)
    assert (outcome.is_ok, outcome.output) == (True, "")
    plant.until(lambda _seen: plant.ready("normal") == 0 and len(consumers(plant, "normal")) == 1)
    guards = subprocess.run(["pgrep", "-f", "samaops-worker .*/worker2 guard"], check=False)
    assert guards.returncode == 1, "its watchdog has ended"
