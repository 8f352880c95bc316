"""What is seen of one task on its way: its result in Redis the moment it is there, and what Flower heard of it.

Times are moments of this machine's monotonic clock: no clock of another server is believed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.flower import FlowerClient
from samaops.clients.redis import RedisClient
from samaops.collect.flower import url_of
from samaops.config.settings import Redis
from samaops.facts.canary import Heard, Sighting
from samaops.i18n import _
from samaops.site.site import Site

KEY = "celery-task-meta-{task_id}"
ENDED = ("SUCCESS", "FAILURE", "REVOKED")


# How exact the times are; after a while nobody counts milliseconds any more.
PAUSE_SECONDS, LATER_PAUSE_SECONDS, EXACT_SECONDS = 0.02, 0.2, 5.0


RETRY_SECONDS = 0.5


class ResultWatch:
    """Look for a task's result from before it is published, in a thread of its own, until it is left."""

    def __init__(self, site: Site, redis: Redis, task_id: str) -> None:
        self._host, self._redis = site.host_of(redis), redis
        self._key = KEY.format(task_id=task_id)
        self._over, self._found = threading.Event(), threading.Event()
        self._seen = Sighting(trouble=_("no answer yet"))

    def __enter__(self) -> ResultWatch:
        threading.Thread(target=self._watch, name="canary", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()

    def until(self, moment: float) -> Sighting:
        """Return what was seen once the task has ended, or at this moment of the monotonic clock at the latest."""
        self._found.wait(max(0.0, moment - time.monotonic()))
        return self._seen

    def _watch(self) -> None:
        exact_until = time.monotonic() + EXACT_SECONDS
        while not self._over.is_set() and not self._found.is_set():
            try:
                self._watch_over_one_connection(exact_until)
            except ClientError as error:
                self._seen = replace(self._seen, trouble=error.message)
                self._over.wait(RETRY_SECONDS)

    def _watch_over_one_connection(self, exact_until: float) -> None:
        client = RedisClient(self._host, self._redis)
        ends_at = time.monotonic() + self._redis.timeout / 2  # a connection has one time limit for all
        try:
            client.connect()
            while not self._over.is_set() and time.monotonic() < ends_at:
                self._seen = _sighting(client, self._key, self._seen)
                if self._seen.has_ended:
                    self._found.set()
                    return
                now = time.monotonic()
                self._over.wait(PAUSE_SECONDS if now < exact_until else LATER_PAUSE_SECONDS)
        finally:
            client.close()


def _sighting(client: RedisClient, key: str, before: Sighting) -> Sighting:
    value = client.get(key)
    now = time.monotonic()
    if value is None:
        return replace(before, trouble="")
    document = _document(value)
    if not document:  # another serializer than JSON: there is a result, and nobody here can read it
        return replace(before, ended_at=now, trouble="")
    state, result = str(document.get("status", "")), document.get("result")
    sighting = replace(before, state=state, result=result, trouble="", began_at=before.began_at or now)
    if isinstance(result, Mapping) and state == "STARTED":
        return replace(sighting, worker=str(result.get("hostname", "")))
    if state not in ENDED:
        return sighting
    return replace(
        sighting,
        worker=str(document.get("worker") or before.worker),
        ended_at=now,
        expires=client.ttl(key) != -1,
    )


def _document(value: Any) -> dict[str, Any]:
    try:
        document = json.loads(value)
    except (TypeError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def heard(site: Site, task_id: str) -> Heard | None:
    """Return what Flower heard of a task; None when nothing, or when it is not configured. Raises ClientError."""
    flower = site.settings.flower
    if flower is None:
        return None
    with FlowerClient(url_of(site, flower), flower) as client:
        task = client.task(task_id)
    if task is None:
        return None
    return Heard(
        *(str(task.get(name) or "") for name in ("state", "worker", "exception")),
    )
