"""The silences, and what was told of which trouble, in the database of the history: runs by cron, by the scheduler and by hand share both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.errors import UnavailableError
from samaops.facts.telling import Seen, Silence, Trouble
from samaops.journal import columns
from samaops.journal.database import HistoryError, failures, readable
from samaops.journal.history import Journal
from samaops.model.encoding import decode, encode

if TYPE_CHECKING:
    from sqlalchemy import Table

KEPT_DAYS = 400
# A trouble that nobody has looked at for so long is not said to be over, and not kept either.
FORGOTTEN_DAYS = 100
_MOST_LISTED = 200


class Telling:
    """What is told of one site, and what is not. Every method raises HistoryError when the database cannot be read or written."""

    def __init__(self, journal: Journal, site: str) -> None:
        self._journal = journal
        self._site = site

    def prepare(self) -> None:
        """Make the tables where they are missing."""
        self._journal.prepare_tables(_silences(), _troubles())

    def silences(self) -> tuple[Silence, ...]:
        """Return the silences, the newest first, those that are over among them."""
        from sqlalchemy import select

        table = _silences()
        chosen = select(table).where(table.c.site == self._site).order_by(table.c.number.desc())
        with readable():
            return tuple(_silence(row) for row in self._rows(chosen.limit(_MOST_LISTED), table.name))

    def next_number(self) -> int:
        """Return the number of the next silence."""
        from sqlalchemy import func, select

        table = _silences()
        rows = self._rows(
            select(func.max(table.c.number).label("number")).where(table.c.site == self._site), table.name
        )
        return (rows[0].number or 0) + 1 if rows else 1

    def silence(self, silence: Silence) -> None:
        """Write a silence; one of the same number by the same person is one that goes on."""
        self.prepare()
        table = _silences()
        oldest = columns.text(datetime.now(timezone.utc) - timedelta(days=KEPT_DAYS))
        of_this = (table.c.site == self._site, table.c.number == silence.number)
        with failures(), self._journal.engine().begin() as connection:
            row = _row(silence)
            known = connection.execute(table.select().where(*of_this)).first()
            if known is None:
                connection.execute(table.insert(), {"site": self._site, "number": silence.number, **row})
            elif known.at == row["at"]:
                connection.execute(table.update().where(*of_this), row)
            else:  # another one was given the number meanwhile
                raise HistoryError(str(silence.number))
            of_site = (table.c.site == self._site, table.c.until < oldest)
            connection.execute(table.delete().where(*of_site))

    def end(self, number: int, by: str, why: str, at: datetime) -> None:
        """End a silence; one that is over stays as it is."""
        self._change(number, lambda silence: _ended(silence, by, why, at))

    def saw(self, number: int, seen: dict[str, Seen]) -> None:
        """Keep how bad what is silenced was when it was first seen to be bad."""
        self._change(number, lambda silence: replace(silence, seen={**seen, **silence.seen}))

    def _change(self, number: int, change: Any) -> None:
        self.prepare()
        table = _silences()
        of_this = (table.c.site == self._site, table.c.number == number)
        with failures(), self._journal.engine().begin() as connection:
            row = connection.execute(table.select().where(*of_this).with_for_update()).first()
            if row is not None:
                with readable():
                    changed = _row(change(_silence(row)))
                connection.execute(table.update().where(*of_this), changed)

    def troubles(self) -> tuple[Trouble, ...]:
        """Return the troubles that go on, or whose end is not told yet."""
        from sqlalchemy import select

        table = _troubles()
        chosen = select(table).where(table.c.site == self._site).order_by(table.c.key)
        with readable():
            return tuple(
                decode(json.loads(row.details), Trouble, "trouble") for row in self._rows(chosen, table.name)
            )

    def keep_troubles(self, going_on: Sequence[Trouble], over: Iterable[str], now: datetime) -> None:
        """Keep what is known of some troubles, and forget others."""
        self.prepare()
        table = _troubles()
        oldest = columns.text(now - timedelta(days=FORGOTTEN_DAYS))
        keys = [_digest(key) for key in (*(trouble.key for trouble in going_on), *over)]
        rows = [
            {
                "site": self._site,
                "key": _digest(trouble.key),
                "seen_at": columns.text(trouble.seen_at),
                "details": json.dumps(encode(trouble), ensure_ascii=False),
            }
            for trouble in going_on
        ]
        of_site = table.c.site == self._site
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(table.delete().where(of_site, table.c.key.in_(keys)))
            connection.execute(table.delete().where(of_site, table.c.seen_at < oldest))
            if rows:
                connection.execute(table.insert(), rows)

    def _rows(self, query: Any, table: str) -> Sequence[Any]:
        try:
            return self._journal.rows_of(query, table)
        except UnavailableError as error:
            raise HistoryError(error.message, error.hint) from error


class _Details(Struct, frozen=True):
    """What of a silence is in no column of its own."""

    reason: str
    by: str
    seen: dict[str, Seen] = {}
    ended_by: str = ""
    ended_why: str = ""


def _ended(silence: Silence, by: str, why: str, at: datetime) -> Silence:
    is_over = silence.ended_at is not None
    return silence if is_over else replace(silence, ended_at=at, ended_by=by, ended_why=why)


def _row(silence: Silence) -> dict[str, Any]:
    details = _Details(silence.reason, silence.by, dict(silence.seen), silence.ended_by, silence.ended_why)
    return {
        "code": silence.code, "subject": silence.subject, "at": columns.text(silence.at), "until": columns.text(silence.until),
        "ended_at": columns.text_or_none(silence.ended_at),
        "details": json.dumps(encode(details), ensure_ascii=False),
    }  # fmt: skip


def _silence(row: Any) -> Silence:
    details = decode(json.loads(row.details), _Details, "silence")
    kept = {name: getattr(row, name) for name in ("number", "code", "subject", "until", "at", "ended_at")}
    silence = decode({**kept, **encode(details)}, Silence, "silence")
    columns.require_moments(silence.at, silence.until, silence.ended_at)
    return silence


def _digest(key: str) -> str:
    """Return what stands for a key: a name that comes from outside may be longer than what a database indexes."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


@cache
def _silences() -> Table:
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text

    return Table(
        "samaops_silences",
        MetaData(),
        Column("site", String(200), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("code", String(200), nullable=False),
        Column("subject", Text, nullable=False),
        Column("at", String(40), nullable=False),
        Column("until", String(40), nullable=False),
        Column("ended_at", String(40)),
        Column("details", Text, nullable=False),
    )


@cache
def _troubles() -> Table:
    from sqlalchemy import Column, MetaData, String, Table, Text

    return Table(
        "samaops_troubles",
        MetaData(),
        Column("site", String(200), primary_key=True),
        Column("key", String(64), primary_key=True),
        Column("seen_at", String(40), nullable=False),
        Column("details", Text, nullable=False),
    )
