"""The jobs: what each runs, when, and how; those of samaops and those of the site."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from msgspec import Struct

from samaops.config import consistency, cron
from samaops.config.schedule_settings import Blackout, ScheduleJob
from samaops.errors import ConfigurationError, UsageError
from samaops.facts.schedule import DONE, WATCHING, Run
from samaops.i18n import _
from samaops.site.site import Site

# Twice what the slowest of the last runs took, but for one in twenty; never less than ten minutes.
_LEAST_LIMIT_SECONDS, _TIMES = 600.0, 2.0
# With fewer runs, the limit of the first one holds.
_LEAST_RUNS = 3
LIMIT_RUNS = 30
_HOUR = 3600.0
# What may take hours in the database goes one after the other, in this order: a dump, vacuum, reindex.
HEAVY = ("backup", "weekly", "monthly")
# Of jobs that run so often, or more often, the rows are kept for a shorter time.
OFTEN_SECONDS = 2 * _HOUR


class Job(Struct, frozen=True):
    """A job: the words behind ``samaops``, its line of cron, and how it runs.

    ``first_limit_seconds`` bounds a run while no others tell how long it takes, ``limit_seconds`` each run where that is
    set. ``beside_none_of`` are jobs beside which it does not run: it waits. ``stays`` are the words with which a scheduler lets one
    process do what is due in many minutes; without them each has its own.
    """

    name: str
    line: str
    words: tuple[str, ...]
    zone: tzinfo
    first_limit_seconds: float = 2 * _HOUR
    limit_seconds: float | None = None
    overlap: str = "forbid"
    catches_up: bool = False
    grace_seconds: float = 0.0
    jitter_seconds: float = 0.0
    window: tuple[time, time] | None = None
    nice: int = 0
    beside_none_of: tuple[str, ...] = ()
    blackouts: tuple[Blackout, ...] = ()
    stays: tuple[str, ...] = ()

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield when it is planned after a moment, in UTC."""
        return cron.following(self.line, moment, self.zone)

    def next_at(self, moment: datetime) -> datetime | None:
        """Return when it is planned next."""
        return next(self.after(moment), None)

    def interval_seconds(self, moment: datetime) -> float:
        """Return the longest time between two of its next runs."""
        steps = self.after(moment)
        planned = [planned for planned, _number in zip(steps, range(9), strict=False)]
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(planned)]
        return max(gaps, default=0.0)

    def limit(self, last_runs: Sequence[Run]) -> float:
        """Return how long a run may take, in seconds, by what the last ones took."""
        if self.limit_seconds is not None:
            return self.limit_seconds
        took = [run.seconds for run in last_runs if run.state in DONE and run.seconds is not None]
        if len(took) < _LEAST_RUNS:
            return self.first_limit_seconds
        slow = statistics.quantiles(took, n=20, method="inclusive")[-1]
        return max(_LEAST_LIMIT_SECONDS, _TIMES * slow)

    def kept_from(self, moment: datetime) -> str:
        """Say why no run may begin at a moment by the configuration: a blackout, its window; "" when one may."""
        local = moment.astimezone(self.zone)
        for blackout in self.blackouts:
            begins, ends = cron.local_moment(blackout.begins), cron.local_moment(blackout.ends)
            if begins and ends and begins <= local.replace(tzinfo=None) < ends:
                text = _("blackout until {moment}: {reason}")
                return text.format(moment=blackout.ends, reason=blackout.reason)
        if self.window is not None and not cron.is_within(self.window, local.time()):
            bounds = "-".join(each.strftime("%H:%M") for each in self.window)
            return _("outside its window {window}").format(window=bounds)
        return ""


def all_of(site: Site) -> tuple[Job, ...]:
    """Return the jobs that the configuration plans. Raises ConfigurationError where it cannot be used."""
    schedule = site.settings.schedule
    zone = zone_of(site)
    names = (*cron.JOBS, *(name for name in schedule.jobs if name not in cron.JOBS))
    found = (_job(site, name, schedule.jobs.get(name, ScheduleJob()), zone) for name in names)
    return tuple(job for job in found if job is not None)


