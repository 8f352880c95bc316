"""Who makes a change: a person, on a machine, in a process that can be told from a later one of the same number."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import socket
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from msgspec import Struct

# Of what a lock says: a host's name has at most 253 characters; Linux counts processes up to 2^22.
_LONGEST_WORD, _HIGHEST_PID = 255, 2**31


class Owner(Struct, frozen=True):
    """One process. ``process_start`` is its start in clock ticks since boot, with the boot's id before it."""

    user: str
    host: str
    pid: int
    process_start: str
    since: str  # when it took the lock, or began the change: ISO 8601

    def is_same_process(self, other: Owner) -> bool:
        """Return whether both are one process of one machine."""
        return (self.host, self.pid, self.process_start) == (other.host, other.pid, other.process_start)

    def lives_here(self) -> bool:
        """Return whether it is still a process of this machine; who does not say when it started is believed."""
        return self.process_start in ("", process_start(self.pid))


def this_process(since: str) -> Owner:
    """Return who we are."""
    return Owner(_user(), socket.gethostname(), os.getpid(), process_start(os.getpid()), since)


def read_owner(text: str) -> Owner | None:
    """Return the owner that a lock names; None when what stands there names nobody: anybody may write into it."""
    try:
        words = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, dict) or words.keys() != Owner.__annotations__.keys():
        return None
    pid = words.pop("pid")
    if type(pid) is not int or abs(pid) > _HIGHEST_PID or not all(_is_word(word) for word in words.values()):
        return None
    return Owner(pid=pid, **words)


def holder_of(file: int, kind: str = "FLOCK") -> Owner | None:
    """Return who holds the lock on an open file, as the kernel lists it; None when he cannot be seen from here.

    ``kind`` is the kernel's word: FLOCK, or POSIX, as SQLite locks.
    """
    seen = os.fstat(file)
    place = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if kind in fields[1:2] and fields[5:6] == [place]:
                # A lock of the kind POSIX ends with its process: who has the file open besides does not hold it.
                holder = _process(int(fields[4]))
                return _who_has_open(seen) if holder is None and kind == "FLOCK" else holder
    return None


def _who_has_open(seen: os.stat_result) -> Owner | None:
    """Return whose process has a file open: who locked it may have ended, and left it to its child."""
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # ended meanwhile, or not ours to see
            if int(path.parts[2]) != os.getpid() and os.path.samestat(path.stat(), seen):
                return _process(int(path.parts[2]))
    return None


def _process(pid: int) -> Owner | None:
    """Return a process of this machine, ``since`` when it runs; None when there is none, or not in our namespace."""
    start = process_start(pid)
    if pid <= 0 or not start:
        return None
    try:
        number = Path(f"/proc/{pid}").stat().st_uid
        ticks = int(start.rpartition("/")[2]) / os.sysconf("SC_CLK_TCK")
        begun = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks
    except (OSError, ValueError):
        return None
    since = datetime.fromtimestamp(begun, timezone.utc).isoformat(timespec="seconds")
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    return Owner(user, socket.gethostname(), pid, start, since)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_WORD


def process_start(pid: int) -> str:
    """Return when a process of this machine started, so that its number may be used again; "" when unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The name stands in brackets and may hold anything; the start is the 20th field after it.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return f"{boot}/{fields[19].decode('ascii')}"
    except (OSError, IndexError):
        return ""


def _user() -> str:
    """Return who asked: behind sudo, the person and not root."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # no such user: a container with a bare number
        return str(os.getuid())
