"""What can be configured of what runs by itself: when, and what maintenance does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from samaops.config.fields import LongSeconds, Seconds, Section, UserPath


class ScheduleJob(Section):
    """How a job of the scheduler runs where that is not as usual; one of the site's own has ``at`` and ``command``."""

    # A cron expression; for samaops' own jobs the one in [schedule] when absent.
    at: str | None = None
    # The words behind "samaops", such as "db vacuum --yes".
    command: str | None = None
    # A run that takes longer is ended; twice what the last ones took when absent.
    limit_seconds: Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False)] | None = None
    # When the run before still goes on: leave this one out, let it wait, or end the other one.
    overlap: Literal["forbid", "queue", "replace"] = "forbid"
    # What was missed while no scheduler ran: never, or its last run once, within so many hours.
    catch_up: Literal["skip", "once"] | None = None
    grace_hours: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False)] | None = None
    # Up to so many seconds later, always the same for a job.
    jitter_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0.0
    # Only then a run begins, such as "02:00-05:00".
    window: str | None = None
    # How much it gives way to other processes (nice).
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    # Of weekly, the site's name: its run may lose data too, and so removes the backups that have expired.
    confirm: str | None = None


class Blackout(Section):
    """A time in which no job begins, in the schedule's time zone: ``2026-12-24 18:00``."""

    begins: str
    ends: str
    reason: str
    # Only these jobs; all when none are named.
    jobs: tuple[str, ...] = ()


class Schedule(Section):
    """When the scheduler runs what, as cron expressions in Africa/Dakar time; an empty one: not at all."""

    timezone: str = "Africa/Dakar"
    backup: str = "0 2 * * *"
    daily: str = "0 6 * * *"
    weekly: str = "0 3 * * 0"
    monthly: str = "0 4 1 * *"
    sample: str = "* * * * *"
    jobs: dict[str, ScheduleJob] = {}
    blackouts: tuple[Blackout, ...] = ()


class Maintenance(Section):
    """What `samaops maintain` does and where it writes what it did."""

    # One section a run is appended here; the state directory is used when it cannot be written.
    log: UserPath = Path("/var/log/samaconso/daily_maintenance.log")
    # A run that takes longer is ended and reported as failed.
    limit_seconds: Seconds = 900.0
    # The application's logs; on the servers of the API and of the workers when none are named.
    log_servers: tuple[str, ...] = ()
    log_directory: str = "/opt/samaconso/logs"
    log_pattern: str = "*.log"
    # Images are removed when no container uses them, they are older than this, and not among the newest
    # of their repository: a rollback needs those.
    image_age_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 72.0
    releases_kept: Annotated[int, Field(ge=2)] = 2
    # Whether the daily run also writes one marked value to each system and removes it (`diagnose --probe`).
    probe: bool = False
    # The weekly and the monthly run tend the database and try a restore: they may take longer.
    weekly_limit_seconds: LongSeconds = 4 * 3600.0
    monthly_limit_seconds: LongSeconds = 12 * 3600.0
    # Logs of the application are rotated and compressed when they are larger, or were not written for so many days.
    log_rotate_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 7.0
    log_rotate_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 100.0
    # The command that lets the application open its logs anew, on their server; "true" where it does so by itself.
    log_reopen: str = ""
