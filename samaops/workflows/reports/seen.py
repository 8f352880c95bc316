"""What the samples of a period come to: of each subject in which state it was when, and its figures of each day."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo

from msgspec import Struct

from samaops.errors import UnavailableError
from samaops.facts.availability import Period
from samaops.facts.sample import (
    DATABASE,
    DEGRADED,
    DOWN,
    MEMBER,
    QUEUE,
    REDIS,
    SERVICE,
    UNOBSERVED,
    UP,
    Span,
)
from samaops.i18n import _
from samaops.journal.database import HistoryError
from samaops.journal.samples import AGAIN, Figures, Piece, Samples
from samaops.site import jobs
from samaops.site.site import Site
from samaops.workflows.reports.sampling import journal_of

# What is there or is not; of what fills or counts, which is told by its values, states are not followed.
WITH_STATES = (SERVICE, MEMBER, DATABASE, REDIS, QUEUE)
# From one minute (since 1970) to before another.
Interval = tuple[int, int]
_MINUTE = timedelta(minutes=1)


class Counts(Struct):
    """How many minutes of a time were in which state."""

    up: int = 0
    degraded: int = 0
    down: int = 0
    unobserved: int = 0

    @property
    def minutes(self) -> int:
        """All of them."""
        return self.up + self.degraded + self.down + self.unobserved

    @property
    def there(self) -> int:
        """Those in which it served, be it degraded."""
        return self.up + self.degraded

    @property
    def observed(self) -> int:
        """Those of which the state is known."""
        return self.there + self.down

    def less(self, other: Counts) -> Counts:
        """Return what is left without a part of it."""
        return Counts(
            self.up - other.up, self.degraded - other.degraded, self.down - other.down,
            self.unobserved - other.unobserved,
        )  # fmt: skip


class Subject:
    """One subject: the stretches of its states without gaps between them, in the order of time, and figures by day."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.states: list[str] = []
        self.figures: dict[date, Figures] = {}
        # The minutes in which it was down, and was up before they were over.
        self.again: set[int] = set()

    def take(self, at: int, state: str, minutes: int) -> None:
        """Take in a stretch; what overlaps with an earlier one is known already."""
        end = at + minutes
        if self.ends:
            at = max(at, self.ends[-1])
            if at >= end:
                return
            if at == self.ends[-1] and state == self.states[-1]:
                self.ends[-1] = end
                return
        self.starts.append(at)
        self.ends.append(end)
        self.states.append(state)

    def within(self, first: int, end: int) -> Iterator[tuple[int, int, str]]:
        """Yield the stretches of a time, whole: what nobody saw is not observed."""
        place = first
        for number in range(max(0, bisect_right(self.starts, first) - 1), len(self.starts)):
            low, high = max(self.starts[number], first), min(self.ends[number], end)
            if self.starts[number] >= end:
                break
            if low >= high:
                continue
            if place < low:
                yield place, low, UNOBSERVED
            yield low, high, self.states[number]
            place = high
        if place < end:
            yield place, end, UNOBSERVED

    def count(self, first: int, end: int) -> Counts:
        """Count the minutes of a time by state."""
        counts = dict.fromkeys((UP, DEGRADED, DOWN, UNOBSERVED), 0)
        for low, high, state in self.within(first, end):
            counts[state] += high - low
        return Counts(counts[UP], counts[DEGRADED], counts[DOWN], counts[UNOBSERVED])

    def spans(self, first: int, end: int, state: str) -> tuple[Span, ...]:
        """Return when it was in a state."""
        return tuple(
            Span(moment(low), moment(high), state, self._is_over(high))
            for low, high, each in self.within(first, end)
            if each == state
        )

    def _is_over(self, minute: int) -> bool:
        """Return whether what was down up to a minute was seen up in it, or later and before it was down again."""
        if minute - 1 in self.again:
            return True
        for number in range(max(0, bisect_right(self.starts, minute) - 1), len(self.starts)):
            if self.ends[number] > minute and self.states[number] != UNOBSERVED:
                return self.states[number] != DOWN
        return False

    def figures_of(self, first: date, last: date) -> Figures:
        """Return the figures of some days, the last among them."""
        whole = Figures(steps={})
        for day in sorted(self.figures):
            if first <= day <= last:
                whole.join(self.figures[day])
        return whole


