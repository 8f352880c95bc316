"""Which time a report is about: a month of the site's time zone, or between two moments."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo

from samaops.errors import UsageError
from samaops.facts.availability import Period
from samaops.i18n import _
from samaops.site import jobs
from samaops.site.site import Site

_MONTH = re.compile(r"(\d{4})-(\d{1,2})")


def of_month(site: Site, month: str, now: datetime | None = None) -> Period:
    """Return a month such as ``2026-10``, the last whole one where it is empty. Raises UsageError."""
    zone = jobs.zone_of(site)
    now = _whole_minute(now or datetime.now(timezone.utc))
    if not month:
        return _month(before_first(first_of(now, zone)), zone, now)
    parts = _MONTH.fullmatch(month.strip())
    if parts is None or not (1 <= int(parts[2]) <= 12 and 1970 <= int(parts[1]) < 9999):
        raise UsageError(_("--month: {text!r} is no month").format(text=month), hint="--month 2026-10")
    first = date(int(parts[1]), int(parts[2]), 1)
    if _midnight(first, zone) >= now:
        raise UsageError(_("--month: {text} has not begun yet").format(text=month), hint="--month 2026-10")
    return _month(first, zone, now)


def between(site: Site, since: datetime, until: datetime, now: datetime | None = None) -> Period:
    """Return the time between two moments, until now at most. Raises UsageError where it is none."""
    zone = jobs.zone_of(site)
    now = now or datetime.now(timezone.utc)
    first, end = _whole_minute(since), min(_end_of_minute(until), _whole_minute(now))
    if since < min(until, now):
        # Of some seconds the minute in which they lie is told, though it may not be over.
        end = max(end, first + timedelta(minutes=1))
    if first >= end:
        raise UsageError(_("between --since and --until is no time"), hint="--since 7d --until today")
    last_day = (end - timedelta(minutes=1)).astimezone(zone).date()
    days = sorted({first.astimezone(zone).date(), last_day})
    return Period(first, end, "/".join(day.isoformat() for day in days), is_whole=until <= now)


def words(site: Site, period: Period) -> str:
    """Return a period as a sentence has it: a month by its name, else from when to when by the clock of the site."""
    if period.is_month:
        return _("in {month}").format(month=period.label)
    zone = jobs.zone_of(site)
    since, until = (f"{each.astimezone(zone):%Y-%m-%d %H:%M}" for each in (period.since, period.until))
    if since[:10] == until[:10]:
        until = until[11:]
    return _("from {since} to {until}").format(since=since, until=until)


def options(site: Site, period: Period) -> str:
    """Return what to type for the same period: it means the same on every machine."""
    if period.is_month:
        return f"--month {period.label}"
    zone = jobs.zone_of(site)
    since, until = (
        each.astimezone(zone).isoformat(timespec="minutes") for each in (period.since, period.until)
    )
    return f"--since {since} --until {until}"


def before(site: Site, period: Period, months: int) -> tuple[Period, ...]:
    """Return so many months up to that in which a period ends, the oldest first; the last one until then at most."""
    zone = jobs.zone_of(site)
    first = first_of(period.until - timedelta(minutes=1), zone)
    found = []
    for _number in range(months):
        found.append(_month(first, zone, period.until))
        first = before_first(first)
    return tuple(reversed(found))


def days(site: Site, period: Period) -> tuple[tuple[date, datetime, datetime], ...]:
    """Return the days of a period in the site's time zone, each with the part of it that lies in the period."""
    zone = jobs.zone_of(site)
    day = period.since.astimezone(zone).date()
    found = []
    while (begins := _midnight(day, zone)) < period.until:
        ends = _midnight(day + timedelta(days=1), zone)
        found.append((day, max(begins, period.since), min(ends, period.until)))
        day += timedelta(days=1)
    return tuple(found)


def first_of(moment: datetime, zone: tzinfo) -> date:
    """Return the first day of the month in which a moment lies."""
    return moment.astimezone(zone).date().replace(day=1)


def before_first(first: date) -> date:
    """Return the first day of the month before."""
    return (first - timedelta(days=1)).replace(day=1)


def _month(first: date, zone: tzinfo, now: datetime) -> Period:
    following = (first + timedelta(days=31)).replace(day=1)
    since, until = _midnight(first, zone), _midnight(following, zone)
    return Period(since, min(until, now), f"{first:%Y-%m}", is_month=True, is_whole=until <= now)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """Return when a day begins there, in UTC; where midnight does not exist, the moment at which the clocks go forward."""
    return datetime.combine(day, time(), zone).astimezone(timezone.utc)


def _whole_minute(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(second=0, microsecond=0)


def _end_of_minute(moment: datetime) -> datetime:
    """Return the end of the minute of a moment."""
    minute = _whole_minute(moment)
    return minute if minute == moment else minute + timedelta(minutes=1)
