"""The process of a run: samaops in a process group of its own, its output in a file, its exit code in another.

So a run outlives the scheduler that began it, and the next one can tell how it ended.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from samaops.config import files
from samaops.facts.schedule import Run
from samaops.journal.owner import process_start
from samaops.site.jobs import Job
from samaops.workflows.schedule import last_words

logger = logging.getLogger(__name__)
# The shell waits for its program when a signal comes, which the whole group gets, and writes down how that ended.
_KEEPER = """trap : TERM INT HUP
file=$1
shift
"$@"
code=$?
echo "$code" > "$file.part" && mv "$file.part" "$file"
exit "$code"
"""
KEPT_DAYS = 60
LARGEST_LOG_BYTES = 64 * 1024 * 1024
# Of its output its beginning and its end say how it ended.
_READ_BYTES = 8192


class Ended(Struct, frozen=True):
    """How a process ended: its exit code, None where nobody saw it; why, by what it wrote; when, where that was written down."""

    exit_code: int | None
    words: str = ""
    at: datetime | None = None


class Processes(Protocol):
    """What the scheduler asks of the processes of its runs."""

    def start(self, run: Run, job: Job) -> Run:
        """Start it; return the run with its process and its log. Raises OSError."""

    def ended(self, run: Run) -> Ended | None:
        """Return how it ended; None while it goes on."""

    def lives(self, run: Run) -> bool:
        """Return whether its process is one of this machine, and goes on."""

    def end(self, run: Run, *, at_once: bool = False) -> None:
        """Ask all of its process group to end, or end it at once."""

    def log_bytes(self, run: Run) -> int:
        """Return how much it has written."""


class GroupProcesses:
    """Processes of this machine. ``command`` calls samaops for the same site; the logs are below ``directory``."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._command = tuple(command)
        self._directory = directory
        self._started: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, run: Run, job: Job) -> Run:
        place = self._directory / job.name
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = place / f"{run.planned_at:%Y%m%dT%H%M%SZ}-{abs(run.number)}.log"
        gives_way = ("nice", "-n", str(job.nice)) if job.nice else ()
        words = (*gives_way, *self._command, *job.words)
        output = files.open_to_append(log, 0o600)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "samaops-run", str(_exit_file(log)), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(output)
        self._started[process.pid] = process
        return replace(run, pid=process.pid, process_start=process_start(process.pid), log=str(log))

    def ended(self, run: Run) -> Ended | None:
        process = self._started.get(run.pid)
        if process is not None:
            # Not waited for yet: its number is still its own, also when only children are left in its group.
            if not self.ended_yet(run):
                return None
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(run.pid, signal.SIGKILL)
            del self._started[run.pid]
            return Ended(process.wait(), _last_words(run.log))
        if self.lives(run):
            return None
        log = run.log if self._is_ours(run.log) else ""
        return Ended(_exit_code(log), _last_words(log), _exit_time(log))

    def _is_ours(self, log: str) -> bool:
        """Return whether a log is one of a run here: who may write the ledger could name any file, to have it told."""
        try:
            return bool(log) and Path(os.path.realpath(log)).is_relative_to(os.path.realpath(self._directory))
        except ValueError:  # a zero byte
            return False

    def lives(self, run: Run) -> bool:
        is_known = run.pid > 0 and bool(run.process_start)
        return is_known and process_start(run.pid) == run.process_start and not _is_zombie(run.pid)

    def end(self, run: Run, *, at_once: bool = False) -> None:
        if run.pid > 0 and self.lives(run):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(run.pid, signal.SIGKILL if at_once else signal.SIGTERM)

    def log_bytes(self, run: Run) -> int:
        try:
            return Path(run.log).stat().st_size if run.log else 0
        except OSError:
            return 0

    def wait(self, run: Run, seconds: float) -> None:
        """Wait until a process of ours ended, at most so long."""
        ends_at = time.monotonic() + seconds
        while not self.ended_yet(run) and time.monotonic() < ends_at:
            time.sleep(min(0.05, max(0.0, ends_at - time.monotonic())))

    def ended_yet(self, run: Run) -> bool:
        """Return whether a process of ours has ended; what it left is not looked at."""
        return os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def prune(self, now: datetime) -> None:
        """Remove logs that are too old."""
        oldest = (now - timedelta(days=KEPT_DAYS)).timestamp()
        for log in self._directory.glob("*/*.log*"):
            try:
                if log.stat().st_mtime < oldest:
                    log.unlink()
            except OSError as error:
                logger.info("%s was not removed: %s", log, error)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended and waits for whoever began it to ask how."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


def _exit_file(log: Path) -> Path:
    return log.with_name(log.name + ".exit")


def _exit_code(log: str) -> int | None:
    try:
        return int(files.read(_exit_file(Path(log)), 100)) if log else None
    except (OSError, ValueError):
        return None


def _exit_time(log: str) -> datetime | None:
    """Return when a run ended that nobody waited for: when its exit code was written down."""
    try:
        return datetime.fromtimestamp(_exit_file(Path(log)).stat().st_mtime, timezone.utc) if log else None
    except OSError:
        return None


def _last_words(log: str) -> str:
    """Return why a run ended so, by its beginning and its end; "" where nothing can be read."""
    if not log:
        return ""
    try:
        with Path(log).open("rb") as file:
            first, size = file.read(_READ_BYTES), file.seek(0, os.SEEK_END)
            file.seek(max(len(first), size - _READ_BYTES))
            last = file.read(_READ_BYTES)
    except OSError:
        return ""
    return last_words.why((first + last).decode("utf-8", "replace"))
