"""How many messages passed each of the broker's counters in the last ten minutes, queue by queue.

Read only when somebody follows notifications: four more requests to the management API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.collect.values import rows, table, whole
from samaops.config.settings import RabbitMQ
from samaops.facts.rabbitmq import WINDOW_SECONDS, QueueFlow
from samaops.model.failure import FailureKind
from samaops.site.site import Site

_COUNTERS = ("publish", "deliver_get", "ack", "redeliver")
_WINDOW = {"msg_rates_age": WINDOW_SECONDS, "msg_rates_incr": 10}


def observe(site: Site, rabbitmq: RabbitMQ) -> tuple[QueueFlow, ...]:
    """Read the counters of every configured queue that exists. Raises ClientError."""
    flows = []
    columns = ",".join(
        (
            "messages_ready", "messages_unacknowledged", "consumers",
            *(f"message_stats.{name}_details.samples" for name in _COUNTERS),
        )
    )  # fmt: skip
    with ManagementApi(site.host_of(rabbitmq), rabbitmq) as api:
        api.log_in()
        for name in rabbitmq.queues:
            try:
                raw = api.in_vhost("queues", name, columns=columns, **_WINDOW)
            except ClientError as error:
                if error.kind is not FailureKind.MISSING:
                    raise
                continue
            flows.append(flow_of(name, table(raw)))
    return tuple(flows)


def flow_of(name: str, raw: Mapping[str, Any]) -> QueueFlow:
    """Turn one answer of the management API into counts.

    Where the broker counts messages, a counter that never ran is 0: it is left out of the answer.
    """
    stats, ready = table(raw, "message_stats"), whole(raw, "messages_ready")
    published, delivered, acknowledged, redelivered = (
        None if ready is None and "message_stats" not in raw else _gain(stats, counter)
        for counter in _COUNTERS
    )
    return QueueFlow(
        name=name,
        ready=ready,
        unacknowledged=whole(raw, "messages_unacknowledged"),
        consumers=whole(raw, "consumers"),
        published=published,
        delivered=delivered,
        acknowledged=acknowledged,
        redelivered=redelivered,
    )


def _gain(stats: Mapping[str, Any], counter: str) -> int:
    """Return by how much a counter rose; the broker fills up with zeros what is before its first sample."""
    samples = rows(table(stats, f"{counter}_details").get("samples")) or ()
    values = [value for sample in samples if (value := whole(sample, "sample")) is not None]
    return max(values) - min(values) if values else 0
