"""The System V shared memory of a PostgreSQL that was killed: where no namespace ends with it, it stays for ever."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

SEGMENTS = Path("/proc/sysvipc/shm")
# Of postmaster.pid: the pid is on the first line, key and id of the segment are on the seventh.
SEGMENT_LINE = 6


def release(directories: Iterable[Path]) -> None:
    """Remove the segments of the database clusters below these directories whose processes have ended."""
    owners = orphans(SEGMENTS.read_text(encoding="ascii")) if SEGMENTS.exists() else {}
    for directory in directories:
        for file in directory.rglob("postmaster.pid"):
            segment = of_cluster(file.read_text(encoding="utf-8", errors="replace"))
            if segment is not None and segment in owners:
                _remove(segment[1], owners[segment])


def _remove(segment_id: int, owner: int) -> None:
    """Remove a segment as its owner: a root without CAP_SYS_ADMIN may not."""
    user = owner if os.geteuid() == 0 else None
    command = ["ipcrm", "-m", str(segment_id)]
    subprocess.run(command, check=False, capture_output=True, timeout=10, user=user)


def orphans(table: str) -> dict[tuple[int, int], int]:
    """Return (pid of the maker, id) of the segments that no process has attached, with their owners' uids."""
    rows = [line.split() for line in table.splitlines()]
    segments = [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]
    return {
        (int(row["cpid"]), int(row["shmid"])): int(row["uid"]) for row in segments if row["nattch"] == "0"
    }


def of_cluster(postmaster_pid: str) -> tuple[int, int] | None:
    """Return (pid, segment id) that a postmaster.pid file names; None when it was cut short."""
    lines = postmaster_pid.splitlines()
    try:
        return int(lines[0]), int(lines[SEGMENT_LINE].split()[1])
    except (IndexError, ValueError):
        return None
