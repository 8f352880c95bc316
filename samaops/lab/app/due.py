"""Publish what is due: notifications that other programs (billing, outages) wrote into the table.

Every member of the API looks, and takes rows that no other one holds; a row is marked in the transaction that
publishes it. A fault for training: ``source-stopped-<INSTANCE_ID>`` (see ``switches``) makes it rest without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from celery import Celery
from starlette.concurrency import run_in_threadpool

from . import publish, switches
from .environment import Environment
from .queries import CONNECT_TIMEOUT_SECONDS, sql

PERIOD_SECONDS = 2.0
MOST_AT_ONCE = 50
_FAULTS = (psycopg.Error, publish.BrokerUnavailableError)

logger = logging.getLogger(__name__)


async def run(environment: Environment, producer_app: Celery) -> None:
    """Publish what is due every few seconds, for ever; what cannot be published now is tried again."""
    is_well = True
    while True:
        while switches.source_is_stopped(environment.instance_id):
            await asyncio.sleep(PERIOD_SECONDS)
        try:
            count = await _publish_due(environment.database_url, producer_app)
        except _FAULTS as error:
            if is_well:
                logger.warning("what is due cannot be published: %s", error)
            is_well = False
        else:
            is_well = True
            if count:
                logger.info("%d notifications that were due are published", count)
        await asyncio.sleep(PERIOD_SECONDS)


async def _publish_due(database_url: str, producer_app: Celery) -> int:
    connection = await psycopg.AsyncConnection.connect(
        database_url, prepare_threshold=None, connect_timeout=CONNECT_TIMEOUT_SECONDS
    )
    async with connection:
        cursor = await connection.execute(sql("due_notifications"), {"limit": MOST_AT_ONCE})
        rows = await cursor.fetchall()
        if rows:
            await run_in_threadpool(_publish, producer_app, rows)
            await connection.execute(sql("mark_published"), {"ids": [row[0] for row in rows]})
        return len(rows)


def _publish(producer_app: Celery, rows: list[tuple[Any, ...]]) -> None:
    for _number, user_id, priority, message in rows:
        publish.publish(producer_app, priority, publish.task_arguments(priority, user_id, message, False))


@contextlib.asynccontextmanager
async def running(environment: Environment, producer_app: Celery) -> AsyncIterator[None]:
    """Publish what is due beside everything else, until the block ends."""
    task = asyncio.create_task(run(environment, producer_app))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
