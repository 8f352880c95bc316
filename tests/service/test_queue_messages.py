"""Messages of a real broker: looked at, written to a file, taken out of their queue, and given back as they were."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samaops.changes.rabbitmq.queues import RESTORE, beforehand
from samaops.changes.run.rabbitmq import messages as message_files
from samaops.clients.errors import ClientError
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError
from samaops.model.failure import FailureKind
from samaops.model.plan import ActionStatus, Operation, Risk
from samaops.site.site import Site
from samaops.workflows import change, queues
from samaops.workflows import history as past
from tests.service.rabbitmq_server import Broker

pytestmark = [pytest.mark.service, pytest.mark.timeout(180), pytest.mark.xdist_group("rabbitmq")]
QUEUE = "low_priority"
COUNT = 130  # more than one batch


@pytest.fixture
def settings(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    broker.request("PUT", f"queues/%2F/{QUEUE}", {"durable": True, "arguments": {"x-max-priority": 10}})
    for number in range(COUNT):
        publish(broker, number)
    wait_for_ready(broker, COUNT)
    yield broker.settings(safety={"lock_directory": tmp_path})
    broker.delete(QUEUE)


def publish(broker: Broker, number: int) -> None:
    properties = {"priority": 3, "headers": {"task": "send_broadcast", "id": f"id-{number}"}}
    body = {
        "properties": properties,
        "routing_key": QUEUE,
        "payload": f"Bonjour n° {number}",
        "payload_encoding": "string",
    }
    broker.request("POST", "exchanges/%2F/amq.default/publish", body)


def wait_for_ready(broker: Broker, count: int) -> None:
    """Wait until the management API shows so many: it looks every five seconds."""
    ends_at = time.monotonic() + 30
    while broker.request("GET", f"queues/%2F/{QUEUE}").json().get("messages_ready") != count:
        assert time.monotonic() < ends_at, "the broker does not show the messages"
        time.sleep(0.3)


def messages(broker: Broker) -> list[tuple[Any, ...]]:
    found = ready(broker)
    return [(one["payload"], one["properties"]["priority"], one["properties"]["headers"]) for one in found]


def ready(broker: Broker) -> list[dict[str, Any]]:
    body = {"count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto"}
    found: list[dict[str, Any]] = broker.request("POST", f"queues/%2F/{QUEUE}/get", body).json()
    return found


def test_messages_are_shown_and_written_and_stay_where_they_are(
    settings: Settings, broker: Broker, tmp_path: Path
) -> None:
    before = messages(broker)
    table = queues.peek(Site(settings), QUEUE, 2)
    assert [(row["task"], row["id"], row["payload"]) for row in table.rows] == [
        ("send_broadcast", "id-0", "Bonjour n° 0"),
        ("send_broadcast", "id-1", "Bonjour n° 1"),
    ]
    count, file = queues.export(Site(settings), QUEUE, tmp_path / "kept.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert (count, [one["payload"] for one in lines]) == (COUNT, [one[0] for one in before])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(RefusedError, match="exists already"):
        queues.export(Site(settings), QUEUE, file)
    assert messages(broker) == before
    (row,) = [one for one in queues.listed(Site(settings)).rows if one["queue"] == QUEUE]
    assert (row["ready"], row["consumers"]) == (COUNT, 0)


def test_what_came_a_moment_ago_is_counted_and_what_went_is_not(
    settings: Settings, broker: Broker, tmp_path: Path
) -> None:
    site, to = Site(settings), str(tmp_path / "taken.jsonl")
    for number in range(COUNT, COUNT + 7):
        publish(broker, number)
    (step,) = change.prepare(site, "queue purge", (QUEUE, to)).steps
    assert step.operation.arguments["most"] == COUNT + 7
    (row,) = [row for row in queues.listed(site).rows if row["queue"] == QUEUE]
    assert row["ready"] == COUNT + 7
    broker.request("DELETE", f"queues/%2F/{QUEUE}/contents")
    assert "no message is ready" in change.prepare(site, "queue purge", (QUEUE, to)).nothing_to_do
    publish(broker, 0)
    assert len(change.prepare(site, "queue purge", (QUEUE, to)).steps) == 1


def test_a_broker_that_cannot_be_asked_itself_is_not_purged_by_its_statistics(
    settings: Settings, tmp_path: Path
) -> None:
    assert settings.rabbitmq is not None
    deaf = settings.model_copy(update={"rabbitmq": settings.rabbitmq.model_copy(update={"port": 1})})
    with pytest.raises(UnavailableError, match="could not be counted on the broker itself"):
        change.prepare(Site(deaf), "queue purge", (QUEUE, str(tmp_path / "taken.jsonl")))
    listed = queues.listed(Site(deaf))
    assert "statistics, up to 5 s old" in listed.notes[0]


def test_a_purged_queue_is_in_the_file_and_undo_gives_it_back_as_it_was(
    settings: Settings, broker: Broker, tmp_path: Path
) -> None:
    before, file = messages(broker), tmp_path / "taken.jsonl"
    plan = change.prepare(Site(settings), "queue purge", (QUEUE, str(file)))
    assert messages(broker) == before, "planning takes nothing"
    report = change.apply(Site(settings), plan, wait_seconds=30)
    assert [one.status for one in report.actions] == [ActionStatus.VERIFIED], report.errors
    assert messages(broker) == []
    assert len(file.read_text(encoding="utf-8").splitlines()) == COUNT

    back = past.undo(Site(settings), str(report.actions[0].journal))
    undone = change.apply(Site(settings), back, wait_seconds=30)
    assert [one.status for one in undone.actions] == [ActionStatus.APPLIED], undone.errors
    assert messages(broker) == before
    assert not past.undo(Site(settings), str(report.actions[0].journal)).steps, "it is published once"


def test_what_was_purged_is_published_whatever_others_do_with_the_queue_meanwhile(
    settings: Settings, broker: Broker, tmp_path: Path
) -> None:
    before, file = messages(broker), tmp_path / "taken.jsonl"
    purged = change.apply(
        Site(settings), change.prepare(Site(settings), "queue purge", (QUEUE, str(file))), 30
    )
    broker.publish(QUEUE, COUNT, "foreign")
    wait_for_ready(broker, COUNT)
    back = past.undo(Site(settings), str(purged.actions[0].journal))
    (step,) = back.steps
    assert (step.risk, step.undo) == (Risk.DISRUPTIVE, None), (
        "nothing is lost, and nothing is taken out again"
    )
    undone = change.apply(Site(settings), back, 30)
    assert [one.status for one in undone.actions] == [ActionStatus.APPLIED], undone.errors
    found = [one["payload"] for one in ready(broker)]
    assert sorted(found) == sorted([one[0] for one in before] + COUNT * ["foreign"])


def test_the_batch_at_which_a_purge_was_killed_is_never_thrown_away(
    settings: Settings, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, file = messages(broker), tmp_path / "taken.jsonl"

    class Killed(BaseException):
        pass

    def die(path: Path, found: Any) -> None:
        if path == file and list(found):
            raise Killed
        append(path, found)

    append = message_files.append
    monkeypatch.setattr(message_files, "append", die)
    with pytest.raises(Killed):
        change.apply(Site(settings), change.prepare(Site(settings), "queue purge", (QUEUE, str(file))), 30)
    monkeypatch.setattr(message_files, "append", append)
    beside = beforehand(file)
    held = beside.read_text(encoding="utf-8")
    in_queue = [one[0] for one in messages(broker)]
    assert sorted(in_queue + [one["payload"] for one in message_files.read(beside)]) == sorted(
        one[0] for one in before
    )
    with pytest.raises(RefusedError, match="exists already"):
        change.prepare(Site(settings), "queue purge", (QUEUE, str(file)))
    assert beside.read_text(encoding="utf-8") == held
    with broker.consuming(QUEUE):  # it could have been whoever consumes
        again = Operation(RESTORE, {"queue": QUEUE, "file": str(file)})
        with pytest.raises(ClientError, match="cannot be told"):
            message_files.restore(again, Site(settings))
    assert beside.read_text(encoding="utf-8") == held


KILLED = """
import os, signal, sys
from samaops.clients.rabbitmq import ManagementApi
from samaops.changes.run.rabbitmq import messages
where = sys.argv.pop(1)
take, append = ManagementApi.take, messages.append
def die(): os.kill(os.getpid(), signal.SIGKILL)
def took(self, *arguments):
    if where == "before": die()
    taken = take(self, *arguments)
    if where == "taken": die()
    return taken
