"""A ledger that others may write: a row of theirs has no file of this machine told to anybody."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from samaops.facts.schedule import Run
from samaops.workflows.schedule.processes import GroupProcesses

PLANNED_AT = datetime(2026, 1, 31, 2, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize("way", ["{outside}/secret", "{inside}/../outside/secret", "{inside}/link", "x\0y"])
def test_a_log_elsewhere_is_not_read(tmp_path: Path, way: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("canary\n")
    (outside / "secret.exit").write_text("0")
    (inside / "link").symlink_to(outside / "secret")
    (inside / "mine").write_text("words\n")
    (inside / "mine.exit").write_text("3")
    processes = GroupProcesses(("true",), inside)

    def ended(log: str) -> tuple[object, ...]:
        end = processes.ended(Run("backup", PLANNED_AT, "running", log=log))
        assert end is not None
        return (end.exit_code, end.words)

    assert ended(way.format(inside=inside, outside=outside)) == (None, "")
    assert ended(str(inside / "mine")) == (3, "words")
