"""What runs saw, kept beside the journal of changes: numbers that later runs compare with. No secrets.

Unlike the journal, which is append-only, records older than their time are taken out when a new one is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from samaops.errors import UnavailableError
from samaops.journal import columns
from samaops.journal.database import HistoryError, failures, readable
from samaops.journal.history import Journal
from samaops.model.encoding import keyed

if TYPE_CHECKING:
    from sqlalchemy import Table

TABLE = "samaops_records"
# The monthly report looks back a year.
KEPT_DAYS = 400


class Record(Struct, frozen=True):
    """What one run kept; ``at`` is ISO 8601 in UTC, ``details`` are plain JSON values."""

    at: str
    details: Mapping[str, Any]


class Records:
    """The records of one kind and site, in the database of the journal."""

    def __init__(self, journal: Journal, site: str, kind: str) -> None:
        self._journal = journal
        self._site = site
        self._kind = kind

    def last(self, count: int) -> tuple[Record, ...]:
        """Return the last records, newest first; proves that one could be written. Raises HistoryError."""
        from sqlalchemy import select

        self._journal.prepare_tables(_table())
        table = _table()
        chosen = select(table).where(table.c.site == self._site, table.c.kind == self._kind)
        with failures(), self._journal.engine().connect() as connection:
            rows = connection.execute(chosen.order_by(table.c.number.desc()).limit(count)).all()
        return tuple(map(_record, rows))

    def between(self, since: datetime, until: datetime) -> tuple[Record, ...]:
        """Return the records of a time, the oldest first; a history that does not exist yet has none. Raises HistoryError."""
        from sqlalchemy import select

        table = _table()
        chosen = select(table).where(
            table.c.site == self._site,
            table.c.kind == self._kind,
            table.c.at >= columns.text(since),
            table.c.at < columns.text(until),
        )
        try:
            rows = self._journal.rows_of(chosen.order_by(table.c.number), TABLE)
        except UnavailableError as error:
            raise HistoryError(error.message, error.hint) from error
        return tuple(map(_record, rows))

    def add(self, details: Mapping[str, Any]) -> None:
        """Write a record, and take out those that are too old. Raises HistoryError."""
        self._journal.prepare_tables(_table())
        table, now = _table(), datetime.now(timezone.utc)
        oldest = columns.text(now - timedelta(days=KEPT_DAYS))
        values = {
            "at": columns.text(now), "site": self._site, "kind": self._kind,
            "details": json.dumps(details, ensure_ascii=False),
        }  # fmt: skip
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(table.insert(), values)
            of_this_kind = (table.c.site == self._site, table.c.kind == self._kind)
            connection.execute(table.delete().where(*of_this_kind, table.c.at < oldest))


def _record(row: Any) -> Record:
    with readable(row.number):
        columns.moment(row.at)
        return Record(row.at, keyed(json.loads(row.details)))


def _table() -> Table:
    from sqlalchemy import Column, MetaData, String, Table, Text

    return Table(
        TABLE,
        MetaData(),
        columns.number(),
        Column("at", String(40), nullable=False),
        Column("site", String(200), nullable=False, index=True),
        Column("kind", String(40), nullable=False),
        Column("details", Text, nullable=False),
    )
