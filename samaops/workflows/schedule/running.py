"""The runs that a scheduler has begun: each is watched, ended where it takes too long, and its row closed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from samaops.facts.schedule import BEGUN, FAILED, KILLED, TIMED_OUT, Run
from samaops.i18n import _
from samaops.model.quantities import duration
from samaops.site.jobs import LIMIT_RUNS, Job
from samaops.workflows.schedule.book import Book
from samaops.workflows.schedule.outcomes import outcome_of
from samaops.workflows.schedule.processes import LARGEST_LOG_BYTES, Processes

# Between the polite end of a run and the other one: samaops takes back what it was changing.
GRACE_SECONDS = 60.0


class Active(Struct):
    """A run of ours that goes on. ``ending`` is how it will have ended once it was asked to, and why."""

    run: Run
    job: Job
    limit_seconds: float
    began: float
    ending: str = ""
    reason: str = ""
    asked_at: float = 0.0


class Running:
    """The runs of one scheduler that go on, by number. ``tell`` and ``announce`` are as it has them."""

    def __init__(
        self,
        book: Book,
        processes: Processes,
        tell: Callable[[str], None],
        announce: Callable[[Run | None], None],
    ) -> None:
        self._book = book
        self._processes = processes
        self._tell = tell
        self.announce = announce
        self.active: dict[int, Active] = {}

    def close(self, run: Run, state: str, reason: str, now: datetime) -> None:
        """Write into the row of a run how it ended."""
        closed = replace(run, state=state, reason=reason, ended_at=now)
        self._book.update(closed)
        if closed.state in BEGUN:
            self.announce(closed)

    def start(self, job: Job, run: Run, now: datetime, passed: float) -> None:
        """Begin the process of a run whose row is written."""
        limit = self.limit(job)
        try:
            run = self._processes.start(run, replace(job, words=(*job.words, *job.stays)))
        except OSError as error:
            self.close(run, FAILED, str(error), now)
            self._tell(f"{job.name}: {error}")
            return
        self.active[run.number] = Active(run, job, limit, passed)
        self._book.update(run)
        self._tell(
            _("{job} begins: process {pid}, at most {time}").format(
                job=job.name, pid=run.pid, time=duration(limit)
            )
        )

    def limit(self, job: Job) -> float:
        """Return how long a job may take, in seconds."""
        return job.limit(self._book.last(job.name, LIMIT_RUNS))

    def reap(self, now: datetime, passed: float) -> None:
        """See which runs have ended, and end those that take too long."""
        for number, active in list(self.active.items()):
            ended = self._processes.ended(active.run)
            if ended is None:
                self._watch(active, passed)
                continue
            del self.active[number]
            state, reason = outcome_of(ended)
            if active.ending:
                state, reason = active.ending, active.reason
            run = replace(
                active.run,
                state=state,
                reason=reason or active.run.reason,
                ended_at=ended.at or now,
                exit_code=ended.exit_code,
            )
            self._book.update(run)
            self.announce(run)
            took = duration(run.seconds or 0.0)
            self._tell(" ".join(word for word in (f"{run.job}: {state}", f"({took})", reason) if word))

    def _watch(self, active: Active, passed: float) -> None:
        if active.ending:
            if passed - active.asked_at >= GRACE_SECONDS:
                self._processes.end(active.run, at_once=True)
            return
        if passed - active.began >= active.limit_seconds:
            text = _("it took longer than its limit of {time}")
            self.ask_to_end(active, TIMED_OUT, text.format(time=duration(active.limit_seconds)), passed)
        elif self._processes.log_bytes(active.run) > LARGEST_LOG_BYTES:
            self.ask_to_end(active, KILLED, _("it wrote more than 64 MB of output"), passed)

    def ask_to_end(self, active: Active, state: str, reason: str, passed: float) -> None:
        """End a run politely, and remember how it will have ended; where it does not end within its grace, it is killed."""
        if not active.ending:
            active.ending, active.reason, active.asked_at = state, reason, passed
        self._processes.end(active.run)
