"""A year of two machines with one ledger: crashes, hours without power, both nights on which Paris sets its clocks."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from samaops.config import cron
from samaops.facts.schedule import BEGUN, MISSED, NEVER_BEGUN, OPEN, Run
from samaops.workflows.schedule.scheduler import Scheduler
from tests.unit.schedule.simulation import (
    SimulatedProcesses,
    TestClock,
    jobs_of_the_guide,
    ledger_in,
    random_fate,
    scheduler,
)

BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
END = datetime(2027, 1, 1, tzinfo=timezone.utc)
JOBS = jobs_of_the_guide()


class Year:
    """Two machines, each with a scheduler that may be gone, and what happens to them."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = TestClock(BEGIN)
        self.processes = {
            host: SimulatedProcesses(self.clock, random_fate(self.chance)) for host in ("one", "two")
        }
        self.ledger = ledger_in(directory)
        self.schedulers: dict[str, Scheduler | None] = {}
        self._pid = 0
        self.outages: list[tuple[datetime, datetime]] = []
        for host in ("one", "two"):
            self.begin(host)

    def begin(self, host: str) -> None:
        self._pid += 1
        self.schedulers[host] = scheduler(
            self.ledger, self.clock, self.processes[host], JOBS, host, self._pid
        )

    def tick(self) -> None:
        for one in self.schedulers.values():
            if one is not None:
                one.tick()

    def live(self) -> None:
        """Go from one event to the next; some of them are accidents."""
        while self.clock.now() < END:
            self.tick()
            self.accident()
            self.clock.go_to(min(self._next_event(), END))
        self.clock.go_on(24 * 3600)
        self.settle()

    def _until(self, moment: datetime) -> None:
        while self.clock.now() < moment:
            self.tick()
            self.clock.go_to(min(self._next_event(), moment))

    def _next_event(self) -> datetime:
        now = self.clock.now()
        planned = [moment for job in JOBS if (moment := job.next_at(now))]
        ends = [end for each in self.processes.values() if (end := each.next_end())]
        return min([*planned, *ends, now + timedelta(hours=12)])

    def accident(self) -> None:
        drawn = self.chance.random()
        host = self.chance.choice(("one", "two"))
        if drawn < 0.01:  # a crash of a scheduler, its runs go on, and it is begun anew
            self.begin(host)
        elif drawn < 0.015:  # a machine loses its power for a while, the other one takes over
            self.schedulers[host] = None
            self.processes[host].machine_stops()
            self.clock.go_on(31)
            self.tick()
            self._until(self.clock.now() + timedelta(seconds=self.chance.choice((60, 900, 7200))))
            self.begin(host)
        elif drawn < 0.02:  # both do
            since = self.clock.now()
            for each in self.processes.values():
                each.machine_stops()
            self.clock.go_on(self.chance.choice((600, 10_000, 100_000, 300_000)))
            self.outages.append((since, self.clock.now()))
            for machine in ("one", "two"):
                self.begin(machine)

    def settle(self) -> None:
        for _step in range(3):
            self.tick()
            self.clock.go_on(700)

    def rows(self, job: str) -> list[Run]:
        return [run for run in self.ledger.between(BEGIN, END) if run.job == job]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    lived = Year(tmp_path_factory.mktemp("year"), seed=2026)
    lived.live()
    return lived


def test_of_a_year_of_accidents_the_ledger_tells_each_moment_once(year: Year) -> None:
    for job in JOBS:
        planned = list(takewhile(lambda moment: moment < END, cron.following(job.line, BEGIN, job.zone)))
        rows = year.rows(job.name)
        assert [row.planned_at for row in rows] == planned, job.name
        for row in rows:
            assert row.state not in OPEN
            assert row.state in BEGUN or row.reason, row
            assert (row.started_at is not None) or row.state in NEVER_BEGUN
    begun = sum((each.begun for each in year.processes.values()), start=type(year.processes["one"].begun)())
    assert begun
    assert max(begun.values()) == 1
    assert {row.state for job in JOBS for row in year.rows(job.name)} > {
        "ok",
        "failed",
        "missed",
        "interrupted",
    }
    assert year.outages


def test_a_dump_vacuum_and_reindex_never_run_beside_each_other(year: Year) -> None:
    heavy = sorted(
        (begins, ends)
        for host in year.processes.values()
        for job, begins, ends in host.times
        if job != "daily"
    )
    assert len(heavy) > 300
    # On a machine that lost its power nothing went on: those that are cut are not compared.
    cut = [since for since, _until in year.outages]
    for (begins, ends), (later, _ends) in pairwise(heavy):
        assert ends <= later or any(begins <= since for since in cut), (begins, ends, later)


def test_what_was_missed_says_from_when_to_when_no_scheduler_ran(year: Year) -> None:
    missed = [row for job in JOBS for row in year.rows(job.name) if row.state == MISSED]
    assert missed
    for row in missed:
        assert "no scheduler ran from" in row.reason, row
        assert any(
            since <= row.planned_at <= until + timedelta(seconds=40) for since, until in year.outages
        ), row
