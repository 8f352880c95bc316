"""The scheduler: what is due, what is begun, what is left out and why; ``running.py`` has what goes on. It is asked to by ``tick``.

It keeps no list of what is to come: from the last moment of a job that has a row to now, each planned moment gets one, whether
it is run or not. Time and processes are given, so that a year can be tried in seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from samaops.facts.schedule import (
    BY_HAND,
    CAUGHT_UP,
    INTERRUPTED,
    KILLED,
    LEASE_SECONDS,
    MISSED,
    OVERLAPPED,
    PLANNED,
    RUNNING,
    SKIPPED,
    WAITING,
    Leader,
    Pause,
    Run,
)
from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.journal.owner import Owner
from samaops.model.quantities import duration, moment
from samaops.site.jobs import OFTEN_SECONDS, Job, late_seconds
from samaops.workflows.schedule.book import Book
from samaops.workflows.schedule.outcomes import outcome_of, paused
from samaops.workflows.schedule.processes import Processes
from samaops.workflows.schedule.running import GRACE_SECONDS, Active, Running

logger = logging.getLogger(__name__)
# What begins so long after its time was not missed.
ON_TIME_SECONDS = 90.0
RENEW_SECONDS = 10.0
# Who does not lead asks more often: the lease and this are half a minute at most.
ASK_SECONDS = 4.0
# A clock that differs by more from the time that passed was set.
_CLOCK_SECONDS = 60.0
# How long a run waits for another one before it is left out.
WAIT_SECONDS = 6 * 3600.0
_LOOK_AROUND_SECONDS = 600.0
_DAY_SECONDS = 86_400.0
# More moments than these, all missed, have one row.
_MOST_ROWS = 10
# Of a job that was not looked after for long, moments beyond these are not counted one by one.
_MOST_MOMENTS = 20_000
_BEGINNING_SECONDS = 60.0


class Clock(Protocol):
    """The time, and how long this machine has run, in seconds: what passes there passes also while it sleeps."""

    def now(self) -> datetime:
        """Return the time in UTC."""

    def passed(self) -> float:
        """Return seconds since some moment, which no setting of the clock changes."""


class Scheduler:
    """One scheduler of one site. ``tell`` says to people what happens.

    ``announce`` is given each run that has ended, and None now and then: those who do not look are told of what failed.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        book: Book,
        processes: Processes,
        clock: Clock,
        owner: Owner,
        tell: Callable[[str], None] = lambda _text: None,
        announce: Callable[[Run | None], None] = lambda _run: None,
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._book = book
        self._processes = processes
        self._clock = clock
        self._owner = owner
        self._tell = tell
        self._runs = Running(book, processes, tell, announce)
        self._leader: Leader | None = None
        self._waiting: dict[int, Run] = {}
        self._cursor: dict[str, datetime] = {}
        self._next: dict[str, datetime | None] = {}
        self._pauses: Sequence[Pause] = ()
        self._seen: tuple[datetime, float] | None = None
        self._renewed = self._looked_around = self._pruned = float("-inf")
        # While nobody could read the ledger its leader went on: that one comes first when it can be read again.
        self._is_blind = False
        self._gives_way_until = float("-inf")
        self._gap = ""
        self._follows = ""
        self._one_at_a_time = threading.Lock()

    @property
    def leads(self) -> bool:
        """Whether it begins runs."""
        return self._leader is not None

    @property
    def running(self) -> tuple[Run, ...]:
        """The runs of this scheduler that go on."""
        return tuple(active.run for active in self._runs.active.values())

    def next_at(self) -> datetime | None:
        """Return when something is due next."""
        return min((planned for planned in self._next.values() if planned), default=None)

    def tick(self) -> None:
        """Do what is due now."""
        with self._one_at_a_time:
            now, passed = self._clock.now(), self._clock.passed()
            self._watch_clock(now, passed)
            self._runs.reap(now, passed)
            if not self._lead(now, passed):
                return
            if passed - self._looked_around >= _LOOK_AROUND_SECONDS:
                self._look_around(now, passed)
            for job in self._jobs.values():
                self._plan(job, now, passed)
            self._begin_what_waits(now, passed)

    def stop(self, wait: Callable[[float], None]) -> None:
        """End the runs of this scheduler, politely at first, and give the lead back. ``wait`` passes some time."""
        with self._one_at_a_time:
            passed = self._clock.passed()
            for active in self._runs.active.values():
                self._runs.ask_to_end(active, INTERRUPTED, _("the scheduler was stopped"), passed)
            while self._runs.active:
                self._runs.reap(self._clock.now(), self._clock.passed())
                if self._runs.active:
                    wait(0.2)
            if self._leader is not None and self._leader.epoch:
                self._book.resign(self._leader, self._clock.now())
            self._leader = None

    # -- who leads -----------------------------------------------------------------------------------------

    def _lead(self, now: datetime, passed: float) -> bool:
        """Return whether we lead, having renewed that where it is time."""
        was_frozen = passed - self._renewed > LEASE_SECONDS
        if passed - self._renewed < (RENEW_SECONDS if self._leader else ASK_SECONDS):
            return self._leader is not None
        before = self._leader or self._book.leader()
        if self._gives_way(before, passed):
            self._renewed = passed
            self._stand_by(before)
            return False
        try:
            leader = self._book.lead(self._owner, now, _zone_name(self._jobs))
            is_new = leader is not None and (self._leader is None or self._leader.epoch != leader.epoch)
            if leader is not None and is_new:
                self._take_over(leader, before, now, passed)
        except HistoryError as error:
            return self._goes_on_without(error, was_frozen, now, passed)
        self._renewed = passed
        if leader is None:
            self._stand_by(before)
            self._look_after_ours(now, passed)
            return False
        self._leader = leader
        return True

    def _goes_on_without(self, error: HistoryError, was_frozen: bool, now: datetime, passed: float) -> bool:
        """Return whether to act though the ledger cannot be written: not where another one may lead by now."""
        self._say_once(_("the ledger cannot be written: {reason}").format(reason=error.message))
        # Where machines do not share it, a lock of this one keeps others out.
        if not self._book.is_shared or (self._leader is not None and not was_frozen):
            if self._leader is None:
                self._leader = Leader(self._owner.host, self._owner.pid, "", self._owner.user, now, now, 0)
            if not self._next:
                for name in self._jobs:
                    self._put_cursor(name, now)
            self._renewed = passed
            return True
        self._leader, self._is_blind = None, True
        return False

    def _gives_way(self, before: Leader | None, passed: float) -> bool:
        """Return whether to leave the lead, for as long as a lease lasts, to who had it when the ledger was lost to all."""
        if self._leader is not None or before is None:  # we lead, or it still cannot be read
            return False
        if self._is_blind:
            self._is_blind, self._gives_way_until = False, passed + LEASE_SECONDS
        ours = (self._owner.host, self._owner.pid, self._owner.process_start)
        return passed < self._gives_way_until and (before.host, before.pid, before.process_start) != ours

    def _stand_by(self, other: Leader | None) -> None:
        """Begin nothing more: another one leads."""
        was_leading, self._leader = self._leader is not None, None
        self._next.clear()
        self._waiting.clear()
        if was_leading:
            self._say_once(_("the lead was lost: another scheduler has taken over"))
        elif other is not None:
            text = _("{user} on {host}, process {pid}, leads; this one stands by")
            self._say_once(text.format(user=other.user, host=other.host, pid=other.pid))

    def _look_after_ours(self, now: datetime, passed: float) -> None:
        """See to what an earlier scheduler of this machine began: who leads elsewhere sees neither its process nor its end."""
        for run in self._book.open_runs():
            began = run.started_at or run.planned_at
            is_beginning = not run.pid and now < began + timedelta(seconds=_BEGINNING_SECONDS)
            is_ours = run.host == self._owner.host and run.state == RUNNING and not is_beginning
            if not is_ours or run.number in self._runs.active:
                continue
            if self._processes.lives(run):
                self._go_on_with(run, now, passed)
            else:
                self._close_lost(run, now)

    def _go_on_with(self, run: Run, now: datetime, passed: float) -> None:
        """Watch a run that goes on here and was begun by an earlier scheduler; one begun by hand has who watches it."""
        job = self._jobs.get(run.job)
        if run.trigger != BY_HAND and job is not None:
            began = passed - (now - (run.started_at or now)).total_seconds()
            self._runs.active[run.number] = Active(run, job, self._runs.limit(job), began)

    def _say_once(self, text: str) -> None:
        if text != self._follows:
            self._follows = text
            self._tell(text)

    def _take_over(self, leader: Leader, before: Leader | None, now: datetime, passed: float) -> None:
        """Find out from which moment on each job is ours to look after. Raises HistoryError."""
        known = self._book.known_since(tuple(self._jobs), now)
        for name in self._jobs:
            last = self._book.last_planned(name)
            self._put_cursor(name, min(last or known[name], now))
        if before is not None and before.epoch != leader.epoch and before.until < now:
            text = _("no scheduler ran from {since} to {until}")
            self._gap = text.format(since=_said(before.until), until=_said(now))
        self._leader, self._follows = leader, ""
        self._tell(_("leads since {moment}").format(moment=_said(now)))
        self._look_around(now, passed)

    def _look_around(self, now: datetime, passed: float) -> None:
        """Close the rows of runs that are over, and take over those of this machine that go on or wait."""
        self._looked_around = passed
        for run in self._book.open_runs():
            job = self._jobs.get(run.job)
            if run.number in self._runs.active or run.number in self._waiting:
                continue
            if run.state == WAITING:
                if job is None:
                    self._runs.close(run, SKIPPED, _("there is no such job any more"), now)
                else:
                    self._waiting[run.number] = run
            elif self._goes_on(run, now):
                if run.host == self._owner.host:
                    self._go_on_with(run, now, passed)
            else:
                self._close_lost(run, now)
        if passed - self._pruned >= _DAY_SECONDS:
            self._pruned = passed
            often = [job.name for job in self._jobs.values() if job.interval_seconds(now) <= OFTEN_SECONDS]
            self._book.prune(now, often)
        self._runs.announce(None)

    def _close_lost(self, run: Run, now: datetime) -> None:
        """Close the row of a run whose scheduler is gone: as it ended, where that can be seen."""
        if run.host != self._owner.host:
            text = _("nothing was heard of it any more from {host}")
            self._runs.close(run, INTERRUPTED, text.format(host=run.host), now)
            return
        if not run.pid:
            self._runs.close(run, INTERRUPTED, _("the scheduler ended before it could begin"), now)
            return
        ended = self._processes.ended(run)
        if ended is None or ended.exit_code is None:
            self._runs.close(run, INTERRUPTED, _("it ended together with its scheduler or its machine"), now)
            return
        state, reason = outcome_of(ended)
        self._runs.close(replace(run, exit_code=ended.exit_code), state, reason, ended.at or now)

    def _goes_on(self, run: Run, now: datetime) -> bool:
        """Return whether the run of a row goes on; of one on another machine, until its limit and some more."""
        began = run.started_at or run.planned_at
        if run.host != self._owner.host:
            job = self._jobs.get(run.job)
            limit = self._runs.limit(job) if job else WAIT_SECONDS
            return now < began + timedelta(seconds=limit + GRACE_SECONDS + _LOOK_AROUND_SECONDS)
        if not run.pid:
            return (
                now < began + timedelta(seconds=_BEGINNING_SECONDS) and run.epoch != 0 and self._is_mine(run)
            )
        return self._processes.lives(run)

    def _is_mine(self, run: Run) -> bool:
        return self._leader is not None and run.epoch == self._leader.epoch

    # -- the clock -----------------------------------------------------------------------------------------

    def _watch_clock(self, now: datetime, passed: float) -> None:
        """See whether the clock was set, or we did not run, since the last look."""
        self._gap = ""
        seen, self._seen = self._seen, (now, passed)
        if seen is None:
            return
        by_clock, really = (now - seen[0]).total_seconds(), passed - seen[1]
        if by_clock - really > _CLOCK_SECONDS:
            text = _("the clock was set forward by {time} at {moment}")
            self._gap = text.format(time=duration(by_clock - really), moment=_said(now))
        elif really - by_clock > _CLOCK_SECONDS:
            text = _("the clock was set back by {time} at {moment}")
            self._gap = text.format(time=duration(really - by_clock), moment=_said(now))
            for name, cursor in self._cursor.items():
                if cursor > now:  # each moment that comes again has its row already
                    self._put_cursor(name, now)
        elif really > ON_TIME_SECONDS:
            text = _("the scheduler or its machine was stopped from {since} to {until}")
            self._gap = text.format(since=_said(seen[0]), until=_said(now))
        if self._gap:
            logger.info("%s", self._gap)

    # -- what is due ---------------------------------------------------------------------------------------

    def _put_cursor(self, name: str, moment_: datetime) -> None:
        self._cursor[name] = moment_
        self._next[name] = self._jobs[name].next_at(moment_)

    def _plan(self, job: Job, now: datetime, passed: float) -> None:
        """Give each moment of a job that has come its row."""
        latest = now - timedelta(seconds=job.jitter_seconds)
        planned = self._next.get(job.name)
        if planned is None or planned > latest:
            return
        due = list(_moments(job, self._cursor[job.name], latest))
        self._put_cursor(job.name, due[-1] if len(due) < _MOST_MOMENTS else latest)
        on_time = [each for each in due if late_seconds(each, job, now) <= ON_TIME_SECONDS]
        missed = due[: len(due) - len(on_time)]
        newest = missed[-1] if missed else None
        caught_up = None
        if newest and job.catches_up and not on_time and late_seconds(newest, job, now) <= job.grace_seconds:
            caught_up = missed.pop()
        self._miss(job, missed, now)
        for each in on_time:
            self._begin(job, each, PLANNED, now, passed)
        if caught_up is not None:
            self._begin(job, caught_up, CAUGHT_UP, now, passed)

    def _miss(self, job: Job, missed: Sequence[datetime], now: datetime) -> None:
        reason = self._gap or _("the scheduler came too late: at {moment}").format(moment=_said(now))
        if len(missed) > _MOST_ROWS:
            run = self._row(job, missed[0], MISSED, PLANNED, reason)
            self._claim(replace(run, count=len(missed), until=missed[-1]))
            return
        for planned in missed:
            self._claim(self._row(job, planned, MISSED, PLANNED, reason))

    def _row(self, job: Job, planned: datetime, state: str, trigger: str, reason: str = "") -> Run:
        host = self._owner.host
        return Run(job.name, planned, state, trigger=trigger, reason=reason, host=host, epoch=self._epoch)

    def _claim(self, run: Run) -> Run | None:
        """Write a new row; None where that moment has one already, or another one leads now."""
        if self._leader is None:
            return None
        claim = self._book.claim(run)
        if claim.has_lost_lead:
            self._stand_by(None)
        return claim.run

    def _begin(self, job: Job, planned: datetime, trigger: str, now: datetime, passed: float) -> None:
        """Begin a run, let it wait, or say why it is left out."""
        if trigger == CAUGHT_UP:
            self._gap = self._gap or _("it was missed")
        reason = self._paused(job, now) or job.kept_from(now)
        staying = [
            active for active in self._runs.active.values() if active.run.job == job.name and job.stays
        ]
        if reason:
            for active in staying:
                self._runs.ask_to_end(active, INTERRUPTED, reason, passed)
            self._claim(self._row(job, planned, SKIPPED, trigger, reason))
            return
        if any(not active.ending for active in staying):
            self._stay(staying[0], planned)
            return
        others = self._others(now)
        same = [
            run for run in others if run.job == job.name and not (job.stays and run.host != self._owner.host)
        ]
        if same:
            self._overlap(job, self._row(job, planned, OVERLAPPED, trigger), same, passed)
            return
        blocking = [run for run in others if run.job in job.beside_none_of]
        if blocking:
            text = _("{job} still went on").format(job=blocking[0].job)
            self._let_wait(self._row(job, planned, WAITING, trigger, text))
            return
        text = self._gap if trigger == CAUGHT_UP else ""
        run = self._claim(replace(self._row(job, planned, RUNNING, trigger, text), started_at=now))
        if run is not None:
            self._runs.start(job, run, now, passed)

    def _stay(self, active: Active, planned: datetime) -> None:
        """Let the run that goes on stand for one more moment."""
        active.run = replace(active.run, count=active.run.count + 1, until=planned)
        self._book.update(active.run)

    def _overlap(self, job: Job, row: Run, same: Sequence[Run], passed: float) -> None:
        """Deal with a run whose predecessor still goes on, as the configuration has it."""
        first = same[0]
        text = (
            _("the run of {moment} has not begun yet: {reason}")
            if first.state == WAITING
            else _("the run of {moment} still goes on: process {pid} on {host}")
        )
        reason = text.format(
            moment=_said(first.planned_at), pid=first.pid, host=first.host, reason=first.reason
        )
        ours = [self._runs.active[run.number] for run in same if run.number in self._runs.active]
        is_queue_free = not any(run.state == WAITING for run in same)
        if job.overlap == "replace" and ours and is_queue_free:
            for active in ours:
                why = _("replaced by the run of {moment}").format(moment=_said(row.planned_at))
                self._runs.ask_to_end(active, KILLED, why, passed)
            self._let_wait(replace(row, state=WAITING, reason=reason))
        elif job.overlap == "queue" and is_queue_free:
            self._let_wait(replace(row, state=WAITING, reason=reason))
        else:
            self._claim(replace(row, reason=reason))

    def _let_wait(self, row: Run) -> None:
        run = self._claim(row)
        if run is not None:
            self._waiting[run.number] = run

    def _begin_what_waits(self, now: datetime, passed: float) -> None:
        """Begin what has waited for another run, in the order in which it was planned."""
        order = list(self._jobs)

        def place(run: Run) -> tuple[datetime, int]:
            return run.planned_at, order.index(run.job) if run.job in order else len(order)

        for run in sorted(self._waiting.values(), key=place):
            job = self._jobs[run.job]
            others = [
                other
                for other in self._others(now)
                if other.number != run.number
                and (other.state == RUNNING or place(other) < place(run))
                and (other.job == run.job or other.job in job.beside_none_of)
            ]
            reason = self._paused(job, now) or job.kept_from(now)
            if others and (now - run.planned_at).total_seconds() > WAIT_SECONDS:
                text = _("{job} still went on after {time}")
                reason = text.format(job=others[0].job, time=duration(WAIT_SECONDS))
            elif others:
                continue
            del self._waiting[run.number]
            if reason:
                self._runs.close(run, SKIPPED, reason, now)
                continue
            text = _("begun {time} late: {reason}")
            late = text.format(time=duration((now - run.planned_at).total_seconds()), reason=run.reason)
            begun = replace(
                run, state=RUNNING, started_at=now, host=self._owner.host, epoch=self._epoch, reason=late
            )
            self._book.update(begun)
            self._runs.start(job, begun, now, passed)

    @property
    def _epoch(self) -> int:
        return self._leader.epoch if self._leader else 0

    def _others(self, now: datetime) -> list[Run]:
        """Return all runs that wait or go on: ours, those begun by hand, those of other machines."""
        ours = {active.run.number: active.run for active in self._runs.active.values()}
        ours.update(self._waiting)
        rows = [run for run in self._book.open_runs() if run.number not in ours]
        return [*ours.values(), *(run for run in rows if run.state == WAITING or self._goes_on(run, now))]

    def _paused(self, job: Job, now: datetime) -> str:
        pauses = self._book.pauses()
        self._pauses = self._pauses if pauses is None else pauses
        return paused(self._pauses, job.name, now)


def _moments(job: Job, after: datetime, latest: datetime) -> Iterator[datetime]:
    for number, planned in enumerate(job.after(after)):
        if planned > latest or number >= _MOST_MOMENTS:
            return
        yield planned


def _said(moment_: datetime) -> str:
    return moment(moment_.timestamp())


def _zone_name(jobs: dict[str, Job]) -> str:
    return next((str(job.zone) for job in jobs.values()), "")
