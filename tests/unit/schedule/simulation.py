"""A clock, a machine and processes of the tests, so that a scheduler lives through a year in seconds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from samaops.facts.schedule import Run
from samaops.journal.history import Journal
from samaops.journal.ledger import Ledger
from samaops.journal.owner import Owner
from samaops.site.jobs import Job
from samaops.workflows.schedule.book import Book
from samaops.workflows.schedule.processes import Ended
from samaops.workflows.schedule.scheduler import Scheduler

HOUR = 3600.0
PARIS, DAKAR = ZoneInfo("Europe/Paris"), ZoneInfo("Africa/Dakar")


def jobs_of_the_guide(zone: ZoneInfo = PARIS) -> tuple[Job, ...]:
    """Return the guide's four jobs, the backup in the hour that Paris skips and repeats."""
    return (
        Job("backup", "30 2 * * *", ("backup", "create"), zone, catches_up=True, grace_seconds=12 * HOUR,
            beside_none_of=("weekly", "monthly")),
        Job("daily", "0 6 * * *", ("maintain", "daily"), zone, catches_up=True, grace_seconds=6 * HOUR),
        Job("weekly", "0 3 * * 0", ("maintain", "weekly"), zone, beside_none_of=("backup", "monthly")),
        Job("monthly", "0 4 1 * *", ("maintain", "monthly"), zone, beside_none_of=("backup", "weekly")),
    )  # fmt: skip


class TestClock:
    """The time that a test says it is; what passed goes on when the clock is set."""

    __test__ = False

    def __init__(self, now: datetime) -> None:
        self._now, self._passed = now, 1000.0

    def now(self) -> datetime:
        return self._now

    def passed(self) -> float:
        return self._passed

    def go_to(self, moment: datetime) -> None:
        """Let time pass until then."""
        self._passed += max(0.0, (moment - self._now).total_seconds())
        self._now = max(moment, self._now)

    def go_on(self, seconds: float) -> None:
        self.go_to(self._now + timedelta(seconds=seconds))

    def set_by(self, seconds: float) -> None:
        """Set the clock: no time passes."""
        self._now += timedelta(seconds=seconds)


class SimulatedProcesses:
    """The processes of all machines of a test: each takes as long, and ends, as ``fate`` has it for its run."""

    def __init__(self, clock: TestClock, fate: Callable[[Run], tuple[float, int]]) -> None:
        self._clock = clock
        self._fate = fate
        self._ends: dict[int, tuple[datetime, int]] = {}
        self._lost: set[int] = set()
        self._next = 100
        self.begun: Counter[tuple[str, datetime]] = Counter()
        self.times: list[tuple[str, datetime, datetime]] = []

    def start(self, run: Run, job: Job) -> Run:
        seconds, code = self._fate(run)
        self._next += 1
        begins = self._clock.now()
        ends = begins + timedelta(seconds=seconds)
        self.begun[(run.job, run.planned_at)] += 1
        self.times.append((run.job, begins, ends))
        self._ends[self._next] = (ends, code)
        return replace(run, pid=self._next, process_start=f"start {self._next}", log="log")

    def ended(self, run: Run) -> Ended | None:
        if run.pid in self._lost or run.pid not in self._ends:
            return Ended(None)
        ends, code = self._ends[run.pid]
        return Ended(code, "said so") if ends <= self._clock.now() else None

    def lives(self, run: Run) -> bool:
        return run.pid in self._ends and self.ended(run) is None

    def end(self, run: Run, *, at_once: bool = False) -> None:
        ends, _code = self._ends[run.pid]
        if ends > self._clock.now():
            self._ends[run.pid] = (self._clock.now(), 143)

    def log_bytes(self, run: Run) -> int:
        return 0

    def machine_stops(self) -> None:
        """End all that goes on, without a trace."""
        for pid, (ends, _code) in self._ends.items():
            if ends > self._clock.now():
                self._lost.add(pid)

    def next_end(self) -> datetime | None:
        going = [
            ends
            for pid, (ends, _c) in self._ends.items()
            if ends > self._clock.now() and pid not in self._lost
        ]
        return min(going, default=None)


def ledger_in(directory: Path) -> Ledger:
    return Ledger(Journal(f"sqlite:///{directory}/history.sqlite3", "site"), "site")


def scheduler(
    ledger: Ledger, clock: TestClock, processes: SimulatedProcesses, jobs: Sequence[Job], host: str = "one",
    pid: int = 1,
) -> Scheduler:  # fmt: skip
    owner = Owner("ops", host, pid, f"boot/{pid}", "")
    return Scheduler(jobs, Book(ledger), processes, clock, owner)


def steady(seconds: float = 600.0, code: int = 0) -> Callable[[Run], tuple[float, int]]:
    return lambda _run: (seconds, code)


def random_fate(generator: random.Random) -> Callable[[Run], tuple[float, int]]:
    """Return runs of some minutes, some that take hours, some that fail."""

    def fate(_run: Run) -> tuple[float, int]:
        seconds = generator.choice((60.0, 300.0, 1200.0, 5400.0, 9000.0))
        return seconds, generator.choice((0, 0, 0, 0, 1, 2, 75))

    return fate
