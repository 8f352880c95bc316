"""The two tables of the ledger."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from samaops.journal import columns

if TYPE_CHECKING:
    from sqlalchemy import Table

_NAME_CHARACTERS = 80


@cache
def runs() -> Table:
    """A row a run of a job."""
    from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, UniqueConstraint

    return Table(
        "samaops_runs",
        MetaData(),
        columns.number(),
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
