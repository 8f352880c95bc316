"""Whether a line of a crontab can be meant: five fields, each within its range, and a day that comes."""

from __future__ import annotations

import re
from datetime import datetime

from cronsim import CronSim, CronSimError

from samaops.i18n import N_, _

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