def named(site: Site, name: str) -> Job:
    """Return one job. Raises UsageError when there is none of this name, or it is not planned."""
    known = {job.name: job for job in all_of(site)}
    if name not in known:
        reason = consistency.not_one_of(name, tuple(known))
        raise UsageError(
            _("There is no job {name!r}").format(name=name) + "; " + reason, hint="samaops schedule list"
        )
    return known[name]


def zone_of(site: Site) -> tzinfo:
    """Return the time zone of the schedule. Raises ConfigurationError."""
    name = site.settings.schedule.timezone
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        if name == "UTC":  # where the machine has no such database
            return timezone.utc
        raise ConfigurationError(
            _("schedule.timezone: {value!r} is not a time zone").format(value=name),
            hint="samaops config check",
        ) from error


# What each job of samaops is: its words, how long its first runs may take, and within how many hours it is caught up.
_OWN: dict[str, tuple[str, float, float]] = {
    "backup": ("backup create --yes", 4.5 * _HOUR, 12.0),
    "daily": ("maintain daily --yes", _HOUR, 6.0),
    "weekly": ("maintain weekly --yes", 6 * _HOUR, 3.0),
    "monthly": ("maintain monthly --yes", 12 * _HOUR, 3.0),
    "sample": ("maintain sample --quiet", 120.0, 0.0),
}


# A process of Python costs more to begin than many looks: that of the scheduler looks every minute for an hour.
_EVERY_MINUTE, _STAYS_MINUTES, _STAYS_SPARE_SECONDS = "* * * * *", 60, 600.0


def _job(site: Site, name: str, given: ScheduleJob, zone: tzinfo) -> Job | None:
    is_own = name in _OWN
    line = given.at if given.at is not None else getattr(site.settings.schedule, name, "") if is_own else ""
    if not line.strip() or (name == "backup" and site.settings.backup is None):
        return None
    fault = cron.fault_of(line)
    if fault:
        raise ConfigurationError(f"schedule.{name}: {fault}", hint="samaops config check")
    command, first, grace_hours = _OWN.get(name, (given.command or "", 2 * _HOUR, 0.0))
    words = cron.words(command)
    if words and given.confirm is not None and name == cron.CONFIRMED:
        words = (*words, "--confirm", given.confirm)
    window = cron.window(given.window) if given.window is not None else None
    if not words or (given.window is not None and window is None):
        raise ConfigurationError(
            _("schedule.jobs.{name} cannot be used").format(name=name), hint="samaops config check"
        )
    grace = given.grace_hours if given.grace_hours is not None else grace_hours
    catches_up = is_own if given.catch_up is None else given.catch_up == "once"
    stays = name in WATCHING and line.split() == _EVERY_MINUTE.split()
    own_limit = _STAYS_MINUTES * 60 + _STAYS_SPARE_SECONDS if stays else None
    return Job(
        name, line, words, zone,
        stays=("--minutes", str(_STAYS_MINUTES)) if stays else (),
        first_limit_seconds=first,
        limit_seconds=given.limit_seconds or own_limit,
        overlap=given.overlap,
        catches_up=catches_up and grace > 0,
        grace_seconds=grace * _HOUR,
        jitter_seconds=_share(site.name, name) * given.jitter_seconds,
        window=window,
        nice=given.nice,
        beside_none_of=tuple(other for other in HEAVY if other != name) if name in HEAVY else (),
        blackouts=tuple(
            blackout for blackout in site.settings.schedule.blackouts
            if name in blackout.jobs or (not blackout.jobs and name not in WATCHING)
        ),
    )  # fmt: skip


def _share(*names: str) -> float:
    """Return a number from 0 to 1 that is always the same for these names."""
    digest = hashlib.sha256(":".join(names).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def late_seconds(planned: datetime, job: Job, now: datetime) -> float:
    """Return how long ago a run should have begun, in seconds."""
    return (now - planned - timedelta(seconds=job.jitter_seconds)).total_seconds()
