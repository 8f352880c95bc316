"""The two tables of the ledger, and how moments stand in them."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING

from samaops.journal.history import require_moments

if TYPE_CHECKING:
    from sqlalchemy import Table

_NAME_CHARACTERS = 80


@cache
def runs() -> Table:
    """A row a run of a job."""
    from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, UniqueConstraint

    number = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts only what it calls INTEGER
    return Table(
        "samaops_runs",
        MetaData(),
        Column("number", number, primary_key=True, autoincrement=True),
        Column("site", String(200), nullable=False),
        Column("job", String(40), nullable=False),
        Column("planned_at", String(40), nullable=False, index=True),
        Column("state", String(20), nullable=False, index=True),
        Column("trigger", String(20), nullable=False),
        Column("started_at", String(40)),
        Column("ended_at", String(40)),
        Column("reason", Text, nullable=False),
        Column("exit_code", Integer),
        Column("log", Text, nullable=False),
        Column("host", String(255), nullable=False),
        Column("pid", BigInteger, nullable=False),
        Column("process_start", String(100), nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("count", Integer, nullable=False),
        Column("until", String(40)),
        UniqueConstraint("site", "job", "planned_at"),
    )


@cache
def states() -> Table:
    """A row each for who leads, and for every job that is paused or known; ``name`` says which."""
    from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table

    return Table(
        "samaops_schedule",
        MetaData(),
        Column("site", String(200), primary_key=True),
        Column("name", String(_NAME_CHARACTERS), primary_key=True),
        Column("holder", String(400), nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("until", String(40), nullable=False),
        Column("details", JSON, nullable=False),
    )


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
