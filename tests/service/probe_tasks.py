"""A Celery application for tests: tasks that succeed, fail, or hang until they are let go."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.entity import Queue

QUEUES = ("urgent", "high_priority", "normal", "low_priority")

app = Celery("probe", broker=os.environ["PROBE_BROKER"], backend=os.environ["PROBE_BACKEND"])
app.conf.update(
    task_queues=[Queue(name, durable=True) for name in QUEUES],  # type: ignore[no-untyped-call]
    task_default_queue="normal",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    task_track_started=True,
    broker_connection_retry_on_startup=True,
)


@app.task(name="hang")  # type: ignore[untyped-decorator]
def hang(until: str) -> None:
    """Wait until a file is there."""
    while not Path(until).exists():
        time.sleep(0.1)


@app.task(name="fine")  # type: ignore[untyped-decorator]
def fine() -> int:
    """Succeed."""
    return 1


@app.task(name="refused_by_proxy")  # type: ignore[untyped-decorator]
def refused_by_proxy() -> None:
    """Fail as a push does when the proxy refuses."""
    raise ConnectionError("Tunnel connection failed: 407 Proxy Authentication Required")


@app.task(name="canary_fine")  # type: ignore[untyped-decorator]
def canary_fine(marker: str) -> dict[str, Any]:
    """Answer as an application's shortest canary does."""
    return {"marker": marker, "validate_only": True}


@app.task(name="canary_that_sends")  # type: ignore[untyped-decorator]
def canary_that_sends(marker: str) -> dict[str, Any]:
    """Answer as one that forgot to have its message only validated."""
    return {"marker": marker}


@app.task(name="canary_refused")  # type: ignore[untyped-decorator]
def canary_refused(marker: str) -> None:
    """Fail as a library of Google's does, without a report."""
    raise ConnectionError(f"{marker}: Tunnel connection failed: 407 Proxy Authentication Required")


@app.task(name="canary_without_result", ignore_result=True)  # type: ignore[untyped-decorator]
def canary_without_result(marker: str) -> str:
    """Keep nothing of what it did."""
    return marker