def appended(path, found):
    found = list(found)
    append(path, found)
    if where == "written" and found and not str(path).endswith(".next"): die()
ManagementApi.take, messages.append = took, appended
from samaops.cli.start import main
main()
"""


@pytest.mark.parametrize("where", ["before", "taken", "written"])
def test_a_purge_that_was_killed_is_taken_back_by_undo_alone(
    settings: Settings, broker: Broker, tmp_path: Path, where: str
) -> None:
    before, configuration = messages(broker), tmp_path / "config.toml"
    rabbitmq = settings.rabbitmq
    assert rabbitmq is not None
    configuration.write_text(
        f'[servers.api]\naddress = "127.0.0.1"\n[safety]\nlock_directory = "{tmp_path}"\n[rabbitmq]\n'
        f'host = "127.0.0.1"\nport = {rabbitmq.port}\nmanagement_port = {rabbitmq.management_port}\n'
        f'username = "{rabbitmq.username}"\npassword = "{rabbitmq.password and rabbitmq.password.reveal()}"\n'
    )
    configuration.chmod(0o600)
    words = ["--config", str(configuration), "queue", "purge", QUEUE, "--confirm", QUEUE]
    command = [sys.executable, "-c", KILLED, where, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr
    assert len(messages(broker)) == (COUNT if where == "before" else COUNT - 100)
    undone = subprocess.run(
        [sys.executable, "-m", "samaops", "--config", str(configuration), "undo", "last", "--yes"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert sorted(messages(broker)) == sorted(before)


def test_what_finds_no_place_on_the_disk_is_not_taken_or_given_back(
    settings: Settings, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, file = messages(broker), tmp_path / "taken.jsonl"
    plan = change.prepare(Site(settings), "queue purge", (QUEUE, str(file)))
    append, calls = message_files.append, []

    def full(path: Path, found: Any) -> None:
        calls.append(path)
        if len(calls) == 6:  # place, aside, batch; place, aside, and now the batch that was just taken
            raise ClientError(FailureKind.ERROR, "No space left on device", "file")
        append(path, found)

    monkeypatch.setattr(message_files, "append", full)
    report = change.apply(Site(settings), plan, wait_seconds=30)
    assert [one.status for one in report.actions] == [ActionStatus.REVERTED], report.errors
    assert "No space left" in report.errors[0].message
    assert sorted(messages(broker)) == sorted(before)


def test_purging_needs_the_queue_s_name_whatever_else_is_said_77(
    settings: Settings, broker: Broker, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.touch(mode=0o600)
    section = settings.rabbitmq
    assert section is not None
    config.write_text(
        f'[rabbitmq]\nhost = "127.0.0.1"\nport = {section.port}\nmanagement_port = {section.management_port}\n'
        f'username = "{section.username}"\npassword = "{broker.password}"\n[safety]\nlock_directory = "{tmp_path}"\n'
    )

    def samaops(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "samaops", "--config", str(config), "--lang", "en", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ}, check=False, stdin=subprocess.DEVNULL
        )

    assert samaops("queue", "purge", QUEUE, "--yes").returncode == 77
    assert samaops("queue", "purge", QUEUE, "--yes", "--confirm", "normal").returncode == 77
    assert len(messages(broker)) == COUNT
    done = samaops("queue", "purge", QUEUE, "--confirm", QUEUE, "--to", str(tmp_path / "t"), "-o", "json")
    assert done.returncode == 0, done.stderr
    assert messages(broker) == []


def test_a_broker_that_does_not_answer_is_said(broker: Broker) -> None:
    settings = broker.settings()
    assert settings.rabbitmq is not None
    gone = settings.model_copy(
        update={"rabbitmq": settings.rabbitmq.model_copy(update={"management_port": 1})}
    )
    with pytest.raises(UnavailableError):
        queues.peek(Site(gone), QUEUE, 1)
