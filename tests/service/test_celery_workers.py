"""Celery as it really is: real workers and a real Flower on a real broker, seen without a word to them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import responses

from samaops.clients.errors import ClientError
from samaops.clients.flower import FlowerClient
from samaops.config.settings import Flower, Settings, Threshold
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.service import faulty
from tests.service.looking import Look, look
from tests.service.rabbitmq_server import Broker, free_port

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
TIMEOUT = 0.6
STUCK_AFTER = 3.0
FLOWER_LOGIN = ("admin", "not-the-default")


class Plant:
    """A broker, a Redis for results, two workers and a Flower."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.broker = broker
        self.directory = directory
        self.redis_port, self.flower_port = free_port(), free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **os.environ,
            "PROBE_BROKER": broker.amqp_url,
            "PROBE_BACKEND": f"redis://127.0.0.1:{self.redis_port}/0",
            "PYTHONPATH": str(ROOT),
        }

    def in_containers(self, docker: str) -> str:
        """Return a stand-in for docker in whose containers these workers' variables are set: commands get few of ours."""
        names = ("PROBE_BROKER", "PROBE_BACKEND", "PYTHONPATH")
        exports = [f"export {name}={shlex.quote(self.environment[name])}" for name in names]
        first, rest = docker.split("\n", 1)
        return "\n".join([first, *exports, rest])

    def settings(self, **celery: Any) -> Settings:
        workers = {
            "worker1": {"queues": ["urgent", "high_priority"]},
            "worker2": {"queues": ["normal", "low_priority"]},
        }
        return self.broker.settings(
            flower={
                "url": f"http://127.0.0.1:{self.flower_port}",
                "username": FLOWER_LOGIN[0],
                "password": FLOWER_LOGIN[1],
            },
            celery={"workers": workers, "stuck_after": STUCK_AFTER, **celery},
        )

    def look(self, *only: str) -> Look:
        return look(self.settings(), *(only or ("celery", "flower")))

    def start(self, name: str, *words: str) -> None:
        log = (self.directory / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            words,
            env=self.environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.close()

    def start_worker(self, name: str, queues: str) -> None:
        words = (
            "-n",
            f"{name}@probe",
            "--concurrency=2",
            "--pool=threads",
            "-Q",
            queues,
            "--loglevel=warning",
        )
        self.start(name, *_celery("worker", *words))

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def send(self, task: str, *arguments: str, queue: str, count: int = 1) -> None:
        program = (
            "import sys; from tests.service.probe_tasks import app\n"
            "for _ in range(int(sys.argv[3])): app.send_task(sys.argv[1], args=sys.argv[4:], queue=sys.argv[2])"
        )
        words = [sys.executable, "-c", program, task, queue, str(count), *arguments]
        subprocess.run(words, env=self.environment, check=True, timeout=30)

    def ready(self, queue: str) -> int:
        return int(self.broker.request("GET", f"queues/%2F/{queue}").json().get("messages_ready", 0))

    def until(self, is_so: Callable[[Look], bool], *only: str, seconds: float = 40) -> Look:
        deadline = time.monotonic() + seconds
        while True:
            seen = self.look(*only)
            if is_so(seen):
                return seen
            assert time.monotonic() < deadline, seen.summary()
            time.sleep(0.3)


def _wait_for(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def _celery(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "-A", "tests.service.probe_tasks", *words)


@pytest.fixture(scope="module")
def plant(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    running = Plant(broker, tmp_path_factory.mktemp("celery"))
    try:
        redis = ("redis-server", "--bind", "127.0.0.1", "--port", str(running.redis_port), "--save", "")
        running.start("redis", *redis, "--dir", str(running.directory))
        running.start_worker("worker1", "urgent,high_priority")
        running.start_worker("worker2", "normal,low_priority")
        login = ":".join(FLOWER_LOGIN)
        options = ("--address=127.0.0.1", f"--port={running.flower_port}", f"--basic_auth={login}")
        running.start("flower", *_celery("flower", *options))
        running.until(lambda seen: seen.bad() == set())
        yield running
    finally:
        for name in list(running.processes):
            running.stop(name)
        for queue in ("urgent", "high_priority", "normal", "low_priority"):
            with contextlib.suppress(requests.RequestException):
                broker.delete(queue)


def test_healthy_workers_are_ok_and_each_has_its_queues(plant: Plant) -> None:
    seen = plant.look()
    assert seen.bad() == set(), seen.summary()
    evidence = seen.one("celery.worker.not_consuming", "celery/worker2").evidence
    assert evidence["consumed"] == ["low_priority", "normal"]


def test_looking_leaves_nothing_on_the_broker_and_asks_no_worker(plant: Plant) -> None:
    def broadcasts() -> int:
        exchange = plant.broker.request("GET", "exchanges/%2F/celery.pidbox").json()
        return int(exchange.get("message_stats", {}).get("publish_in", 0))

    def names() -> set[str]:
        return {one["name"] for one in plant.broker.request("GET", "queues/%2F?columns=name").json()}

    queues, before = names(), broadcasts()
    for _number in range(5):
        plant.look()
    # Flower itself repeats one broadcast now and then; five looks must not add five.
    assert broadcasts() - before < 5
    assert names() == queues


def test_a_worker_that_is_gone_is_missing_and_its_queues_uncovered(plant: Plant) -> None:
    plant.stop("worker2")
    try:
        seen = plant.until(
            lambda one: one.status("celery.worker.missing", "celery/worker2") is Status.CRITICAL, "celery"
        )
        assert seen.status("celery.worker.missing", "celery/worker1") is Status.OK
        assert seen.status("celery.queue.uncovered", "celery/low_priority") is Status.CRITICAL
        assert seen.status("celery.queue.uncovered", "celery/urgent") is Status.OK
    finally:
        plant.start_worker("worker2", "normal,low_priority")
    plant.until(lambda one: one.bad() == set())


def test_a_worker_with_the_wrong_queues_is_connected_and_does_not_consume(plant: Plant) -> None:
    plant.stop("worker2")
    plant.start_worker("worker2", "normal")
    try:
        seen = plant.until(
            lambda one: (
                one.status("celery.worker.missing", "celery/worker2") is Status.OK
                and one.status("celery.worker.not_consuming", "celery/worker2") is Status.CRITICAL
            ),
            "celery",
        )
        finding = seen.one("celery.worker.not_consuming", "celery/worker2")
        assert finding.evidence["missing"] == ["low_priority"]
        assert seen.status("celery.queue.uncovered", "celery/low_priority") is Status.CRITICAL
    finally:
        plant.stop("worker2")
        plant.start_worker("worker2", "normal,low_priority")
    plant.until(lambda one: one.bad() == set())


def test_a_hung_worker_is_stuck_by_flower_and_by_the_broker(plant: Plant, tmp_path: Path) -> None:
    plant.send("hang", str(tmp_path / "go"), queue="low_priority", count=5)
    settings = plant.settings()
    limits = {"rabbitmq.queue.stuck": Threshold(warning=5.0)}
    settings = settings.model_copy(update={"thresholds": limits})

    def is_stuck() -> tuple[bool, Look]:
        seen = look(settings, "celery", "rabbitmq.queue")
        task = seen.status("celery.task.stuck", "celery/worker2")
        queue = seen.status("rabbitmq.queue.stuck", "rabbitmq/low_priority")
        return task is Status.CRITICAL and queue is Status.WARNING, seen

    try:
        deadline = time.monotonic() + 60
        stuck, seen = is_stuck()
        while not stuck:
            assert time.monotonic() < deadline, seen.summary()
            time.sleep(0.5)
            stuck, seen = is_stuck()
        evidence = seen.one("celery.task.stuck", "celery/worker2").evidence
        assert (evidence["stuck"], evidence["unacknowledged"], evidence["capacity"]) == (2, 2, 2)
        assert evidence["tasks"][0]["name"] == "hang"
        assert seen.status("celery.task.stuck", "celery/worker1") is Status.OK
        assert seen.status("rabbitmq.queue.no_consumer", "rabbitmq/low_priority") is Status.OK
    finally:
        (tmp_path / "go").touch()
    plant.until(lambda one: one.status("celery.task.stuck", "celery/worker2") is Status.OK)


def test_a_task_that_only_flower_remembers_is_not_called_stuck(plant: Plant, tmp_path: Path) -> None:
    plant.send("hang", str(tmp_path / "go"), queue="urgent")
    plant.until(
        lambda one: one.status("celery.task.stuck", "celery/worker1") is Status.WARNING, "celery.task"
    )
    plant.stop("worker1")
    _wait_for(lambda: plant.ready("urgent") == 1)  # its message came back
    plant.broker.request("DELETE", "queues/%2F/urgent/contents")
    plant.start_worker("worker1", "urgent,high_priority")
    seen = plant.until(
        lambda one: (
            one.status("celery.worker.missing", "celery/worker1") is Status.OK
            and one.status("celery.task.stuck", "celery/worker1") is Status.OK
        ),
        "celery",
    )
    assert seen.one("celery.task.stuck", "celery/worker1").evidence["running"] == 0
    url = f"http://127.0.0.1:{plant.flower_port}/api/tasks?state=STARTED"
    remembered = requests.get(url, auth=FLOWER_LOGIN, timeout=10).json()
    assert [task["name"] for task in remembered.values()] == ["hang"]


def test_failing_tasks_are_critical_with_their_exception_and_success_ends_it(plant: Plant) -> None:
    plant.send("refused_by_proxy", queue="normal", count=10)
    seen = plant.until(lambda one: one.status("celery.tasks.failing") is Status.CRITICAL, "celery.tasks")
    finding = seen.one("celery.tasks.failing")
    assert "407 Proxy Authentication Required" in finding.evidence["exception"]
    plant.send("fine", queue="normal", count=20)
    plant.until(lambda one: one.status("celery.tasks.failing") is Status.OK, "celery.tasks")


def test_replies_that_nobody_fetches_are_counted(plant: Plant) -> None:
    name = "0a1b2c3d.reply.celery.pidbox"
    plant.broker.declare(name)
    try:
        plant.broker.publish(name, 101)
        seen = plant.until(lambda one: one.status("celery.broker.replies") is Status.WARNING, "celery.broker")
        assert seen.one("celery.broker.replies").evidence["largest"] == name
    finally:
        plant.broker.delete(name)


def test_a_user_who_sees_no_consumers_does_not_call_the_workers_down(plant: Plant) -> None:
    plant.broker.request("PUT", "users/blind", {"password": "secret", "tags": "management"})
    nothing = {"configure": "^$", "write": "^$", "read": "^$"}
    plant.broker.request("PUT", "permissions/%2F/blind", nothing)
    try:
        settings = plant.settings()
        assert settings.rabbitmq is not None
        section = settings.rabbitmq.model_dump() | {"username": "blind", "password": "secret"}
        blind = type(settings.rabbitmq).model_validate(section)
        seen = look(settings.model_copy(update={"rabbitmq": blind}), "celery")
        finding = seen.one("celery.service.unreachable")
        assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, "dependency")
        assert not [one for one in seen.findings if one.status is Status.CRITICAL]
    finally:
        plant.broker.request("DELETE", "users/blind")


def test_a_flower_that_is_down_leaves_the_workers_ok_and_the_tasks_unknown(plant: Plant) -> None:
    with faulty.refused_port() as (host, port):
        settings = plant.settings()
        flower = Flower(url=f"http://{host}:{port}", timeout=TIMEOUT)
        seen = look(settings.model_copy(update={"flower": flower}), "celery", "flower")
    assert seen.bad() == {
        "flower.service.unreachable@flower/workers",
        "celery.task.stuck@celery/workers",
        "celery.tasks.failing@celery/workers",
    }


def test_a_wrong_password_of_flower_is_unknown(plant: Plant) -> None:
    settings = plant.settings()
    flower = Flower.model_validate({"url": f"http://127.0.0.1:{plant.flower_port}", "password": "wrong"})
    finding = look(settings.model_copy(update={"flower": flower}), "flower").one("flower.service.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, "authentication")


# The words of Flower 2.2.0: without --basic-auth its API is closed and its pages are open.
API_CLOSED = (
    "FLOWER_UNAUTHENTICATED_API environment variable is required to enable API without authentication"
)
WORKERS_PAGE = json.dumps(
    {"data": [{"hostname": "worker1@a", "status": True}, {"hostname": "b", "status": False}]}
)


def flower_of(answers: Mapping[str, tuple[int, Mapping[str, str], str]]) -> Look:
    """Look at a Flower that answers so; a key may say "open" for requests without a password."""

    def answer(request: requests.PreparedRequest) -> tuple[int, Mapping[str, str], str]:
        path = str(request.path_url).partition("?")[0]
        return answers.get(path if "Authorization" in request.headers else f"open {path}", (404, {}, ""))

    settings = Settings.model_validate({"flower": {"url": "http://flower.test:5555", "password": "ours"}})
    with responses.RequestsMock() as mock:
        mock.add_callback(responses.GET, re.compile("http://flower.test:5555"), answer)
        return look(settings, "flower")


def test_a_flower_without_authentication_does_not_refuse_our_password() -> None:
    seen = flower_of({"/api/workers": (401, {}, API_CLOSED), "/workers": (200, {}, WORKERS_PAGE)})
    assert seen.status("flower.service.unreachable") is Status.OK
    finding = seen.one("flower.credentials.default")
    assert (finding.status, finding.evidence["authentication"]) == (Status.WARNING, "absent, API closed")
    assert seen.one("flower.workers.unseen").evidence["online"] == ["worker1@a"]


@pytest.mark.parametrize(
    ("origin", "without_password", "authentication"),
    [("*", 200, "absent"), ("*", 401, "required"), ("", 200, "required")],
)
def test_a_flower_that_answers_anybody_is_told(
    origin: str, without_password: int, authentication: str
) -> None:
    headers = {"Access-Control-Allow-Origin": origin} if origin else {}
    seen = flower_of(
        {"/api/workers": (200, headers, "{}"), "open /api/workers": (without_password, {}, "{}")}
    )
    assert seen.one("flower.credentials.default").evidence["authentication"] == authentication


def test_a_flower_behind_a_log_in_page_wants_no_password() -> None:
    seen = flower_of({"/api/workers": (302, {"Location": "/login?next=x"}, "")})
    assert seen.one("flower.service.unreachable").evidence["kind"] == "scheme"


@pytest.mark.parametrize(
    ("server_of", "kind"),
    [
        (faulty.refused_port, FailureKind.REFUSED),
        (faulty.silent, FailureKind.SILENT),
        (faulty.hanging, FailureKind.NO_ANSWER),
        (faulty.closing, FailureKind.CLOSED),
        (lambda: faulty.dripping(b"HTTP/1.1 200 OK\r\n", every_seconds=0.1), FailureKind.NO_ANSWER),
        (faulty.garbage, FailureKind.GARBAGE),
        (lambda: faulty.answering(faulty.http_response(b"[1, 2]")), FailureKind.GARBAGE),
        (lambda: faulty.answering(faulty.http_response(b"x", "302 Found")), FailureKind.AUTHENTICATION),
        (lambda: faulty.answering(faulty.http_response(b"x", "500 Oops")), FailureKind.UNAVAILABLE),
    ],
)
def test_each_fault_of_flower_is_told_apart(
    server_of: Callable[[], contextlib.AbstractContextManager[tuple[str, int]]], kind: FailureKind
) -> None:
    started = time.monotonic()
    with server_of() as (host, port):
        client = FlowerClient(f"http://{host}:{port}", Flower(timeout=TIMEOUT))
        with client, pytest.raises(ClientError) as caught:
            client.online()
    assert caught.value.kind is kind
    assert time.monotonic() - started < TIMEOUT + 0.6
