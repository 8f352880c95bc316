"""The scheduler of this machine in the foreground, for systemd or a container: APScheduler wakes it at each moment of cron.

APScheduler's own cron means other days and hours than cron does; the moments are cronsim's. What is begun, and whether, decides
``scheduler.py``: it is asked every few seconds besides, by a clock that nobody sets.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from samaops.config import places
from samaops.errors import LockedError
from samaops.i18n import _
from samaops.journal import history, lock_directory
from samaops.journal.history import Journal
from samaops.journal.ledger import Ledger
from samaops.journal.lock import UNKNOWN, FileLock, file_name, this_process_now
from samaops.site import chosen, redaction
from samaops.site import jobs as table
from samaops.site.jobs import Job
from samaops.site.site import Site
from samaops.workflows.schedule.announcing import Announcer, Compose
from samaops.workflows.schedule.book import Book
from samaops.workflows.schedule.processes import GroupProcesses
from samaops.workflows.schedule.scheduler import Scheduler

LOOK_SECONDS = 5.0
# Of what failed while the scheduler was stopped; what is not told by then, the next one tells.
_LAST_WORDS_SECONDS = 10.0


class MachineClock:
    """The time of this machine, and how long it has run, asleep or awake."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def passed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class CronTrigger(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """When a job is to be looked at, for APScheduler: as Debian's cron has its line, with the job's own delay."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the next moment after the last one, or after now."""
        delay = timedelta(seconds=self.job.jitter_seconds)
        after = max(previous_fire_time, now) if previous_fire_time else now
        planned = self.job.next_at(after - delay)
        return planned + delay if planned else None


def directory() -> Path:
    """Return where the logs of the runs, and what could not be written to the ledger, are kept."""
    return places.state() / "schedule"


def command_of(site: Site) -> tuple[str, ...]:
    """Return how samaops is called for the same site, and in the same language, as this process was."""
    _program, *words, _group = shlex.split(chosen.same("samaops schedule"))
    if "--lab" not in words and site.configuration is not None:
        language = words[words.index("--lang") :] if "--lang" in words else []
        words = ["--config", str(site.configuration.absolute()), *language]
    return (sys.executable, "-m", "samaops", *words)


def processes_of(site: Site) -> GroupProcesses:
    """Return the processes of the runs of a site."""
    return GroupProcesses(command_of(site), directory() / "logs")


def run(site: Site, tell: Callable[[str], None], compose: Compose) -> None:
    """Be the scheduler until interrupted; ``compose`` words what is told of runs that failed.

    Raises LockedError where this machine has one for this site.
    """
    planned = table.all_of(site)
    journal = Journal(
        history.database_of(site.settings), site.name, lambda value: redaction.redacted(value, site)
    )
    only_one = lock_of(site)
    _take(only_one)
    processes = processes_of(site)
    book = Book(Ledger(journal, site.name), directory() / "unwritten.json", tell)
    announcer = Announcer(site, compose, tell)
    core = Scheduler(planned, book, processes, MachineClock(), this_process_now(), tell, announcer.ask)
    waker = _waker(planned, core)
    waker.start()
    try:
        while True:
            core.tick()
            time.sleep(LOOK_SECONDS)
    finally:
        waker.shutdown(wait=False)
        core.stop(time.sleep)
        announcer.stop(_LAST_WORDS_SECONDS)
        only_one.release()
        journal.close()


def lock_of(site: Site) -> FileLock:
    """Return the lock of the one scheduler that this machine has for a site."""
    place = lock_directory.choose(site.settings.safety.lock_directory)
    return FileLock(place / file_name(site.name, "schedule"))


def _take(lock: FileLock) -> None:
    try:
        lock.take()
    except LockedError as error:
        owner = lock.holder()
        if owner in (None, UNKNOWN):
            raise LockedError(
                _("A scheduler of this site already runs on this machine"), since=error.since
            ) from error
        text = _("A scheduler of this site already runs here: {user}, process {pid}, since {since}")
        raise LockedError(
            text.format(user=owner.user, pid=owner.pid, since=owner.since), since=owner.since
        ) from error


def _waker(planned: tuple[Job, ...], core: Scheduler) -> Any:
    """Return what wakes the scheduler in the second in which a job is planned."""
    waker = BackgroundScheduler(
        timezone=timezone.utc,
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for job in planned:
        waker.add_job(core.tick, CronTrigger(job), id=job.name)
    return waker
