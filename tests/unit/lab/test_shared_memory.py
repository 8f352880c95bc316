"""Segments of a killed PostgreSQL: only those that nobody uses and that its own file names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from samaops.lab import shared_memory

TABLE = """\
       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime
   1623510    557111   600                    56  5256  5300      0  1001  1001  1001  1001          1
   2302595    524296   600                    56  6000  6001      6   101   104   101   104          1
"""
POSTMASTER_PID = (
    "5256\n/lab/db/main\n1795217288\n5432\n/lab/run\n127.101.0.1\n  1623510    557111\nready   \n"
)


def test_what_nobody_has_attached_is_an_orphan_of_its_maker() -> None:
    assert shared_memory.orphans(TABLE) == {(5256, 557111): 1001}
    assert shared_memory.orphans("") == {}


@pytest.mark.parametrize(
    ("text", "segment"), [(POSTMASTER_PID, (5256, 557111)), ("5256\n/lab/db/main\n", None), ("", None)]
)
def test_a_cluster_names_its_segment(text: str, segment: tuple[int, int] | None) -> None:
    assert shared_memory.of_cluster(text) == segment


def test_only_the_named_segment_is_removed(tmp_path: Path) -> None:
    named, other = _segment(), _segment()
    try:
        pid = _maker(named)
        (tmp_path / "main").mkdir()
        (tmp_path / "main" / "postmaster.pid").write_text(f"{pid}\n\n\n\n\n\n 1 {named}\nready\n")
        shared_memory.release([tmp_path, tmp_path / "gone"])
        assert not _exists(named)
        assert _exists(other)
    finally:
        for segment in (named, other):
            subprocess.run(["ipcrm", "-m", str(segment)], check=False, capture_output=True)


def _segment() -> int:
    output = subprocess.run(["ipcmk", "-M", "64"], check=True, capture_output=True, text=True).stdout
    return int(output.split()[-1])


def _maker(segment: int) -> int:
    owners = shared_memory.orphans(shared_memory.SEGMENTS.read_text(encoding="ascii"))
    return next(pid for pid, number in owners if number == segment)


def _exists(segment: int) -> bool:
    owners = shared_memory.orphans(shared_memory.SEGMENTS.read_text(encoding="ascii"))
    return segment in {number for _pid, number in owners}
