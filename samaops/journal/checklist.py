"""What is known of the items of the checklists, in the database of the history: what was seen, signed and measured.

Rows are added and never changed. What was seen is written when it is another than before, so that the row tells since when.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

from samaops.errors import UnavailableError
from samaops.facts.checklist import Entry
from samaops.journal import columns
from samaops.journal.database import HistoryError, failures
from samaops.journal.history import Journal
from samaops.model.encoding import keyed

if TYPE_CHECKING:
    from sqlalchemy import Table

TABLE = "samaops_checklist"
# Five lists of forty items, looked at for months: no site comes near.
_MOST_ROWS = 20_000
_DETAILS = ("state", "status", "reason", "by", "note", "signed_at", "keys")


class Book:
    """The rows of one site. Every method raises HistoryError when the database cannot be read or written."""

    def __init__(self, journal: Journal, site: str) -> None:
        self._journal = journal
        self._site = site

    def entries(self) -> tuple[Entry, ...]:
        """Return what is written, the oldest first; a book that does not exist yet is empty, and is not made."""
        from sqlalchemy import select

        table = _table()
        chosen = (
            select(table).where(table.c.site == self._site).order_by(table.c.number.desc()).limit(_MOST_ROWS)
        )
        try:
            rows = self._journal.rows_of(chosen, TABLE)
        except UnavailableError as error:
            raise HistoryError(error.message, error.hint) from error
        return tuple(
            Entry(str(row.at), str(row.checklist), str(row.item), str(row.kind), **_details(row.details))
            for row in reversed(rows)
        )

    def add(self, entries: Sequence[Entry]) -> None:
        """Write rows in one transaction; the time of each is its own, that of now where it has none."""
        self._journal.prepare_tables(_table())
        now = columns.text(datetime.now(timezone.utc))
        rows = [
            {
                "at": entry.at or now, "site": self._site, "checklist": entry.checklist, "item": entry.item,
                "kind": entry.kind, "details": json.dumps({name: getattr(entry, name) for name in _DETAILS}, ensure_ascii=False),
            }
            for entry in entries
        ]  # fmt: skip
        with failures(), self._journal.engine().begin() as connection:
            connection.execute(_table().insert(), rows)


def _details(text: str) -> dict[str, Any]:
    """Return what a row holds besides; of one that others have spoiled there is nothing, and what is not known is left out."""
    try:
        details = keyed(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return {}
    keys = details.get("keys")
    known: dict[str, Any] = {
        name: details[name] for name in _DETAILS if isinstance(details.get(name), str) and name != "keys"
    }
    return {**known, "keys": tuple(map(str, keys)) if isinstance(keys, list) else ()}


@cache
def _table() -> Table:
    from sqlalchemy import Column, MetaData, String, Table, Text

    return Table(
        TABLE,
        MetaData(),
        columns.number(),
        Column("at", String(40), nullable=False),
        Column("site", String(200), nullable=False, index=True),
        Column("checklist", String(40), nullable=False),
        Column("item", String(80), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("details", Text, nullable=False),
    )
