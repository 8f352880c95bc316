"""The files of a purge: a line that cannot be read is never passed over, and their progress is whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samaops.changes.rabbitmq.queues import progress
from samaops.changes.run import messages
from samaops.clients.errors import ClientError


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
    assert messages._published(path) == 1
