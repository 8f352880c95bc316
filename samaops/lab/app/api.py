"""The HTTP API. ``/health`` touches nothing but the event loop; the others name the dependency that failed.

Run with ``uvicorn app.api:app --host 0.0.0.0 --port 8000``, one process per container. Faults for training
are in ``switches``: an event loop blocked by synchronous code, memory taken until the container is killed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from . import due, log, publish, queries, switches
from .celery_app import TASK_OF_QUEUE, create_producer
from .consumption_cache import ConsumptionCache
from .environment import VERSION, Environment

logger = logging.getLogger(__name__)
environment = Environment.read()
producer_app = create_producer(environment)
cache = ConsumptionCache(environment.redis_url, environment.cache_seconds)


class Notification(BaseModel):
    """One notification to send."""

    user_id: int = Field(ge=1)
    priority: Literal["urgent", "high_priority", "normal", "low_priority"]
    message: str = Field(min_length=1, max_length=1000)
    validate_only: bool = False


class BlockableLoop:
    """In the lab, let a switch block the event loop before a request is served, or a bad release fail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, once nobody asks for a blocked loop."""
        if scope["type"] == "http":
            switches.block_while_asked(environment.instance_id)
            if switches.answers_errors(environment.instance_id):
                failed = JSONResponse({"detail": "Internal Server Error"}, status_code=500)
                await failed(scope, receive, send)
                return
        await self._app(scope, receive, send)


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    log.configure(environment)
    logger.info("SamaConso %s starts as %s", VERSION, environment.instance_id)
    async with due.running(environment, producer_app):
        yield
    await cache.close()


app = FastAPI(title="SamaConso", version=VERSION, lifespan=_lifespan)
if switches.enabled():
    app.add_middleware(BlockableLoop)


@app.exception_handler(queries.DatabaseUnavailableError)
async def _database_unavailable(_request: Request, error: Exception) -> JSONResponse:
    return _unavailable("postgresql", error)


@app.exception_handler(publish.BrokerUnavailableError)
async def _broker_unavailable(_request: Request, error: Exception) -> JSONResponse:
    return _unavailable("rabbitmq", error)


def _unavailable(dependency: str, error: Exception) -> JSONResponse:
    logger.error("%s unavailable: %s", dependency, error)
    body = {"error": "dependency unavailable", "dependency": dependency, "detail": str(error)}
    return JSONResponse(body, status_code=503)


@app.get("/")
@app.get("/health")
async def health() -> dict[str, str]:
    """Say that this member serves; looks at no dependency."""
    return {"message": "SAMA CONSO", "version": VERSION, "status": "running"}


@app.get("/version")
async def version() -> dict[str, str]:
    """Say which release and which member answers."""
    return {"version": VERSION, "instance": environment.instance_id}


@app.get("/api/consumption/{user_id}")
async def consumption(user_id: int, response: Response) -> dict[str, Any]:
    """Return a customer's last months, from Redis when it has them, else from PostgreSQL."""
    months, outcome = await cache.get(user_id)
    if months is None:
        months = await queries.consumption_of(environment.database_url, user_id)
        if outcome == "miss":
            await cache.put(user_id, months)
    response.headers["X-Cache"] = outcome
    if not months:
        raise HTTPException(status_code=404, detail=f"no consumption of user {user_id}")
    return {"user_id": user_id, "months": months}


@app.post("/notifications", status_code=202)
async def notify(notification: Notification) -> dict[str, str]:
    """Publish a notification to the queue of its priority."""
    queue = notification.priority
    arguments = publish.task_arguments(
        queue, notification.user_id, notification.message, notification.validate_only
    )
    task_id = await run_in_threadpool(publish.publish, producer_app, queue, arguments)
    return {"task_id": task_id, "queue": queue, "task": TASK_OF_QUEUE[queue]}


if switches.enabled():

    @app.post("/lab/allocate")
    async def allocate(
        megabytes: int = Query(ge=1, le=switches.LONGEST_ALLOCATION_MEGABYTES),
    ) -> dict[str, int]:
        """Take memory and keep it."""
        return {"held_megabytes": await run_in_threadpool(switches.allocate, megabytes)}
