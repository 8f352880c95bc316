"""What the application reads from PostgreSQL, through PgBouncer in transaction mode: nothing prepared."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import psycopg
from psycopg.rows import dict_row

CONNECT_TIMEOUT_SECONDS = 3
ANSWER_TIMEOUT_SECONDS = 4.0
_SQL = Path(__file__).parent / "sql"


class Month(TypedDict):
    """The consumption of one month."""

    period: str
    kilowatt_hours: float
    amount_xof: int


class DatabaseUnavailableError(Exception):
    """PostgreSQL, or the pool in front of it, did not answer."""


@cache
def sql(name: str) -> bytes:
    """Return one query of the application."""
    return (_SQL / f"{name}.sql").read_bytes()


async def consumption_of(database_url: str, user_id: int) -> list[Month]:
    """Return the last months of a customer, newest first.

    Raises:
        DatabaseUnavailableError: no answer in time, or none at all.
    """
    reading = asyncio.create_task(_read_consumption(database_url, user_id))
    # Not wait_for: that would also wait for the cancellation, which a paused pool delays by seconds.
    done, _pending = await asyncio.wait({reading}, timeout=ANSWER_TIMEOUT_SECONDS)
    if not done:
        reading.cancel()
        raise DatabaseUnavailableError(f"no answer in {ANSWER_TIMEOUT_SECONDS:g} s")
    try:
        return [_month(row) for row in reading.result()]
    except psycopg.Error as error:
        raise DatabaseUnavailableError(str(error).strip() or type(error).__name__) from error


async def _read_consumption(database_url: str, user_id: int) -> list[dict[str, Any]]:
    connection = await psycopg.AsyncConnection.connect(
        database_url, prepare_threshold=None, connect_timeout=CONNECT_TIMEOUT_SECONDS, row_factory=dict_row
    )
    async with connection:
        cursor = await connection.execute(sql("consumption_of_user"), {"user_id": user_id})
        return await cursor.fetchall()


def _month(row: dict[str, Any]) -> Month:
    kilowatt_hours: Decimal = row["kilowatt_hours"]
    return Month(
        period=row["period"].isoformat(),
        kilowatt_hours=float(kilowatt_hours),
        amount_xof=int(row["amount_xof"]),
    )


def push_tokens_of(database_url: str, user_ids: list[int]) -> dict[int, str]:
    """Return the push token of each of these customers that has one."""
    return _read_tokens(database_url, "push_tokens", {"user_ids": user_ids})


def push_tokens_of_all(database_url: str, limit: int) -> dict[int, str]:
    """Return the push tokens of the first ``limit`` customers."""
    return _read_tokens(database_url, "push_tokens_of_all", {"limit": limit})


def _read_tokens(database_url: str, query: str, parameters: dict[str, Any]) -> dict[int, str]:
    try:
        with psycopg.connect(
            database_url, prepare_threshold=None, connect_timeout=CONNECT_TIMEOUT_SECONDS
        ) as connection:
            return dict(connection.execute(sql(query), parameters).fetchall())
    except psycopg.Error as error:
        raise DatabaseUnavailableError(str(error).strip() or type(error).__name__) from error
