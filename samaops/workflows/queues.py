"""The broker's queues as a list, the first messages of one, all of one in a file; what is parked of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from samaops.changes.rabbitmq import parking
from samaops.changes.run.rabbitmq import messages
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config import consistency, files, places
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.rabbitmq import BrokerQueue, RabbitMQFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Plan
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows import change, diagnose

MOST_MESSAGES = 50_000
_PEEKED_BYTES = 200


def listed(site: Site) -> Table:
    """Return every queue with what waits in it and who consumes it. Raises UnavailableError."""
    _broker(site)
    message = _("Could not look at the broker: {reason}")
    facts = diagnose.facts_of(site, "rabbitmq.queue", RabbitMQFacts, message)
    if facts.queues is None:
        raise UnavailableError(_("The broker's queues could not be read"))
    columns = (
        Column("queue", _("queue")),
        Column("ready", _("ready"), True),
        Column("unacknowledged", _("unacked"), True),
        Column("consumers", _("consumers"), True),
        Column("publish_rate", _("in/s"), True),
        Column("ack_rate", _("done/s"), True),
        Column("redeliver_rate", _("again/s"), True),
    )
    rows = tuple(_row(queue) for queue in facts.queues)
    note = _("ready and consumers are counted now; all else the broker's statistics show up to 5 s later")
    if facts.uncounted:
        note = _("the broker's statistics, up to 5 s old; it could not be asked itself: {reason}")
    return Table(
        "queues", columns, rows, _("The broker has no queue"), (note.format(reason=facts.uncounted),)
    )


def _row(queue: BrokerQueue) -> dict[str, Any]:
    counted = queue.counted
    return {
        "queue": queue.name, "state": queue.state, "ready": counted.ready if counted else queue.ready,
        "unacknowledged": queue.unacknowledged, "consumers": counted.consumers if counted else queue.consumers, "bytes": queue.bytes,
        "publish_rate": queue.publish_rate, "deliver_rate": queue.deliver_rate,
        "ack_rate": queue.ack_rate, "redeliver_rate": queue.redeliver_rate, "limits": None if queue.limits is None else dict(queue.limits),
    }  # fmt: skip


def peek(site: Site, queue: str, count: int) -> Table:
    """Return the first messages of a queue, which keeps them. Raises UsageError and UnavailableError."""
    broker = _known(site, queue)
    try:
        with ManagementApi(site.host_of(broker), broker) as api:
            first = api.read(queue, count, _PEEKED_BYTES)
    except ClientError as error:
        raise _unavailable(queue, error) from error
    masked: list[dict[str, Any]] = redaction.redacted([_message(raw) for raw in first], site)
    columns = (
        Column("place", "#", True),
        Column("task", _("task")),
        Column("id", _("id"), is_copied=True),
        Column("redelivered", _("again")),
        Column("payload", _("begins with")),
    )
    rows = tuple({"place": place, **message} for place, message in enumerate(masked, start=1))
    note = _("RabbitMQ marks what was looked at as delivered before")
    return Table("messages", columns, rows, _("No message is ready in {queue}").format(queue=queue), (note,))


def _message(raw: dict[str, Any]) -> dict[str, Any]:
    properties = raw.get("properties") or {}
    headers = properties.get("headers") or {}
    return {
        "task": headers.get("task"),
        "id": headers.get("id") or properties.get("message_id") or properties.get("correlation_id"),
        "redelivered": raw.get("redelivered") is True,
        "bytes": raw.get("payload_bytes"),
        "payload": str(raw.get("payload", "")),
    }


def export(site: Site, queue: str, file: Path | None) -> tuple[int, Path]:
    """Write all ready messages of a queue to a new file, and leave them there; return how many, and where.

    Raises RefusedError when the file exists, UnavailableError when the broker does not give them.
    """
    broker, path = _known(site, queue), file or default_file(queue)
    if files.exists(path):
        raise RefusedError(_("{file} exists already: it is not overwritten").format(file=path))
    try:
        with ManagementApi(site.host_of(broker), broker) as api:
            ready = api.read(queue, MOST_MESSAGES)
            messages.append(path, ready)
    except ClientError as error:
        raise _unavailable(queue, error) from error
    return len(ready), path


def plan_park(site: Site, arguments: Sequence[str]) -> Plan:
    """Plan that messages are parked; nothing to do when the task is parked and its queue is calm.

    A task may be in both queues, when a process was killed between the two: then its queue is not calm.
    """
    plan = change.prepare(site, "queue park", arguments)
    asked = parking.asked_for(site, *arguments)
    is_one = plan.steps and asked.which != parking.GIVEN_BACK
    if not is_one or asked.which not in _parked(site, asked.holding):
        return plan
    calm = change.prepare(site, "queue park", (asked.queue, parking.GIVEN_BACK, asked.holding))
    if calm.steps:
        return plan
    text = _("the task {id} is parked in {holding}, and {reason}")
    nothing = text.format(id=asked.which, holding=asked.holding, reason=calm.nothing_to_do)
    return replace(plan, steps=(), notes=(), nothing_to_do=nothing)


def _parked(site: Site, holding: str) -> frozenset[str]:
    """Return the ids of the tasks in a holding queue; nobody minds that these are marked as delivered before."""
    broker = _broker(site)
    try:
        with ManagementApi(site.host_of(broker), broker) as api:
            parked = api.read(holding, MOST_MESSAGES, _PEEKED_BYTES)
    except ClientError as error:
        if error.kind is FailureKind.MISSING:
            return frozenset()
        raise _unavailable(holding, error) from error
    return frozenset(str(_message(raw)["id"]) for raw in parked)


def default_file(queue: str) -> Path:
    """Return a new file for a queue's messages, under the state directory."""
    name = re.sub(r"[^\w.-]", "_", queue)
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    return places.state() / "exports" / f"{name}-{now}.jsonl"


def _unavailable(queue: str, error: ClientError) -> UnavailableError:
    text = _("The messages of {queue} could not be read: {reason}")
    return UnavailableError(
        text.format(queue=queue, reason=error.message), "samaops diagnose --only rabbitmq"
    )


def _known(site: Site, queue: str) -> RabbitMQ:
    broker = _broker(site)
    if queue.removeprefix(parking.PREFIX) not in broker.queues:
        text = _("The configuration knows no queue {queue!r}")
        raise UsageError(text.format(queue=queue), hint=consistency.not_one_of(queue, broker.queues))
    return broker


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None:
        raise UsageError(_("[rabbitmq] is not configured"), hint="samaops config show")
    return site.settings.rabbitmq
