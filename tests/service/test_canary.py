"""A canary on a real broker, real workers, a real Redis and a real Flower: what each kind of task makes of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from samaops.config import masking
from samaops.config.settings import Redis, Settings
from samaops.model.plan import ActionStatus, Plan
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting import canary
from tests.service.test_celery_workers import Plant, plant

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]
__all__ = ["plant"]
QUEUE = "normal"
WAIT_SECONDS = 15.0


@pytest.fixture
def settings_of(
    plant: Plant,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Settings]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def make(task: str) -> Settings:
        found = plant.settings(canary_task=task)
        redis = Redis(host="127.0.0.1", port=plant.redis_port)
        safety = found.safety.model_copy(update={"lock_directory": tmp_path})
        return found.model_copy(update={"redis": redis, "safety": safety})

    yield make
    wait_for_ready(plant, 0)  # nothing is left, whatever a test did


def wait_for_ready(plant: Plant, count: int) -> None:
    """Wait until the management API shows so many messages: it is some seconds behind."""
    ends_at = time.monotonic() + 25
    while plant.ready(QUEUE) != count:
        assert time.monotonic() < ends_at, "the broker shows another number of messages"
        time.sleep(0.2)


def planned(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Plan:
    """Return the plan of a canary; the management API may be some seconds behind the workers."""
    ends_at = time.monotonic() + 20
    while True:
        found = canary.prepare(Site(settings), QUEUE, wait_seconds)
        if isinstance(found, Plan):
            return found
        assert time.monotonic() < ends_at, found.answer
        time.sleep(0.5)


def sent(settings: Settings, wait_seconds: float = WAIT_SECONDS) -> Report:
    return canary.send(Site(settings), planned(settings, wait_seconds), wait_seconds)


def statuses(report: Report) -> str:
    signs = {Status.OK: "o", Status.CRITICAL: "C", Status.UNKNOWN: "?", Status.SKIPPED: "-"}
    return "".join(signs[one.status] for one in report.findings)


def test_a_task_of_a_few_lines_is_enough(settings_of: Callable[[str], Settings]) -> None:
    report = sent(settings_of("canary_fine"))
    assert statuses(report) == "oooooo", report
    assert [one.status for one in report.actions] == [ActionStatus.APPLIED]
    assert "A notification goes through" in report.answer
    published, ready, delivered, _sent, accepted, ended = (one.value for one in report.findings)
    assert 0 < published <= ready <= delivered <= accepted <= ended  # type: ignore[operator]


@pytest.mark.parametrize(
    ("task", "expected", "words"),
    [
        ("canary_that_sends", "ooooCo", "may have sent it"),
        ("canary_refused", "ooo-Co", "407 Proxy Authentication Required"),
        ("canary_of_tomorrow", "oooC-o", "does not know the task canary_of_tomorrow"),
    ],
)
def test_a_task_that_is_not_as_it_should_be_is_named_at_its_hop(
    settings_of: Callable[[str], Settings], task: str, expected: str, words: str
) -> None:
    report = sent(settings_of(task))
    assert statuses(report) == expected, report
    assert words in report.answer


def test_a_secret_that_an_exception_quotes_is_masked(
    settings_of: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "_known", {"Proxy Authentication"})
    report = sent(settings_of("canary_refused"))
    assert "407" in report.answer
    assert "Authentication" not in str(report)


def test_a_task_without_a_result_is_told_by_what_flower_heard(settings_of: Callable[[str], Settings]) -> None:
    report = sent(settings_of("canary_without_result"), 3)
    assert statuses(report) == "ooo-?o", report
    assert report.answer.startswith("Whether a notification goes through is unknown: the task has ended well")


def test_a_redis_that_we_cannot_read_is_unknown_and_not_critical(
    plant: Plant, settings_of: Callable[[str], Settings]
) -> None:
    settings = settings_of("canary_fine")
    assert settings.redis is not None
    closed = settings.redis.model_copy(update={"port": 1})
    report = sent(settings.model_copy(update={"redis": closed}), 3)
    assert (statuses(report), report.status) == ("ooo-?o", Status.UNKNOWN), report
    without = settings.model_copy(update={"redis": closed, "flower": None})
    assert statuses(sent(without, 2)) == "oo?---"


def test_planning_publishes_nothing(plant: Plant, settings_of: Callable[[str], Settings]) -> None:
    settings = settings_of("canary_fine")
    plan = planned(settings)
    assert statuses(sent(settings)) == "oooooo"  # what was published before it has been run
    assert not _result(plant, plan.steps[0].operation.arguments["task_id"])


@contextmanager
def busy_worker(plant: Plant, directory: Path) -> Iterator[None]:
    """Let both processes of the worker wait in a task."""
    gates = [directory / f"gate{number}" for number in range(2)]
    for gate in gates:
        plant.send("hang", str(gate), queue=QUEUE)
    plant.until(lambda seen: plant.ready(QUEUE) == 0, "celery")
    try:
        yield
    finally:
        for gate in gates:
            gate.touch()


def test_one_that_nobody_takes_ends_by_itself_and_is_never_delivered(
    plant: Plant,
    settings_of: Callable[[str], Settings],
    tmp_path: Path,
) -> None:
    settings = settings_of("canary_fine")
    plan = planned(settings, 2)
    with busy_worker(plant, tmp_path):
        report = canary.send(Site(settings), plan, 2)
        assert statuses(report) == "ooC---", report
    again = sent(settings)  # the worker works again, and has had the time to run it
    assert statuses(again) == "oooooo"
    assert not _result(plant, report.findings[0].evidence["task_id"])


def _result(plant: Plant, task_id: str) -> str:
    words = ["redis-cli", "-p", str(plant.redis_port), "get", f"celery-task-meta-{task_id}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_a_queue_that_nobody_consumes_gets_none(plant: Plant, settings_of: Callable[[str], Settings]) -> None:
    plant.broker.declare("samaops_lonely")
    try:
        settings = settings_of("canary_fine")
        assert settings.rabbitmq is not None
        queues = {**settings.rabbitmq.queues, "samaops_lonely": 1}
        rabbitmq = settings.rabbitmq.model_copy(update={"queues": queues})
        widened = settings.model_copy(update={"rabbitmq": rabbitmq})
        found = canary.prepare(Site(widened), "samaops_lonely", WAIT_SECONDS)
        assert isinstance(found, Report)
        assert (statuses(found), found.answer) == (
            "-C----",
            "No canary was sent: nobody consumes samaops_lonely",
        )
        assert plant.ready("samaops_lonely") == 0
    finally:
        plant.broker.delete("samaops_lonely")


@pytest.fixture
def command(plant: Plant, settings_of: Callable[[str], Settings], tmp_path: Path) -> list[str]:
    settings = settings_of("canary_fine")
    planned(settings)
    section = settings.rabbitmq
    assert section is not None
    config = tmp_path / "config.toml"
    config.touch(mode=0o600)
    config.write_text(
        f'[rabbitmq]\nhost = "127.0.0.1"\nport = {section.port}\nmanagement_port = {section.management_port}\n'
        f'username = "{section.username}"\npassword = "{plant.broker.password}"\n'
        f'[redis]\nhost = "127.0.0.1"\nport = {plant.redis_port}\n[celery]\ncanary_task = "canary_fine"\n'
        f'[safety]\nlock_directory = "{tmp_path}"\n'
    )

    return [
        sys.executable, "-m", "samaops", "--config", str(config), "--lang", "en",
        "troubleshoot", "notifications", "--canary",
    ]  # fmt: skip


def test_the_command_asks_sends_and_tells_on_stdout(command: list[str]) -> None:
    def samaops(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    refused = samaops()
    assert refused.returncode == 77, refused
    assert "--yes" in refused.stderr
    dry: dict[str, Any] = json.loads(samaops("--dry-run", "-o", "json").stdout)
    assert [one["status"] for one in dry["actions"]] == ["planned"]
    assert dry["findings"] == []
    done = samaops("--yes", "--queue", "urgent")
    assert done.returncode == 0, done
    assert done.stdout.startswith("✓ OK  A notification goes through: ")
    assert "waited" in done.stdout
    assert "in urgent" in done.stdout
    report: dict[str, Any] = json.loads(samaops("--yes", "-o", "json").stdout)
    assert (report["status"], len(report["findings"])) == ("ok", 6)
    assert report["actions"][0]["journal"]


def test_whoever_does_not_wait_gets_what_was_seen_as_one_document_130(
    plant: Plant, command: list[str], tmp_path: Path
) -> None:
    with busy_worker(plant, tmp_path):
        words = [*command, "--yes", "-o", "json", "--wait", "30"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_ready(plant, 1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        plant.broker.request("DELETE", f"queues/%2F/{QUEUE}/contents")
    assert process.returncode == 130, stderr
    document = json.loads(stdout)
    assert [one["status"] for one in document["findings"][:3]] == ["ok", "ok", "critical"]
    assert "the canary is published" in document["errors"][0]["message"]
