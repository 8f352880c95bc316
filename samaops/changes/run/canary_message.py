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

from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.config.settings import RabbitMQ
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation
from samaops.site.site import Site

PUBLISH = "canary.publish"
SECONDS = 35.0
MARK = "samaops-canary-{task_id}"


def operation(queue: str, task: str, task_id: str, expires_in_seconds: float) -> Operation:
    """Return the operation that publishes a canary to a queue; there it lives no longer than so many seconds."""
    milliseconds = max(1000, round(expires_in_seconds * 1000))
    return Operation(PUBLISH, shlex.join([queue, task, task_id, str(milliseconds)]), None, SECONDS)


def parts(what: Operation) -> tuple[str, str, str, str]:
    """Return queue, task, task id and lifetime in milliseconds of a canary that is to be published."""
    queue, task, task_id, milliseconds = shlex.split(what.text)
    return queue, task, task_id, milliseconds


def shown(what: Operation, site: Site) -> str:
    """Return the operation as a person would do it: a call of the management API, which asks for the password."""
    broker = _broker(site)
    queue, *_rest = parts(what)
    scheme = "https" if broker.management_tls else "http"
    base = f"{scheme}://{site.host_of(broker)}:{broker.management_port}/api"
    url = f"{base}/exchanges/{quote(broker.vhost, safe='')}/amq.default/publish"
    body = json.dumps({**_message(what, broker), "routing_key": queue, "payload_encoding": "string"})
    return f"curl -u {shlex.quote(broker.username)} -X POST {shlex.quote(url)} -d {shlex.quote(body)}"


def run(what: Operation, site: Site) -> str:
    """Publish the canary; return that the broker has it, in a sentence. Raises ClientError."""
    broker = _broker(site)
    queue, _task, task_id, _milliseconds = parts(what)
    with ManagementApi(site.host_of(broker), broker) as api:
        api.publish(queue, _message(what, broker))
    return _("RabbitMQ has put the canary {id} into {queue}").format(id=task_id, queue=queue)


def _message(what: Operation, broker: RabbitMQ) -> Mapping[str, Any]:
    """Return the message: of its queue's own priority, for it must wait as long as the others do."""
    queue, task, task_id, milliseconds = parts(what)
    mark = MARK.format(task_id=task_id)
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 1,
        "priority": broker.queues.get(queue, 0),
        "correlation_id": task_id,
        "expiration": milliseconds,
        "headers": {
            "lang": "py",
            "task": task,
            "id": task_id,
            "root_id": task_id,
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