class Seen:
    """All subjects of a time. Of what lies behind its ``end`` (a minute) no more is known than which state it was in."""

    def __init__(self, pieces: Iterable[Piece], zone: tzinfo, end: int | None = None) -> None:
        self.subjects: dict[str, Subject] = {}
        self._zone = zone
        hour_of, day = -1, date.min
        for piece in pieces:
            if piece.subject.startswith(AGAIN):
                self._take_again(piece)
                continue
            subject = self.subjects.get(piece.subject)
            is_behind = end is not None and piece.at >= end
            if subject is None:
                if is_behind and piece.runs[0][0] == UNOBSERVED:
                    continue
                subject = self.subjects[piece.subject] = Subject()
            if piece.subject.partition("/")[0] in WITH_STATES:
                at = piece.at
                for state, minutes in piece.runs:
                    subject.take(at, state, minutes)
                    at += minutes
            if piece.has_values and not is_behind:
                # No zone changes its clock or its day within a quarter of an hour.
                if piece.at // 15 != hour_of:
                    hour_of, day = piece.at // 15, moment(piece.at).astimezone(zone).date()
                figures = subject.figures.get(day)
                if figures is None:
                    figures = subject.figures[day] = Figures(steps={})
                piece.add_to(figures)

    def _take_again(self, piece: Piece) -> None:
        """Take in the minutes in which a subject was down at first and up at last."""
        subject = self.subjects.setdefault(piece.subject.removeprefix(AGAIN), Subject())
        at = piece.at
        for state, minutes in piece.runs:
            if state != UNOBSERVED:
                subject.again.update(range(at, at + minutes))
            at += minutes

    def subject(self, name: str) -> Subject:
        """Return a subject; one that was never seen has nothing."""
        return self.subjects.get(name) or Subject()

    def on_days(self, period: Period) -> Seen:
        """Return the figures of the days of a period alone."""
        first = period.since.astimezone(self._zone).date()
        last = moment(number(period.until) - 1).astimezone(self._zone).date()
        part = Seen((), self._zone)
        for name, subject in self.subjects.items():
            part.subjects[name] = Subject()
            part.subjects[name].figures = {
                day: figures for day, figures in subject.figures.items() if first <= day <= last
            }
        return part

    def figures(self, name: str, period: Period) -> Figures:
        """Return the figures of a subject in a period, of whole days."""
        first = period.since.astimezone(self._zone).date()
        last = moment(number(period.until) - 1).astimezone(self._zone).date()
        return self.subject(name).figures_of(first, last)


def read(site: Site, since: datetime, until: datetime) -> Seen:
    """Return what was seen between two moments, and in the minute behind them, by which one knows what was over then.

    Raises UnavailableError where the history cannot be read.
    """
    journal = journal_of(site)
    try:
        pieces = Samples(journal, site.name).read(since, until + _MINUTE)
        return Seen(pieces, jobs.zone_of(site), number(until))
    except HistoryError as error:
        text = _("The history cannot be read: {reason}").format(reason=error.message)
        raise UnavailableError(text, error.hint or "samaops doctor") from error
    finally:
        journal.close()


def number(moment_: datetime) -> int:
    """Return the minute of a moment, counted from 1970."""
    return int(moment_.timestamp() // 60)


def moment(number_: int) -> datetime:
    """Return when a minute begins, in UTC."""
    return datetime.fromtimestamp(number_ * 60, timezone.utc)


def union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return the same minutes, none of them twice."""
    found: list[Interval] = []
    for low, high in sorted(intervals):
        if low >= high:
            continue
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def counted(subject: Subject, intervals: Sequence[Interval]) -> Counts:
    """Count the minutes of several times that do not overlap."""
    whole = Counts()
    for low, high in intervals:
        counts = subject.count(low, high)
        whole = Counts(
            whole.up + counts.up, whole.degraded + counts.degraded, whole.down + counts.down,
            whole.unobserved + counts.unobserved,
        )  # fmt: skip
    return whole


def by_subject(seen: Seen, kinds: Sequence[str]) -> Mapping[str, Subject]:
    """Return the subjects of some kinds, in the order of these."""
    order = {kind: place for place, kind in enumerate(kinds)}
    names = [name for name in seen.subjects if name.partition("/")[0] in order]
    return {
        name: seen.subjects[name]
        for name in sorted(names, key=lambda name: (order[name.partition("/")[0]], name))
    }
