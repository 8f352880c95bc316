"""What the tables of the history have in common: rows that are counted, and how moments stand in them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Column

_FIRST_YEAR, _LAST_YEAR = 1971, 9998


def number() -> Column[int]:
    """Return the column by which the database counts the rows."""
    from sqlalchemy import BigInteger, Column, Integer

    kind = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts only what it calls INTEGER
    return Column("number", kind, primary_key=True, autoincrement=True)


def text(moment: datetime) -> str:
    """Return a moment as the columns have it: ISO 8601 in UTC, with milliseconds, so that texts sort as moments do."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def text_or_none(moment: datetime | None) -> str | None:
    """Return it likewise; None where there is none."""
    return None if moment is None else text(moment)


def moment(text: str) -> datetime:
    """Return the moment of a column. Raises ValueError for one that no zone's calendar has."""
    read = datetime.fromisoformat(text)
    require_moments(read)
    return read


def moment_or_none(text: str | None) -> datetime | None:
    """Return it likewise; None where there is none."""
    return moment(text) if text else None


def require_moments(*moments: datetime | None) -> None:
    """Raise ValueError for a moment that no zone's calendar has, or that says no zone."""
    for moment in moments:
        if moment is not None and (moment.tzinfo is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR):
            raise ValueError(str(moment))
