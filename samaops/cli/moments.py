"""Moments as people type them, by their own clock."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

from samaops.errors import UsageError
from samaops.i18n import _

_AGO = re.compile(r"(\d{1,6})\s*([mhdwj])")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "j": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DAYS_AGO = {"today": 0, "aujourd'hui": 0, "yesterday": 1, "hier": 1}
_DAYS = ("%Y-%m-%d", "%d/%m/%Y")


def interval(text: str, option: str) -> tuple[datetime, datetime]:
    """Return when something begins and ends that was typed: a day whole, a moment at once. Raises UsageError."""
    now = datetime.now().astimezone()
    words = text.strip().lower()
    try:
        ago = _AGO.fullmatch(words)
        if ago:
            moment = now - int(ago[1]) * _UNITS[ago[2]]
            return moment, moment
        day = _day(words, now.date())
        if day is not None:
            return _midnight(day), _midnight(day + timedelta(days=1))
        clock = _TIME.fullmatch(words)
        if clock:
            then = _at_clock(now, time(int(clock[1]), int(clock[2]), int(clock[3] or 0)))
            return then, then
        # PostgreSQL writes the zone of a moment in two digits.
        words = re.sub(r"(:\d\d(?:\.\d+)?[+-]\d\d)$", r"\1:00", re.sub("z$", "+00:00", words))
        moment = datetime.fromisoformat(words).astimezone()
    except (ValueError, OverflowError):
        text = _("{option}: {text!r} is no moment").format(option=option, text=text)
        raise UsageError(text, hint=f"{option} 2026-01-31, '2026-01-31 14:00', today, 2h, 7d") from None
    return moment, moment


def end(for_: str | None, until: str | None) -> datetime:
    """Return when something ends that begins now, said in one of two ways: how long, or until when. Raises UsageError.

    A time of day is the next one of it; a day is meant whole.
    """
    if (for_ is None) == (until is None):
        raise UsageError(_("for how long: --for 2h, or --until '2026-01-31 14:00'"))
    now = datetime.now().astimezone()
    if for_ is not None:
        return now + _length(for_)
    ends = interval(str(until), "--until")[1]
    return ends + timedelta(days=1) if is_time_of_day(str(until)) and ends <= now else ends


def _length(text: str) -> timedelta:
    """Return how long something is to be."""
    length = _AGO.fullmatch(text.strip().lower())
    try:
        if length:
            return int(length[1]) * _UNITS[length[2]]
    except OverflowError:
        pass
    raise UsageError(_("--for: {text!r} is no length of time").format(text=text), hint="--for 30m, 2h, 3d")


def is_time_of_day(text: str) -> bool:
    """Return whether it is a time without a day, such as ``03:00``: the last one of it is meant."""
    return _TIME.fullmatch(text.strip()) is not None


def _at_clock(now: datetime, clock: time) -> datetime:
    """Return the last moment at which a clock here showed this time."""
    today = datetime.combine(now.date(), clock).astimezone()
    return today if today <= now else datetime.combine(now.date() - timedelta(days=1), clock).astimezone()


def _day(words: str, today: date) -> date | None:
    if words in _DAYS_AGO:
        return today - timedelta(days=_DAYS_AGO[words])
    for form in _DAYS:
        try:
            return datetime.strptime(words, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    return None


def _midnight(day: date) -> datetime:
    """Return when a day begins here."""
    return datetime.combine(day, time()).astimezone()
