"""Clocks that differ, and are set while samaops looks: nothing is taken for young, or for old, that is not."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.clients.errors import ClientError
from samaops.clients.flower import FlowerClient
from samaops.clients.http import HttpAnswer
from samaops.clients.shell import Completed
from samaops.collect import celery
from samaops.collect.maintenance import logs
from samaops.config.schedule_settings import Maintenance
from samaops.config.settings import Flower, Settings
from samaops.facts.maintenance import LogMarks
from samaops.site.site import Site

NOW = 1_795_000_000.0
HOUR = 3600.0
DATE = "Wed, 18 Nov 2026 11:06:40 GMT"  # the same
SITE = Site(
    Settings.model_validate(
        {"servers": {"workers": {"address": "127.0.0.1"}}, "flower": {"server": "workers"}, "celery": {}}
    )
)


def answering(started: float, date: str = DATE) -> Any:
    task = f'{{"id": {{"uuid": "id", "name": "t", "worker": "w", "state": "STARTED", "started": {started}}}}}'

    def get(_connection: object, path: str, **_words: object) -> HttpAnswer:
        body = task if "/tasks" in path else "{}"
        return HttpAnswer(200, {"date": date} if date else {}, body.encode(), 1.0, 1.0, 2.0)

    return get


@pytest.mark.parametrize("ours", [NOW - HOUR, NOW, NOW + HOUR])
def test_how_long_a_task_runs_is_told_by_the_clock_of_who_saw_it_begin(
    monkeypatch: pytest.MonkeyPatch, ours: float
) -> None:
    monkeypatch.setattr("samaops.clients.http.HttpConnection.get", answering(NOW - 1800))
    monkeypatch.setattr("samaops.collect.celery.time.time", lambda: ours)
    (task,), _recent = celery._of_flower(SITE)
    assert task.runtime_seconds == 1800


@pytest.mark.parametrize("date", [DATE, "", "yesterday"])
def test_a_task_that_begins_in_the_future_has_no_age(monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    monkeypatch.setattr("samaops.clients.http.HttpConnection.get", answering(NOW + HOUR, date))
    monkeypatch.setattr("samaops.collect.celery.time.time", lambda: NOW)
    with pytest.raises(ClientError, match="a clock is wrong"):
        celery._of_flower(SITE)


def test_flower_tells_when_it_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samaops.clients.http.HttpConnection.get", answering(NOW))
    with FlowerClient("http://127.0.0.1:5555", Flower(server="workers")) as client:
        assert client.told_at is None
        client.tasks(1)
        assert client.told_at == NOW


class _Server:
    """A server that lists no log, at a moment of its own clock."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch

    def run(self, command: str, *_arguments: object) -> Completed:
        token = command.split()[3]
        sections = {"now": str(self._epoch), "directory": "exists", "files": "exit 0"}
        text = "".join(f"@@{token} {name}\n{words}\n" for name, words in sections.items())
        return Completed(0, text, "")


@pytest.mark.parametrize(("jump", "is_known"), [(HOUR, True), (0.0, True), (-2.0, True), (-HOUR, False)])
def test_what_is_new_in_logs_is_not_told_by_a_clock_that_was_set_back(jump: float, is_known: bool) -> None:
    server: Any = _Server(NOW + jump)
    marks = LogMarks(NOW, ())
    if is_known:
        assert logs.list_files(server, Maintenance(), marks, 1.0)[0] == NOW + jump
        return
    with pytest.raises(ClientError, match="what is new since cannot be told"):
        logs.list_files(server, Maintenance(), marks, 1.0)
