"""The canary as a message: a task of Celery's protocol 2 that the broker drops by itself once nobody waits for it.

Nothing of it is a customer's: its only argument is the mark, and its task validates and does not send.
https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import convert

from samaops.changes.canary import MARK, PUBLISH, Canary
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config.settings import RabbitMQ
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    """Show the call of the management API that a person would type; it asks for the password."""
    broker, canary = _broker(site), convert(operation.arguments, Canary)
    scheme = "https" if broker.management_tls else "http"
    base = f"{scheme}://{site.host_of(broker)}:{broker.management_port}/api"
    url = f"{base}/exchanges/{quote(broker.vhost, safe='')}/amq.default/publish"
    message = {**_message(canary, broker), "routing_key": canary.queue, "payload_encoding": "string"}
    body = shlex.quote(json.dumps(message))
    return (f"curl -u {shlex.quote(broker.username)} -X POST {shlex.quote(url)} -d {body}",)


@runs(PUBLISH, lines=_lines)
def publish(operation: Operation, site: Site) -> Outcome:
    """Publish the canary. Raises ClientError."""
    broker, canary = _broker(site), convert(operation.arguments, Canary)
    with ManagementApi(site.host_of(broker), broker) as api:
        api.publish(canary.queue, _message(canary, broker))
    text = _("RabbitMQ has put the canary {id} into {queue}")
    return Outcome(True, text.format(id=canary.task_id, queue=canary.queue))


def _message(canary: Canary, broker: RabbitMQ) -> Mapping[str, Any]:
    """Return the message: of its queue's own priority, for it must wait as long as the others do."""
    mark = MARK.format(task_id=canary.task_id)
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 1,
        "priority": broker.queues.get(canary.queue, 0),
        "correlation_id": canary.task_id,
        "expiration": str(canary.lifetime_ms),
        "headers": {
            "lang": "py",
            "task": canary.task,
            "id": canary.task_id,
            "root_id": canary.task_id,
            "retries": 0,
            "kwargsrepr": f"marker={mark}",
            "origin": "samaops",
        },
    }
    return {"properties": properties, "payload": json.dumps([[], {"marker": mark}, {}])}


def _broker(site: Site) -> RabbitMQ:
    if site.settings.rabbitmq is None:
        raise ClientError(FailureKind.MISSING, _("[rabbitmq] is not configured"), "rabbitmq")
    return site.settings.rabbitmq
