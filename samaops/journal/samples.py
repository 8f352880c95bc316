"""The samples of each minute, in the database of the history, and what becomes of them with age.

A minute is one row. After ``KEPT_MINUTES_DAYS`` the minutes of an hour become a row of each subject, after
``KEPT_HOURS_DAYS`` the hours of a day: which state it was in stays known to the minute, of values their number, sum, largest,
last, and how often each was (in steps of 5 %). Figures are taken from these steps at any age: they do not change with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from samaops.facts.sample import DEGRADED, DOWN, UNOBSERVED, UP, Minute, Sample
from samaops.i18n import _
from samaops.journal.database import HistoryError, failures
from samaops.journal.history import Journal
from samaops.model.typed import ready

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

KEPT_MINUTES_DAYS, KEPT_HOURS_DAYS, KEPT_DAYS = 40, 400, 800
_HOUR, _DAY = 60, 1440
# So much is condensed at once: what was not for long is caught up in some hours.
_MOST_AT_ONCE = 48
_READ_AT_ONCE = 2000
_STEP = math.log(1.05)
_LETTERS = {UP: "u", DEGRADED: "g", DOWN: "d", UNOBSERVED: "n"}
_ONE = {state: ((state, 1),) for state in _LETTERS}
_STATES = {letter: state for state, letter in _LETTERS.items()}
# Of these units it is kept how often each value was: of others nobody asks for a percentile.
_WITH_STEPS = ("ms",)
# Nearly all samples are no more than a subject, a state, a value and its unit.
_COMMON = 4
# Our own row: what looking cost, in ms of processor time.
COST = "samaops/cost"
# Before a subject that a second look of its minute saw up again, which the first one had seen down.
AGAIN = "samaops/again/"
_NUMBERS = (int, float, type(None))
# What a row raises that others have put a value of another kind into.
_SPOILED = (msgspec.DecodeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
_encode, _decode = msgspec.json.encode, msgspec.json.decode


class Figures(Struct, array_like=True):
    """The values of some minutes: how many, their sum, the largest, the last, and how often each step of 5 % was.

    ``oldest_seconds`` is the greatest age of a message.
    """

    unit: str = ""
    count: int = 0
    total: float = 0.0
    largest: float | None = None
    last: float | None = None
    steps: dict[int, int] = {}
    oldest_seconds: float | None = None

    def add(self, value: float, unit: str = "", age_seconds: float | None = None) -> None:
        """Take in the value of one more minute, later than those before."""
        if unit:
            self.unit = unit
        self.count += 1
        self.total += value
        self.last = value
        if self.largest is None or value > self.largest:
            self.largest = value
        if age_seconds is not None:
            self.oldest_seconds = max(age_seconds, self.oldest_seconds or 0.0)
        if self.unit in _WITH_STEPS:
            step = _step(value)
            self.steps[step] = self.steps.get(step, 0) + 1

    def join(self, other: Figures) -> None:
        """Take in the figures of later minutes."""
        self.unit = other.unit or self.unit
        self.count += other.count
        self.total += other.total
        self.last = other.last if other.last is not None else self.last
        for name in ("largest", "oldest_seconds"):
            known = [each for each in (getattr(self, name), getattr(other, name)) if each is not None]
            setattr(self, name, max(known, default=None))
        for step, count in other.steps.items():
            self.steps[step] = self.steps.get(step, 0) + count

    def percentile(self, percent: float) -> float | None:
        """Return the value that so many percent do not exceed, to 2.5 %; None without values."""
        counted = sum(self.steps.values())
        wanted, seen = math.ceil(counted * percent / 100), 0
        for step in sorted(self.steps):
            seen += self.steps[step]
            if seen >= wanted:
                return 0.0 if step == _NOTHING else round(math.exp(step * _STEP), 3)
        return None


_NOTHING = -1000


def _step(value: float) -> int:
    return round(math.log(value) / _STEP) if value > 0 else _NOTHING


Runs = tuple[tuple[str, int], ...]


class Piece(Struct, frozen=True):
    """A subject from a minute on (since 1970, UTC): how many minutes in which state, one after the other, and its figures.

    Of a single minute ``sample`` stands in their place.
    """

    subject: str
    at: int
    runs: Runs
    figures: Figures | None = None
    sample: Sample | None = None

    def add_to(self, figures: Figures) -> None:
        """Put the values into figures of earlier minutes."""
        if self.figures is not None:
            figures.join(self.figures)
        elif self.sample is not None and self.sample.value is not None:
            figures.add(self.sample.value, self.sample.unit, self.sample.age_seconds)

    @property
    def has_values(self) -> bool:
        """Whether any value is known."""
        return self.figures is not None or (self.sample is not None and self.sample.value is not None)


class Samples:
    """The samples of one site. Every method raises HistoryError when the database cannot be read or written."""

    def __init__(self, journal: Journal, site: str) -> None:
        self._journal = journal
        self._site = site
        self._is_made = False

    def prepare(self) -> None:
        """Make the tables where they are missing."""
        if self._is_made:
            return
        self._journal.prepare_tables(_minutes(), _condensed())
        self._is_made = True

    def add(self, minute: Minute) -> bool:
        """Keep a minute; return False where another one has kept it already.

        Of a second look only that is kept that something which the first one saw down was up again.
        """
        if self.add_all([minute]) == 1:
            return True
        self._add_again(minute)
        return False

    def _add_again(self, minute: Minute) -> None:
        from sqlalchemy import select

        table = _minutes()
        this = (table.c.site == self._site, table.c.at == _number(minute.at))
        with failures(), self._journal.engine().begin() as connection:
            row = connection.execute(select(table).where(*this)).first()
            if row is None:
                return
            states = {piece.subject: piece.runs[0][0] for piece in _pieces(row)}
            back = [
                [AGAIN + sample.subject, _LETTERS[UP]]
                for sample in minute.samples
                if sample.state in (UP, DEGRADED)
                and states.get(sample.subject) == DOWN
                and AGAIN + sample.subject not in states
            ]
            if back:
                seen = _encode([*_decode(row.seen), *back]).decode()
                connection.execute(table.update().where(*this).values(seen=seen))

    def add_all(self, minutes: Sequence[Minute]) -> int:
        """Keep minutes of which none is known yet; return how many: none of them where one is known."""
        from sqlalchemy.exc import IntegrityError

        self.prepare()
        rows = [
            {"site": self._site, "at": _number(minute.at), "seen": _seen(minute).decode()}
            for minute in minutes
        ]
        try:
            with failures(), self._journal.engine().begin() as connection:
                connection.execute(_minutes().insert(), rows)
        except HistoryError as error:
            if isinstance(error.__cause__, IntegrityError):
                return 0
            raise
        return len(rows)

    def read(self, since: datetime, until: datetime) -> Iterator[Piece]:
        """Yield what is known of the minutes from one moment to before another, of each subject in the order of time."""
        from sqlalchemy import select

        first, end = _number(since), _number(until)
        table = _condensed()
        near = select(table).where(table.c.site == self._site, table.c.at > first - _DAY, table.c.at < end)
        for row in self._rows(near.order_by(table.c.subject, table.c.at), table.name):
            piece = _cut(_piece(row), first, end)
            if piece is not None:
                yield piece
        yield from self._young(first, end)

    def _young(self, first: int, end: int) -> Iterator[Piece]:
        from sqlalchemy import select

        table = _minutes()
        chosen = select(table).where(table.c.site == self._site, table.c.at >= first, table.c.at < end)
        for row in self._rows(chosen.order_by(table.c.at), table.name):
            yield from _pieces(row)

    def _rows(self, query: Any, table: str) -> Iterator[Any]:
        """Yield the rows of a query, some at a time; a table that does not exist yet has none."""
        from sqlalchemy import inspect

        if not self._journal.rows_of(query.limit(1), table):
            return
        with failures(), self._journal.engine().connect() as connection:
            if inspect(connection).has_table(table):
                yield from connection.execution_options(yield_per=_READ_AT_ONCE).execute(query)

    def condense(self, now: datetime) -> int:
        """Make hours of old minutes, days of old hours, and take out what is older still; return how many rows that made."""
        self.prepare()
        made = 0
        for table, days, length in (
            (_minutes(), KEPT_MINUTES_DAYS, _HOUR),
            (_condensed(), KEPT_HOURS_DAYS, _DAY),
        ):
            border = _number(now - timedelta(days=days)) // length * length
            with failures(), self._journal.engine().begin() as connection:
                for _turn in range(_MOST_AT_ONCE):
                    start = self._oldest(connection, table, border, length)
                    if start is None:
                        break
                    made += self._merge(connection, table, start, length)
        oldest = _number(now - timedelta(days=KEPT_DAYS))
        table = _condensed()
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(table.delete().where(table.c.site == self._site, table.c.at < oldest))
        return made

    def _oldest(self, connection: Connection, table: Table, border: int, length: int) -> int | None:
        """Return the beginning of the oldest hour or day that is to be made."""
        from sqlalchemy import func, select

        chosen = select(func.min(table.c.at)).where(table.c.site == self._site, table.c.at < border)
        if "minutes" in table.c:
            chosen = chosen.where(table.c.minutes < length)
        at = connection.execute(chosen).scalar_one()
        return None if at is None else int(at) // length * length

    def _merge(self, connection: Connection, table: Table, start: int, length: int) -> int:
        """Put rows into those of one hour or one day."""
        from sqlalchemy import select

        within = (table.c.site == self._site, table.c.at >= start, table.c.at < start + length)
        rows = connection.execute(select(table).where(*within).order_by(table.c.at)).all()
        pieces = [_piece(row) for row in rows] if "minutes" in table.c else [
            piece for row in rows for piece in _pieces(row)
        ]  # fmt: skip
        connection.execute(table.delete().where(*within))
        values = [
            _row(self._site, _joined(subject, list(of_it), start, length))
            for subject, of_it in groupby(sorted(pieces, key=lambda each: (each.subject, each.at)), _subject)
        ]
        # What an earlier turn has made of a part of this hour is there already only where clocks were set.
        into = _condensed()
        for value in values:
            same = (into.c.site == self._site, into.c.subject == value["subject"], into.c.at == start)
            connection.execute(into.delete().where(*same))
        if values:
            connection.execute(into.insert(), values)
        return len(values)


@contextmanager
def opened(journal: Journal, site: str) -> Iterator[Samples]:
    """Yield the samples of a site, and close the journal behind them."""
    try:
        yield Samples(journal, site)
    finally:
        journal.close()


def _subject(piece: Piece) -> str:
    return piece.subject


def _number(moment: datetime) -> int:
    return int(moment.timestamp() // 60)


def _moment(number: int) -> datetime:
    return datetime.fromtimestamp(number * 60, timezone.utc)


def _seen(minute: Minute) -> bytes:
    """Return a minute as its row has it: what is at the end of a sample and empty is left out."""
    listed: list[list[Any]] = []
    for sample in minute.samples:
        parts: list[Any] = [
            sample.subject, _LETTERS[sample.state], None if sample.value is None else round(sample.value, 3), sample.unit,
            sample.age_seconds, sample.reason,
        ]  # fmt: skip
        while parts[-1] in (None, ""):
            parts.pop()
        listed.append(parts)
    if minute.cpu_ms is not None:
        listed.append([COST, _LETTERS[UP], minute.cpu_ms, "ms"])
    return _encode(listed)


def sample_of(parts: Sequence[Any]) -> Sample:
    """Return a sample as its row has it."""
    if len(parts) == _COMMON:
        return Sample(parts[0], _STATES[parts[1]], parts[2], parts[3])
    subject, letter, value, unit, age, reason = (*parts, *(None,) * 6)[:6]
    return Sample(subject, _STATES[letter], value, unit or "", age, reason or "")


def _pieces(row: Any) -> Iterator[Piece]:
    try:
        listed = _decode(row.seen)
        for parts in listed:
            sample = sample_of(parts)
            if type(sample.subject) is not str or type(sample.value) not in _NUMBERS:
                raise _unreadable(row.at)
            yield Piece(sample.subject, row.at, _ONE[sample.state], None, sample)
    except _SPOILED as error:
        raise _unreadable(row.at) from error


def _piece(row: Any) -> Piece:
    try:
        figures = _decode(row.figures, type=ready(Figures | None))
        if type(row.subject) is not str:
            raise _unreadable(row.at)
        return Piece(row.subject, row.at, tuple(_runs(row.states)), figures)
    except _SPOILED as error:
        raise _unreadable(row.at) from error


def _unreadable(at: object) -> HistoryError:
    try:
        moment = f"{_moment(at):%Y-%m-%d %H:%M} UTC" if isinstance(at, int) else str(at)[:20]
    except (ValueError, ArithmeticError, OSError):  # no calendar has it
        moment = str(at)[:20]
    return HistoryError(_("the samples of {moment} cannot be read").format(moment=moment))


def _runs(text: str) -> Iterator[tuple[str, int]]:
    """Yield states and how many minutes each was, of a text such as ``u55d5``."""
    place = 0
    while place < len(text):
        end = place + 1
        while end < len(text) and text[end].isdigit():
            end += 1
        yield _STATES[text[place]], int(text[place + 1 : end])
        place = end


def _row(site: str, piece: Piece) -> dict[str, Any]:
    states = "".join(f"{_LETTERS[state]}{minutes}" for state, minutes in piece.runs)
    return {
        "site": site, "subject": piece.subject, "at": piece.at, "minutes": sum(count for _state, count in piece.runs),
        "states": states, "figures": _encode(piece.figures).decode(),
    }  # fmt: skip


def joined(runs: Iterable[tuple[str, int]]) -> Runs:
    """Return states one after the other, those that are the same as one."""
    found: list[tuple[str, int]] = []
    for state, count in runs:
        if count <= 0:
            continue
        if found and found[-1][0] == state:
            found[-1] = (state, found[-1][1] + count)
        else:
            found.append((state, count))
    return tuple(found)


def _joined(subject: str, pieces: Sequence[Piece], start: int, length: int) -> Piece:
    """Return one piece of an hour or a day; minutes of which nothing is known were not observed."""
    runs: list[tuple[str, int]] = []
    figures: Figures | None = None
    place = start
    for piece in pieces:
        if piece.at < place:  # the clock was set back: what was seen first stays
            continue
        runs += [(UNOBSERVED, piece.at - place), *piece.runs]
        place = piece.at + sum(count for _state, count in piece.runs)
        if piece.has_values:
            figures = figures or Figures(steps={})
            piece.add_to(figures)
    runs.append((UNOBSERVED, start + length - place))
    return Piece(subject, start, joined(runs), figures)


def _cut(piece: Piece, first: int, end: int) -> Piece | None:
    """Return what of a piece lies between two minutes; its figures only where it begins there."""
    runs: list[tuple[str, int]] = []
    place = piece.at
    for state, count in piece.runs:
        low, high = max(place, first), min(place + count, end)
        if low < high:
            runs.append((state, high - low))
        place += count
    if not runs:
        return None
    return Piece(
        piece.subject, max(piece.at, first), tuple(runs), piece.figures if piece.at >= first else None
    )


@cache
def _minutes() -> Table:
    from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

    return Table(
        "samaops_minutes",
        MetaData(),
        Column("site", String(200), primary_key=True),
        Column("at", BigInteger, primary_key=True, autoincrement=False),
        Column("seen", Text, nullable=False),
        sqlite_with_rowid=False,
    )


@cache
def _condensed() -> Table:
    from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

    return Table(
        "samaops_samples",
        MetaData(),
        Column("site", String(200), primary_key=True),
        Column("subject", String(200), primary_key=True),
        Column("at", BigInteger, primary_key=True, autoincrement=False),
        Column("minutes", Integer, nullable=False),
        Column("states", Text, nullable=False),
        Column("figures", Text, nullable=False),
        sqlite_with_rowid=False,
    )
