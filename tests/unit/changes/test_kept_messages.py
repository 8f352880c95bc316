"""The files of a purge: a line that cannot be read is never passed over, and their progress is whole or not there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from samaops.changes.rabbitmq.queues import RESTORE, TAKE, Restoring, Taking, beforehand, progress
from samaops.changes.run.rabbitmq import messages
from samaops.clients.errors import ClientError
from samaops.config.settings import Settings
from samaops.facts.rabbitmq import Count
from samaops.model.plan import Operation
from samaops.site.site import Site


def lines(path: Path, *texts: str) -> Path:
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


FIRST, SECOND = json.dumps({"payload": "1"}), json.dumps({"payload": "2"})


def test_only_a_last_line_may_be_cut_short(tmp_path: Path) -> None:
    path = lines(tmp_path / "kept.jsonl", FIRST, SECOND, SECOND[:9])
    assert [message["payload"] for message in messages.read(path)] == ["1", "2"]


@pytest.mark.parametrize("spoiled", [FIRST[:9], "", "5", "[]", "null"])
def test_a_message_in_the_middle_is_not_lost_without_a_word(tmp_path: Path, spoiled: str) -> None:
    path = lines(tmp_path / "kept.jsonl", FIRST, spoiled, SECOND, "")
    with pytest.raises(ClientError, match=r"kept\.jsonl"):
        list(messages.read(path))


def test_how_many_were_published_is_kept_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lines(tmp_path / "kept.jsonl", FIRST, SECOND, "")
    progress(path).write_text("1", encoding="ascii")

    def dies(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)  # the last thing before the new one is there
    with pytest.raises(KeyboardInterrupt):
        messages.keep_progress(path, 2)
    assert messages.published_of(path) == 1


class Broker:
    """A queue of messages; at the ``at``-th call somebody presses Ctrl-C, before its answer is there."""

    def __init__(self, count: int, at: int) -> None:
        self.queue = [{"payload": str(number)} for number in range(count)]
        self.left = at

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def _called(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))  # here a signal is noticed

    def read(self, _queue: str, most: int) -> Sequence[dict[str, Any]]:
        self._called()
        return self.queue[:most]

    def take(self, _queue: str, most: int) -> Sequence[dict[str, Any]]:
        taken, self.queue = self.queue[:most], self.queue[most:]
        self._called()
        return taken

    def publish(self, _queue: str, message: dict[str, Any]) -> None:
        self.queue.append(message)
        self._called()


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_ctrl_c_within_a_batch_waits_until_the_batch_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    broker, path = Broker(150, at), tmp_path / "kept.jsonl"
    monkeypatch.setattr(messages, "_api", lambda _site: broker)
    taking = Operation(TAKE, to_builtins(Taking("q", 150, str(path))))
    with pytest.raises(KeyboardInterrupt):
        messages.take(taking, Site(Settings()))
    assert len(broker.queue) + len(list(messages.read(path))) == 150
    assert not beforehand(path).exists(), "nothing is left for a person to compare"
    broker.left = 3  # and again while it is taken back
    restoring = Operation(RESTORE, to_builtins(Restoring("q", str(path))))
    with pytest.raises(KeyboardInterrupt):
        messages.restore(restoring, Site(Settings()))
    messages.restore(restoring, Site(Settings()))
    assert sorted(int(message["payload"]) for message in broker.queue) == list(range(150)), (
        "each of them once"
    )


class Killed(BaseException):
    """A SIGKILL: nothing comes after it."""


class Dying:
    """Dies at the ``at``-th of all calls: before it, in its middle, or after it."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when, self.calls = at, when, 0

    def over(self, do: Any, half: Any = None) -> Any:
        def call(*arguments: Any, **words: Any) -> Any:
            self.calls += 1
            dies = self.calls == self.at
            if dies and self.when != "after":
                if self.when == "middle" and half:
                    half(*arguments)
                raise Killed
            result = do(*arguments, **words)
            if dies:
                raise Killed
            return result

        return call


def half_written(path: Path, found: Any) -> None:
    text = "".join(json.dumps(message) + "\n" for message in found)
    with path.open("a") as stream:
        stream.write(text[: len(text) // 2 + 3])


def purged_until_it_died(broker: Broker, path: Path, dying: Dying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_api", lambda _site: broker)
    taking = Operation(TAKE, to_builtins(Taking("q", 230, str(path))))
    with monkeypatch.context() as patch:
        patch.setattr(messages, "append", dying.over(messages.append, half_written))
        patch.setattr(broker, "read", dying.over(broker.read))
        patch.setattr(broker, "take", dying.over(broker.take))
        patch.setattr(Path, "unlink", dying.over(Path.unlink))
        with pytest.raises(Killed):
            messages.take(taking, Site(Settings()))


def restored(path: Path) -> None:
    messages.restore(Operation(RESTORE, to_builtins(Restoring("q", str(path)))), Site(Settings()))


@pytest.mark.parametrize("when", ["before", "middle", "after"])
@pytest.mark.parametrize(
    "at", range(1, 13)
)  # two batches: a place, read, aside, take, into the file, aside is gone
def test_a_purge_killed_at_any_moment_is_taken_back_without_a_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, when: str
) -> None:
    broker, path = Broker(230, 0), tmp_path / "kept.jsonl"
    monkeypatch.setattr(messages, "_counted", lambda _site, _queue: Count(len(broker.queue), 0))
    purged_until_it_died(broker, path, Dying(at, when), monkeypatch)
    restored(path)
    assert sorted(int(message["payload"]) for message in broker.queue) == list(range(230)), (
        "each of them once"
    )
    assert not beforehand(path).exists()


def test_what_a_consumer_may_have_taken_is_left_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, path = Broker(230, 0), tmp_path / "kept.jsonl"
    purged_until_it_died(broker, path, Dying(10, "after"), monkeypatch)
    monkeypatch.setattr(messages, "_counted", lambda _site, _queue: Count(len(broker.queue), 1))
    with pytest.raises(ClientError, match="cannot be told"):
        restored(path)
    assert beforehand(path).exists()
    broker.queue = [dict(message) for message in messages.read(beforehand(path))] + broker.queue
    restored(path)  # all of it is still there: nobody has taken any
    assert len(broker.queue) == 230
    assert not beforehand(path).exists()


@pytest.mark.parametrize(("count", "is_known"), [(230, True), (430, False)])
def test_of_equal_messages_only_fewer_than_there_were_tell_that_they_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, is_known: bool
) -> None:
    broker, path = Broker(0, 0), tmp_path / "kept.jsonl"
    broker.queue = [{"payload": "same"} for _number in range(count)]
    monkeypatch.setattr(messages, "_counted", lambda _site, _queue: Count(len(broker.queue), 0))
    purged_until_it_died(broker, path, Dying(10, "after"), monkeypatch)
    if is_known:
        restored(path)
        assert len(broker.queue) == count
    else:
        with pytest.raises(ClientError, match="cannot be told"):
            restored(path)
        assert len(list(messages.read(beforehand(path)))) == 100
