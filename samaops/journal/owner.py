"""Who makes a change: a person, on a machine, in a process that can be told from a later one of the same number."""

from __future__ import annotations

import getpass
import json
import os
import socket
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
