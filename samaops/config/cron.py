"""What a schedule says: the lines of a crontab, when they come, windows and moments of the day.

A line has five fields, each within its range, and a day that comes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import datetime, time, timezone, tzinfo

from cronsim import CronSim, CronSimError

from samaops.i18n import N_, _

# The jobs of samaops itself, each a key of [schedule].
JOBS = ("backup", "daily", "weekly", "monthly", "sample")
# The one of them whose run may lose data, where its configuration confirms that.
CONFIRMED = "weekly"
# Name, lowest and highest of each field; cron takes 7 for Sunday too.
_FIELDS = (
    (N_("minute"), 0, 59),
    (N_("hour"), 0, 23),
    (N_("day of the month"), 1, 31),
    (N_("month"), 1, 12),
    (N_("weekday"), 0, 7),
)
# What cronsim has beyond cron: the last day or weekday of a month, and its second Monday.
_BEYOND_CRON = re.compile(r"#|(?:^|[,\d-])l")
_WINDOW = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")
_ANY_MOMENT = datetime(2026, 1, 1)  # noqa: DTZ001 - only whether the line can be followed is asked


def fault_of(line: str) -> str | None:
    """Return why a line is none that cron could follow; None when it is one."""
    fields = line.lower().split()
    if len(fields) != len(_FIELDS):
        return _("{value!r} is not a cron expression of five fields, such as 0 6 * * *").format(value=line)
    for place, (name, lowest, highest) in enumerate(_FIELDS):
        if not _holds(place, fields[place]):
            fault = _("{value!r} is no {field} of a cron expression ({lowest} to {highest})")
            return fault.format(value=fields[place], field=_(name), lowest=lowest, highest=highest)
    return None if _comes(fields) else _("{value!r}: this day never comes").format(value=line)


def _holds(place: int, text: str) -> bool:
    """Return whether a field can be meant in some line."""
    alone = ["*"] * len(_FIELDS)
    alone[place] = text
    return not _BEYOND_CRON.search(text) and _can_follow(alone)


def _comes(fields: list[str]) -> bool:
    """Return whether the line has a day: of a day of the month and a weekday, cron takes what comes first."""
    if _can_follow(fields):
        return True
    minute, hour, day, month, weekday = fields
    # Older cronsim refuses a day that is in none of the months, were the line good for its weekdays alone.
    return (
        not day.startswith("*")
        and not weekday.startswith("*")
        and _can_follow([minute, hour, "*", month, weekday])
    )


def _can_follow(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), _ANY_MOMENT)
    except CronSimError:
        return False
    return True


def following(line: str, after: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Yield when a line of a crontab comes after a moment, in UTC, as Debian's cron has it in this zone.

    An hour that a clock skips is run at its end, once; one that comes twice once, but for lines with ``*`` as minute or hour.
    """
    for moment in CronSim(line, after.astimezone(zone)):
        yield moment.astimezone(timezone.utc)


def window(text: str) -> tuple[time, time] | None:
    """Return when a window such as ``22:00-05:00`` begins and ends; None for what is none."""
    matched = _WINDOW.fullmatch(text)
    if matched is None:
        return None
    begins = time(int(matched[1]), int(matched[2]))
    ends = time(int(matched[3]), int(matched[4]))
    return (begins, ends) if begins != ends else None


def is_within(bounds: tuple[time, time], moment: time) -> bool:
    """Return whether a time of the day lies in a window, which may go over midnight."""
    begins, ends = bounds
    return begins <= moment < ends if begins < ends else moment >= begins or moment < ends


def local_moment(text: str) -> datetime | None:
    """Return a moment such as ``2026-12-24 18:00``, without a zone; None for what is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is None else None


def words(command: str) -> tuple[str, ...]:
    """Return the words behind ``samaops``; none for what a shell could not read."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return ()
