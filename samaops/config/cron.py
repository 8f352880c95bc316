"""Whether a line of a crontab can be meant: five fields, each within its range, and a day that comes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from samaops.i18n import N_, _

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest, highest (cron takes 7 for Sunday too), and the words of the lowest and those after it.
_FIELDS: tuple[tuple[str, int, int, Sequence[str]], ...] = (
    (N_("minute"), 0, 59, ()),
    (N_("hour"), 0, 23, ()),
    (N_("day of the month"), 1, 31, ()),
    (N_("month"), 1, 12, _MONTHS),
    (N_("weekday"), 0, 7, _WEEKDAYS),
)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(
    r"(?:(?P<all>\*)|(?P<low>[a-z]{3}|\d{1,2})(?:-(?P<high>[a-z]{3}|\d{1,2}))?)(?:/(?P<step>\d{1,2}))?"
)


def fault_of(line: str) -> str | None:
    """Return why a line is none that cron could follow; None when it is one."""
    fields = line.lower().split()
    if len(fields) != len(_FIELDS):
        return _("{value!r} is not a cron expression of five fields, such as 0 6 * * *").format(value=line)
    values = []
    for text, (name, lowest, highest, words) in zip(fields, _FIELDS, strict=True):
        chosen = _values(text, lowest, highest, words)
        if not chosen:
            fault = _("{value!r} is no {field} of a cron expression ({lowest} to {highest})")
            return fault.format(value=text, field=_(name), lowest=lowest, highest=highest)
        values.append(chosen)
    # with a weekday too, cron takes either
    never = fields[4] == "*" and all(min(values[2]) > _DAYS[month - 1] for month in values[3])
    return _("{value!r}: this day never comes").format(value=line) if never else None


def _values(text: str, lowest: int, highest: int, words: Sequence[str]) -> set[int]:
    """Return the values that a field stands for; none when it is malformed."""
    chosen: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            return set()
        low = lowest if match["all"] else _number(match["low"], lowest, words)
        high = (
            highest if match["all"] else low if not match["high"] else _number(match["high"], lowest, words)
        )
        if match["step"] and not match["all"] and not match["high"]:
            high = highest
        step = int(match["step"] or 1)
        if low is None or high is None or not lowest <= low <= high <= highest or not step:
            return set()
        chosen.update(range(low, high + 1, step))
    return chosen


def _number(text: str, lowest: int, words: Sequence[str]) -> int | None:
    if text.isdigit():
        return int(text)
    return words.index(text) + lowest if text in words else None
