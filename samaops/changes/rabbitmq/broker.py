"""The broker as a change meets it: its configuration, its queues as they were seen, the ``rabbitmqctl`` inside it."""

from __future__ import annotations

import shlex

from samaops.changes.readings import UnreadableError, facts_in
from samaops.config import consistency
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import BrokerQueue, Count, RabbitMQFacts
from samaops.i18n import _
from samaops.model.plan import Operation, shell
from samaops.site.site import Site

QUEUES = ("rabbitmq.queue",)
CONTROL_SECONDS = 30.0


def configured(site: Site) -> RabbitMQ:
    """Return [rabbitmq]. Raises UsageError without one."""
    if site.settings.rabbitmq is None:
        raise UsageError(_("[rabbitmq] is not configured"), hint="samaops config show")
    return site.settings.rabbitmq


def require_queue(site: Site, queue: str) -> None:
    """Raise UsageError for a queue that the configuration does not name."""
    known = configured(site).queues
    if queue not in known:
        text = _("The configuration knows no queue {queue!r}")
        raise UsageError(text.format(queue=queue), hint=consistency.not_one_of(queue, known))


def require_container(site: Site) -> None:
    """Raise RefusedError where rabbitmqctl cannot be called."""
    if configured(site).container is None:
        raise RefusedError(_("[rabbitmq] names no container: rabbitmqctl cannot be called"))


def queue_in(snapshot: Snapshot, name: str) -> BrokerQueue:
    """Return a queue as it was seen. Raises UnreadableError when the broker shows none."""
    queue = facts_in(snapshot, RabbitMQFacts).queue(name)
    if queue is None:
        raise UnreadableError(_("the broker shows no queue {queue}").format(queue=name))
    return queue


def count_in(snapshot: Snapshot, queue: BrokerQueue) -> Count:
    """Return what the broker itself counts of a queue. Raises UnreadableError: statistics would be seconds old."""
    if queue.counted is None:
        text = _("{queue} could not be counted on the broker itself: {reason}")
        reason = facts_in(snapshot, RabbitMQFacts).uncounted or "?"
        raise UnreadableError(text.format(queue=queue.name, reason=reason))
    return queue.counted


def queues_in(snapshot: Snapshot) -> RabbitMQFacts:
    """Return what was seen of the broker, its queues included. Raises UnreadableError."""
    facts = facts_in(snapshot, RabbitMQFacts)
    if facts.queues is None:
        raise UnreadableError(_("the broker's queues could not be read"))
    return facts


def rabbitmqctl(broker: RabbitMQ, *words: str) -> Operation:
    """Return the operation that calls rabbitmqctl in the broker's container."""
    command = ["docker", "exec", str(broker.container), "rabbitmqctl", "-q", *words]
    return shell(shlex.join(command), broker.server, CONTROL_SECONDS)
