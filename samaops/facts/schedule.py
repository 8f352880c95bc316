"""What runs by itself: the runs of each job as the ledger has them, who leads, and what is paused. Moments are in UTC."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.observation import Moment

# A run that has not ended.
WAITING, RUNNING = "waiting", "running"
# How a run ends that was begun.
OK, WARNING, FAILED = "ok", "warning", "failed"
TIMED_OUT, KILLED, INTERRUPTED = "timed_out", "killed", "interrupted"
# A run that was never begun.
MISSED, SKIPPED, OVERLAPPED = "missed", "skipped", "overlapped"
OPEN = (WAITING, RUNNING)
DONE = (OK, WARNING)
BEGUN = (*DONE, FAILED, TIMED_OUT, KILLED, INTERRUPTED)
NEVER_BEGUN = (MISSED, SKIPPED, OVERLAPPED)
STATES = (*OPEN, *BEGUN, *NEVER_BEGUN)
# What only watches goes on while all is paused: that is the time of which a report is asked.
WATCHING = ("sample",)
# Why a run is begun.
PLANNED, CAUGHT_UP, BY_HAND = "planned", "caught_up", "by_hand"
# By which files are asked for, one by its path: ``selection.of(FILES, path)``.
FILES = "schedule.files"
# What is paused: it is read also where no scheduler ever ran, since a job may be paused before its first run.
PAUSES = "schedule.pauses"
# A scheduler that has not renewed its lease for so long leads no more.
LEASE_SECONDS = 24.0


class Run(Struct, frozen=True):
    """A row of the ledger. A row that stands for several moments (all missed, or of a run that stays) has their ``count`` and the
    last of them as ``until``.

    ``process_start`` tells its process from a later one of the same number; ``epoch`` is that of the leader who began it, 0
    for one that was begun by hand. ``log`` is where its output is, on ``host``.
    """

    job: str
    planned_at: Moment
    state: str
    number: int = 0
    trigger: str = PLANNED
    started_at: Moment | None = None
    ended_at: Moment | None = None
    reason: str = ""
    exit_code: int | None = None
    log: str = ""
    host: str = ""
    pid: int = 0
    process_start: str = ""
    epoch: int = 0
    count: int = 1
    until: Moment | None = None

    @property
    def last_planned_at(self) -> Moment:
        """The last of the moments that it stands for."""
        return self.until or self.planned_at

    @property
    def is_well(self) -> bool:
        """Whether it went well, or goes on and has stood for more than its first moment."""
        return self.state in DONE or (self.state == RUNNING and self.count > 1)

    @property
    def seconds(self) -> float | None:
        """How long it took; None for one that has not begun, or not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


class Leader(Struct, frozen=True):
    """Who leads, or led last: one process of one machine. ``until`` is the end of its lease, ``epoch`` counts the leaders."""

    host: str
    pid: int
    process_start: str
    user: str
    since: Moment
    until: Moment
    epoch: int
    timezone: str = ""


class Pause(Struct, frozen=True):
    """Why a job (``all``: every one) is not begun, until when, and who said so."""

    job: str
    until: Moment
    reason: str
    by: str
    at: Moment


class JobFacts(Struct, frozen=True):
    """A job of the configuration and its last runs, newest first; ``interval_seconds`` lies between two of its runs."""

    name: str
    line: str
    next_at: Moment | None
    interval_seconds: float
    runs: tuple[Run, ...] = ()
    known_since: Moment | None = None


class ScheduleFacts(Struct, frozen=True):
    """What the ledger of this site shows. ``leader`` is None where no scheduler ever ran."""

    taken_at: Moment
    leader: Leader | None
    jobs: tuple[JobFacts, ...] = ()
    pauses: tuple[Pause, ...] = ()


class FoundFile(Struct, frozen=True):
    """A file of this machine: what it holds, None where it is not there, and why it could not be read."""

    path: str
    content: str | None = None
    problem: str = ""


class FilesFacts(Struct, frozen=True):
    """The files that were asked for by their path, and all of the ``directories`` that were."""

    files: tuple[FoundFile, ...] = ()
    directories: tuple[str, ...] = ()

    def at(self, path: str) -> FoundFile | None:
        """Return one file; None where it was not looked at."""
        found = next((file for file in self.files if file.path == path), None)
        is_absent = found is None and path.rpartition("/")[0] in self.directories
        return FoundFile(path) if is_absent else found

    def within(self, directory: str) -> tuple[FoundFile, ...]:
        """Return those of a directory."""
        start = directory.rstrip("/") + "/"
        return tuple(file for file in self.files if file.path.startswith(start))
