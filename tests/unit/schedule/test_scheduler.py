"""What the scheduler begins and what it leaves out, with the reason; who leads; clocks that are set; a ledger that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.config import cron
from samaops.config.schedule_settings import Blackout
from samaops.facts.schedule import BY_HAND, OK, RUNNING, Pause, Run
from samaops.journal.database import HistoryError
from samaops.journal.ledger import Ledger
from samaops.journal.owner import Owner
from samaops.site.jobs import Job
from samaops.workflows.schedule.book import Book
from samaops.workflows.schedule.foreground import LOOK_SECONDS, CronTrigger
from samaops.workflows.schedule.scheduler import Scheduler
from tests.unit.schedule.simulation import (
    DAKAR,
    HOUR,
    PARIS,
    SimulatedProcesses,
    TestClock,
    jobs_of_the_guide,
    ledger_in,
    scheduler,
    steady,
)

NOW = datetime(2026, 6, 1, 5, 59, 30, tzinfo=timezone.utc)
SIX = datetime(2026, 6, 1, 6, tzinfo=timezone.utc)
HOURLY = Job("daily", "0 * * * *", ("maintain", "daily"), DAKAR, limit_seconds=48 * HOUR)


class World:
    """One machine, its ledger and its scheduler; more may be begun."""

    def __init__(self, directory: Path, jobs: Sequence[Job], seconds: float = 600.0, code: int = 0) -> None:
        self.clock = TestClock(NOW)
        self.jobs = tuple(jobs)
        self.processes = SimulatedProcesses(self.clock, steady(seconds, code))
        self.ledger = ledger_in(directory)
        self.scheduler = self.another()
        self.scheduler.tick()

    def another(self, host: str = "one", pid: int = 1) -> Scheduler:
        return scheduler(self.ledger, self.clock, self.processes, self.jobs, host, pid)

    def until(self, moment: datetime, step: float = 60.0) -> None:
        while self.clock.now() < moment:
            self.clock.go_on(min(step, (moment - self.clock.now()).total_seconds()))
            self.scheduler.tick()

    def rows(self, job: str = "daily") -> list[Run]:
        return sorted(self.ledger.last(job, 100), key=lambda run: run.planned_at)

    def states(self, job: str = "daily") -> list[str]:
        return [run.state for run in self.rows(job)]


def test_a_run_has_its_row_before_it_begins_and_its_end_after(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    world.until(SIX)
    (run,) = world.rows()
    assert (run.state, run.planned_at, run.pid, run.epoch) == (RUNNING, SIX, 101, 1)
    world.until(SIX + timedelta(minutes=11))
    (run,) = world.rows()
    assert (run.state, run.exit_code, run.seconds) == (OK, 0, 600.0)


def test_a_process_that_cannot_be_begun_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, [HOURLY])

    def fail(_run: Run, _job: Job) -> Run:
        assert world.states() == [RUNNING], "the row is there before the run"
        raise OSError("no memory")

    monkeypatch.setattr(world.processes, "start", fail)
    world.until(SIX)
    (run,) = world.rows()
    assert (run.state, run.reason) == ("failed", "no memory")


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        ("forbid", ["running", "overlapped", "overlapped"]),
        ("queue", ["running", "waiting", "overlapped"]),
        ("replace", ["killed", "killed", "running"]),
    ],
)
def test_a_run_whose_predecessor_goes_on(tmp_path: Path, overlap: str, states: list[str]) -> None:
    world = World(tmp_path, [replace(HOURLY, overlap=overlap)], seconds=10 * HOUR)
    world.until(SIX + timedelta(hours=2, minutes=5))
    assert world.states() == states
    first, second, third = world.rows()
    if overlap == "forbid":
        assert f"process {first.pid} on one" in second.reason
    if overlap == "queue":
        world.until(SIX + timedelta(hours=10, minutes=5))
        assert world.rows()[1].state == "skipped", "it waited for longer than six hours"
        assert "still went on after 6.0 h" in world.rows()[1].reason
    if overlap == "replace":
        assert "replaced by the run of 2026-06-01 07:00 UTC" in first.reason
        assert third.started_at is not None
    assert (
        len(world.processes.begun) == {"forbid": 1, "queue": 1, "replace": 3}[overlap] or overlap == "queue"
    )


def test_what_is_paused_is_left_out_with_who_said_so(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    until = SIX + timedelta(hours=1, minutes=30)
    world.ledger.pause(Pause("daily", until, "a migration", "awa", NOW))
    world.until(SIX + timedelta(hours=2, minutes=1))
    assert world.states() == ["skipped", "skipped", "running"]
    assert world.rows()[0].reason == "paused by awa until 2026-06-01 07:30 UTC: a migration"


def test_nothing_begins_in_a_blackout_or_outside_a_window(tmp_path: Path) -> None:
    dark = Blackout(begins="2026-06-01 05:00", ends="2026-06-01 06:30", reason="the audit")
    window = cron.window("06:30-07:30")
    world = World(tmp_path, [replace(HOURLY, blackouts=(dark,), window=window)])
    world.until(SIX + timedelta(hours=2, minutes=1))
    assert world.states() == ["skipped", "ok", "skipped"]
    reasons = [run.reason for run in world.rows()]
    assert reasons[0] == "blackout until 2026-06-01 06:30: the audit"
    assert reasons[2] == "outside its window 06:30-07:30"


def test_what_was_missed_is_caught_up_once_within_its_grace(tmp_path: Path) -> None:
    job = replace(HOURLY, catches_up=True, grace_seconds=2 * HOUR)
    world = World(tmp_path, [job])
    world.clock.go_to(SIX + timedelta(hours=3, minutes=30))
    world.scheduler = world.another(pid=2)
    world.scheduler.tick()
    assert world.states() == ["missed", "missed", "missed", "running"]
    assert world.rows()[3].trigger == "caught_up"
    assert world.rows()[0].reason.startswith(
        "no scheduler ran from 2026-06-01 05:59 UTC to 2026-06-01 09:30 UTC"
    )


def test_what_was_missed_for_longer_is_not_caught_up(tmp_path: Path) -> None:
    daily = replace(HOURLY, line="0 6 * * *", catches_up=True, grace_seconds=2 * HOUR)
    world = World(tmp_path, [daily])
    world.clock.go_to(SIX + timedelta(hours=3))
    world.scheduler = world.another(pid=2)
    world.scheduler.tick()
    assert world.states() == ["missed"]


def test_a_job_that_never_ran_is_caught_up_from_when_it_was_first_known(tmp_path: Path) -> None:
    weekly = Job(
        "weekly", "0 3 * * 0", ("maintain", "weekly"), DAKAR, catches_up=True, grace_seconds=100 * HOUR
    )
    world = World(tmp_path, [weekly])
    sunday = datetime(2026, 6, 7, 3, tzinfo=timezone.utc)
    world.clock.go_to(sunday + timedelta(hours=5))
    world.scheduler = world.another(pid=2)
    world.scheduler.tick()
    (run,) = world.rows("weekly")
    assert (run.planned_at, run.state) == (sunday, "running")


def test_many_missed_moments_have_one_row_that_counts_them(tmp_path: Path) -> None:
    minutely = replace(HOURLY, line="* * * * *")
    world = World(tmp_path, [minutely])
    world.clock.go_to(SIX + timedelta(days=3))
    world.scheduler = world.another(pid=2)
    world.scheduler.tick()
    missed = [run for run in world.rows() if run.state == "missed"]
    assert [run.count for run in missed] == [3 * 24 * 60 - 1]
    assert missed[0].until == SIX + timedelta(days=3) - timedelta(minutes=2)


def test_a_clock_that_is_set_forward_makes_no_burst(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    world.clock.set_by(2 * HOUR)
    world.scheduler.tick()
    assert world.states() == ["missed", "missed"]
    assert "the clock was set forward by 2.0 h" in world.rows()[0].reason
    assert not world.processes.begun


def test_a_clock_that_is_set_back_runs_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    world.until(SIX + timedelta(hours=1, minutes=30))
    world.clock.set_by(-2 * HOUR)
    world.until(SIX + timedelta(hours=3, minutes=1))
    assert max(world.processes.begun.values()) == 1
    assert [run.planned_at for run in world.rows()] == [SIX + timedelta(hours=hour) for hour in range(4)]


def test_of_two_machines_one_begins_each_run(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    other = world.another("two", 9)
    for _minute in range(60 * 6):
        world.clock.go_on(60)
        world.scheduler.tick()
        other.tick()
    assert (world.scheduler.leads, other.leads) == (True, False)
    assert max(world.processes.begun.values()) == 1
    assert set(world.states()) == {"ok"}


def test_another_takes_over_within_half_a_minute_and_who_was_frozen_does_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    other = world.another("two", 9)
    other.tick()
    world.until(SIX - timedelta(seconds=10), 10)
    world.clock.go_to(SIX + timedelta(seconds=21))
    other.tick()
    assert other.leads
    assert [(run.host, run.epoch) for run in world.rows()] == [("two", 2)]
    begun = dict(world.processes.begun)
    world.scheduler.tick()
    assert not world.scheduler.leads
    assert dict(world.processes.begun) == begun


@pytest.mark.parametrize("killed_after", [0.1, 9.9])
@pytest.mark.parametrize("looks_after", [0.5, 3.0, 4.9])
def test_of_two_that_look_every_few_seconds_the_other_one_leads_within_half_a_minute(
    tmp_path: Path, killed_after: float, looks_after: float
) -> None:
    world = World(tmp_path, [HOURLY])
    other = world.another("two", 9)
    world.until(NOW + timedelta(seconds=10 + killed_after), LOOK_SECONDS)
    killed, took = world.clock.passed(), 0.0
    world.clock.go_on(looks_after)
    while not other.leads:
        other.tick()
        took = world.clock.passed() - killed
        world.clock.go_on(LOOK_SECONDS)
    assert took <= 30.0


def test_what_a_killed_leader_began_is_closed_by_its_machine_though_another_one_leads(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY], seconds=90 * 60.0)
    world.until(SIX)
    world.scheduler = world.another("two", 2)  # that of one was killed; its run goes on
    world.until(SIX + timedelta(minutes=2))
    back = world.another("one", 3)
    back.tick()
    assert not back.leads
    world.until(SIX + timedelta(hours=1))
    assert world.states() == [RUNNING, "overlapped"], "two knows that it goes on"
    world.until(SIX + timedelta(hours=1, minutes=31))
    assert world.states() == [RUNNING, "overlapped"], "two cannot see its end"
    back.tick()
    (ended, _left_out) = world.rows()
    assert (ended.state, ended.exit_code, ended.host) == (OK, 0, "one")
    world.until(SIX + timedelta(hours=2))
    assert world.states() == [OK, "overlapped", RUNNING]


def test_the_limit_of_a_run_holds_though_its_scheduler_leads_no_more(tmp_path: Path) -> None:
    world = World(tmp_path, [replace(HOURLY, limit_seconds=1800.0)], seconds=10 * HOUR)
    world.until(SIX)
    world.scheduler = world.another("two", 2)
    world.until(SIX + timedelta(minutes=10))
    back = world.another("one", 3)
    for minute in range(11, 33):
        world.until(SIX + timedelta(minutes=minute))
        back.tick()
    assert world.states() == ["timed_out"]


def test_a_frozen_leader_that_has_not_looked_at_its_lease_yet_writes_no_row(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    old = world.ledger.leader()
    assert old is not None
    world.clock.go_on(31)
    assert world.ledger.lead(Owner("ops", "two", 9, "boot/9", ""), world.clock.now()) is not None
    claim = world.ledger.claim(Run("daily", SIX, RUNNING, host="one", epoch=old.epoch))
    assert (claim.run, claim.has_lost_lead) == (None, True)
    assert world.rows() == []


class Broken:
    """A ledger whose database is gone while it ``is_gone``."""

    def __init__(self, ledger: Ledger, *, is_shared: bool = False) -> None:
        self._ledger = ledger
        self.is_gone = False
        self.is_shared = is_shared

    def __getattr__(self, name: str) -> Any:
        if self.is_gone:
            raise HistoryError("the disk is full")
        return getattr(self._ledger, name)


def broken_world(directory: Path, *, is_shared: bool = False) -> tuple[World, Broken, list[str]]:
    world, told = World(directory / "first", [HOURLY]), list[str]()
    ledger = Broken(world.ledger, is_shared=is_shared)
    book: Any = Book(ledger, directory / "unwritten.json", told.append)  # type: ignore[arg-type]
    owner = Owner("ops", "one", 1, "boot/1", "")
    world.scheduler = Scheduler([HOURLY], book, world.processes, world.clock, owner, told.append)
    world.scheduler.tick()
    return world, ledger, told


def test_jobs_run_though_the_ledger_cannot_be_written_and_their_rows_follow(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    world, ledger, told = broken_world(tmp_path)
    ledger.is_gone = True
    world.until(SIX + timedelta(hours=1, minutes=30))
    assert sorted(world.processes.begun.values()) == [1, 1]
    assert sum("the disk is full" in text for text in told) == 2, "told once by each, not at every look"
    assert world.rows() == []
    assert "daily" in (tmp_path / "unwritten.json").read_text()
    ledger.is_gone = False
    world.until(SIX + timedelta(hours=2, minutes=30))
    assert world.states() == ["ok", "ok", "ok"]
    assert [run.seconds for run in world.rows()] == [600.0] * 3
    assert max(world.processes.begun.values()) == 1


def test_rows_that_were_not_written_outlive_the_scheduler(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    world, ledger, told = broken_world(tmp_path)
    ledger.is_gone = True
    world.until(SIX + timedelta(minutes=30))
    ledger.is_gone = False
    book: Any = Book(world.ledger, tmp_path / "unwritten.json", told.append)
    owner = Owner("ops", "one", 2, "boot/2", "")
    world.scheduler = Scheduler([HOURLY], book, world.processes, world.clock, owner, told.append)
    world.until(SIX + timedelta(minutes=40))
    assert world.states() == ["ok"]
    assert max(world.processes.begun.values()) == 1


def test_who_may_have_lost_a_shared_lease_begins_nothing_while_it_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    world, ledger, _told = broken_world(tmp_path, is_shared=True)
    ledger.is_gone = True
    world.clock.go_on(40)
    world.scheduler.tick()
    assert not world.processes.begun, "it was frozen past its lease"


@pytest.mark.parametrize("is_killed", [False, True])
def test_who_led_while_the_ledger_was_gone_leads_on_when_it_is_back(tmp_path: Path, is_killed: bool) -> None:
    """What it has begun meanwhile has no row yet: another one would begin it again."""
    (tmp_path / "first").mkdir()
    world, ledger, _told = broken_world(tmp_path, is_shared=True)
    book: Any = Book(ledger, tmp_path / "two.json")  # type: ignore[arg-type]
    other = Scheduler([HOURLY], book, world.processes, world.clock, Owner("ops", "two", 2, "boot/2", ""))

    def both(moment: datetime) -> None:
        while world.clock.now() < moment:
            world.clock.go_on(LOOK_SECONDS)
            other.tick()  # it comes first whenever it can
            if not is_killed or not ledger.is_gone:
                world.scheduler.tick()

    both(NOW + timedelta(seconds=15))
    ledger.is_gone = True
    both(SIX + timedelta(minutes=12))
    ledger.is_gone = False
    if is_killed:
        world.scheduler = world.another("one", 5)
        for _look in range(7):
            world.clock.go_on(LOOK_SECONDS)
            other.tick()
        assert other.leads, "nobody else did within the time of a lease"
        return
    both(SIX + timedelta(minutes=14))
    assert (world.scheduler.leads, other.leads) == (True, False)
    assert world.processes.begun == {("daily", SIX): 1}
    assert world.states() == ["ok"]


def test_a_run_begun_by_hand_keeps_the_planned_one_out(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY])
    claimed = world.ledger.claim(Run("daily", NOW, RUNNING, trigger=BY_HAND, started_at=NOW, host="one")).run
    assert claimed is not None
    by_hand = world.processes.start(claimed, HOURLY)
    world.ledger.update(by_hand)
    world.until(SIX)
    assert world.states() == ["running", "overlapped"]


def test_vacuum_waits_for_the_dump_and_reindex_for_both(tmp_path: Path) -> None:
    jobs = tuple(replace(job, line="0 6 * * *", limit_seconds=10 * HOUR) for job in jobs_of_the_guide(DAKAR))
    world = World(tmp_path, jobs, seconds=HOUR)
    world.until(SIX + timedelta(minutes=30))
    assert [world.states(name) for name in ("backup", "daily", "weekly", "monthly")] == [
        ["running"], ["running"], ["waiting"], ["waiting"],
    ]  # fmt: skip
    assert world.rows("monthly")[0].reason == "backup still went on"
    world.until(SIX + timedelta(hours=3, minutes=10))
    begun = [(job, begins - SIX) for job, begins, _ends in world.processes.times if job != "daily"]
    assert [job for job, _after in begun] == ["backup", "weekly", "monthly"]
    assert [round(after.total_seconds() / HOUR) for _job, after in begun] == [0, 1, 2]
    assert world.rows("weekly")[0].reason == "begun 61 min late: backup still went on"


def test_who_is_left_out_for_one_that_waits_is_told_so(tmp_path: Path) -> None:
    backup = replace(jobs_of_the_guide(DAKAR)[0], line="0 6 * * *", limit_seconds=10 * HOUR)
    world = World(tmp_path, [backup, replace(HOURLY, beside_none_of=("backup",))], seconds=3 * HOUR)
    world.until(SIX + timedelta(hours=1, minutes=1))
    assert world.states() == ["waiting", "overlapped"]
    assert world.rows()[1].reason == "the run of 2026-06-01 06:00 UTC has not begun yet: backup still went on"


def test_a_scheduler_that_stops_ends_its_runs_and_gives_the_lead_back(tmp_path: Path) -> None:
    world = World(tmp_path, [HOURLY], seconds=10 * HOUR)
    world.until(SIX)
    world.scheduler.stop(world.clock.go_on)
    (run,) = world.rows()
    assert (run.state, run.reason) == ("interrupted", "the scheduler was stopped")
    other = world.another("two", 9)
    other.tick()
    assert other.leads, "at once"


def test_the_limit_of_a_run_is_twice_what_the_slow_ones_took() -> None:
    job = replace(HOURLY, limit_seconds=None, first_limit_seconds=HOUR)
    run = Run("daily", SIX, OK, started_at=SIX, ended_at=SIX + timedelta(minutes=20))
    assert job.limit([run, run]) == HOUR
    assert job.limit([run] * 30) == pytest.approx(2400.0)
    quick = replace(run, ended_at=SIX + timedelta(seconds=2))
    assert job.limit([quick] * 30) == 600.0
    assert replace(job, limit_seconds=7.0).limit([run] * 30) == 7.0


# As Debian's cron has it (man cron): what a clock skips runs when it has gone on, what comes twice runs once.
@pytest.mark.parametrize(
    ("line", "day", "expected"),
    [
        ("30 2 * * *", "2026-03-29", ["01:00"]),
        ("30 2 * * *", "2026-10-25", ["00:30"]),
        ("0 3 * * 0", "2026-03-29", ["01:00"]),
        ("0 3 * * 0", "2026-10-25", ["02:00"]),
        ("0 2 * * *", "2026-10-25", ["00:00"]),
        ("0 6 * * *", "2026-03-29", ["04:00"]),
        ("0 3 * * 7", "2026-06-07", ["01:00"]),
        ("0 3 * * 0", "2026-06-08", []),
        ("0 0 13 * 5", "2026-06-13", ["22:00-1"]),
        ("0 0 13 * 5", "2026-06-12", ["22:00-1"]),
    ],
)
def test_the_moments_of_cron_in_paris(line: str, day: str, expected: list[str]) -> None:
    begin = datetime.fromisoformat(day).replace(tzinfo=PARIS)
    end = begin + timedelta(days=1)
    moments = list(
        takewhile(lambda each: each < end, cron.following(line, begin - timedelta(seconds=1), PARIS))
    )
    said = [f"{each:%H:%M}" + ("-1" if f"{each:%Y-%m-%d}" < day else "") for each in moments]
    assert said == expected


def test_apscheduler_wakes_us_when_cron_would_and_not_on_monday() -> None:
    trigger = CronTrigger(Job("weekly", "0 3 * * 0", ("x",), DAKAR, jitter_seconds=30.0))
    first = trigger.get_next_fire_time(None, NOW)
    assert first == datetime(2026, 6, 7, 3, 0, 30, tzinfo=timezone.utc)
    assert first is not None
    assert first.strftime("%A") == "Sunday"
    assert trigger.get_next_fire_time(first, first) == first + timedelta(days=7)


WATCH = Job(
    "sample", "* * * * *", ("maintain", "sample"), DAKAR, limit_seconds=2 * HOUR, stays=("--minutes", "60")
)


def test_a_run_that_stays_stands_for_every_minute_and_is_followed_by_another(tmp_path: Path) -> None:
    world = World(tmp_path, [WATCH], seconds=3580)
    world.until(SIX + timedelta(hours=2, seconds=30))
    rows = sorted(world.rows("sample"), key=lambda run: run.planned_at)
    assert [(run.planned_at, run.state, run.count) for run in rows] == [
        (SIX, OK, 60),
        (SIX + timedelta(hours=1), OK, 60),
        (SIX + timedelta(hours=2), RUNNING, 1),
    ]
    assert rows[0].until == SIX + timedelta(minutes=59)


def test_a_scheduler_that_comes_back_misses_nothing_that_its_run_has_stood_for(tmp_path: Path) -> None:
    world = World(tmp_path, [WATCH], seconds=3580)
    world.until(SIX + timedelta(minutes=30, seconds=30))
    world.scheduler = world.another(pid=2)
    world.until(SIX + timedelta(minutes=50, seconds=30))
    (row,) = world.rows("sample")
    assert (row.state, row.count) == (RUNNING, 51)


def test_what_watches_goes_on_while_all_is_paused_and_ends_when_it_is_paused_itself(tmp_path: Path) -> None:
    world = World(tmp_path, [WATCH], seconds=3580)
    until = SIX + timedelta(hours=3)
    world.ledger.pause(Pause("all", until, "migration", "ops", SIX))
    world.until(SIX + timedelta(minutes=10, seconds=30))
    assert [(run.state, run.count) for run in world.rows("sample")] == [(RUNNING, 11)]
    world.ledger.pause(Pause("sample", until, "noise", "ops", SIX))
    world.until(SIX + timedelta(minutes=11, seconds=40))
    assert world.states("sample") == ["interrupted", "skipped"]
