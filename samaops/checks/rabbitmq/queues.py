"""Judge the configured queues of RabbitMQ, one finding each: subject ``rabbitmq/<queue>``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.checks.rabbitmq.commands import list_queues
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.rabbitmq import BrokerQueue, RabbitMQFacts
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status

LIST = "rabbitmqctl -q list_queues name messages_ready messages_unacknowledged consumers"
OLD_SECONDS = 600  # a notification that waits ten minutes is late, however few there are
# After so long without a redelivery it is over.
CALM_SECONDS = 30
# A worker that is restarted gives back all it holds, once: a message that comes more often has another reason.
OFTEN = 5


def subject_of(queue: str) -> str:
    """Return the subject of findings about one queue."""
    return f"rabbitmq/{queue}"


def configured(broker: RabbitMQFacts, context: Context) -> Iterator[BrokerQueue]:
    """Return the configured queues that exist."""
    for name in context.site.settings.rabbitmq.queues if context.site.settings.rabbitmq else ():
        queue = broker.queue(name)
        if queue is not None:
            yield queue


def _evidence(queue: BrokerQueue) -> dict[str, Any]:
    history = queue.history
    return {
        "messages": queue.messages,
        "ready": queue.ready,
        "unacknowledged": queue.unacknowledged,
        "consumers": queue.consumers,
        "publish_rate": queue.publish_rate,
        "deliver_rate": queue.deliver_rate,
        "ack_rate": queue.ack_rate,
        "redeliver_rate": queue.redeliver_rate,
        "waiting_seconds": history.waiting_seconds if history else None,
        "oldest_ready_seconds": history.oldest_ready_seconds if history else None,
        "published_in_window": history.published if history else None,
        "acknowledged_in_window": history.acknowledged if history else None,
        "redelivered_in_window": history.redelivered if history else None,
        "window_seconds": history.window_seconds if history else None,
        "head_timestamp": queue.head_timestamp,
    }


@check(
    "rabbitmq.queue.missing",
    title=N_("The configured queues exist"),
    facts=RabbitMQFacts,
    needs=("queues",),
    explain=Explanation(
        meaning=N_("A queue of the guide does not exist: what is published to it is lost or refused."),
        confirm=(LIST,),
        fix=N_("Start the worker that consumes it: it declares the queue and its binding."),
        avoid=N_("Do not declare it by hand with other arguments: the worker would then be refused."),
    ),
)
def missing(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    if broker.queues is None or context.site.settings.rabbitmq is None:
        return
    for name in context.site.settings.rabbitmq.queues:
        place = {"subject": subject_of(name)}
        if broker.queue(name) is None:
            title = _("The queue {queue} does not exist").format(queue=name)
            evidence = {"vhost": broker.vhost, "queues": broker.queue_count}
            yield context.crit(title, evidence=evidence, hint=list_queues(context.site), **place)
        else:
            yield context.ok(_("The queue {queue} exists").format(queue=name), **place)


@check(
    "rabbitmq.queue.no_consumer",
    title=N_("Every queue has a consumer"),
    facts=RabbitMQFacts,
    needs=("queues",),
    unit="messages",
    explain=Explanation(
        meaning=N_(
            "Nobody consumes this queue: its notifications wait for ever, while the workers look healthy."
        ),
        confirm=(LIST, "docker logs --tail 50 samaconso_celery_worker_2"),
        fix=N_(
            "When the worker runs: celery control add_consumer <queue>, then correct its -Q. Otherwise start it."
        ),
        avoid=N_("Do not purge the queue: its messages are delivered as soon as somebody consumes them."),
    ),
)
def no_consumer(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        fields: dict[str, Any] = {"subject": subject_of(queue.name), "evidence": _evidence(queue)}
        fields["value"] = queue.messages
        if queue.consumers:
            title = _("The queue {queue} has {count} consumers").format(
                queue=queue.name, count=queue.consumers
            )
            yield context.ok(title, **fields)
        elif queue.messages:
            words = ngettext(
                "Nobody consumes the queue {queue}: {count} message waits",
                "Nobody consumes the queue {queue}: {count} messages wait",
                queue.messages,
            )
            title = words.format(queue=queue.name, count=queue.messages)
            yield context.crit(title, hint=list_queues(context.site), **fields)
        else:
            title = _("Nobody consumes the queue {queue}; it is still empty").format(queue=queue.name)
            yield context.warn(title, hint=list_queues(context.site), **fields)


@check(
    "rabbitmq.queue.backlog",
    title=N_("No queue has a backlog"),
    facts=RabbitMQFacts,
    needs=("queues",),
    # The guide's throughput is 1,000 notifications a minute: one minute's worth, and ten.
    warning=1000,
    critical=10_000,
    unit="messages",
    explain=Explanation(
        meaning=N_(
            "More waits than the workers deliver in a minute, or the oldest message waits for ten minutes."
        ),
        confirm=(LIST,),
        fix=N_(
            "Compare the rates: fewer acknowledged than published means too few or too slow workers (pool_grow)."
        ),
        avoid=N_(
            "Do not purge: these are customers' notifications. docker-compose --scale is refused by the guide's file."
        ),
    ),
)
def backlog(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        age = queue.history.oldest_ready_seconds if queue.history else None
        drain = _drain_seconds(queue)
        words = ngettext(
            "{count} message waits in the queue {queue}",
            "{count} messages wait in the queue {queue}",
            queue.ready,
        )
        title = words.format(count=queue.ready, queue=queue.name)
        if age:
            title += ", " + _("the oldest for about {seconds} s").format(seconds=age)
        evidence = {**_evidence(queue), "drain_seconds": drain}
        finding = context.above(queue.ready, title, subject=subject_of(queue.name), evidence=evidence)
        if finding.status is Status.OK and age is not None and age >= OLD_SECONDS:
            finding = context.warn(title, value=queue.ready, subject=finding.subject, evidence=evidence)
        yield finding


def _drain_seconds(queue: BrokerQueue) -> int | None:
    """Return how long the workers need for what is there, None when they do not catch up."""
    gain = queue.ack_rate - queue.publish_rate
    return round(queue.messages / gain) if gain > 0 else None


@check(
    "rabbitmq.queue.stuck",
    title=N_("Every consumer acknowledges"),
    facts=RabbitMQFacts,
    needs=("queues",),
    warning=60,  # longer than a push to many customers takes
    critical=600,
    unit="s",
    explain=Explanation(
        meaning=N_(
            "There are consumers, they hold messages, more wait, and nothing is acknowledged: all are busy."
        ),
        confirm=(
            LIST,
            "docker top samaconso_celery_worker_2",
            "docker logs --tail 50 samaconso_celery_worker_2",
        ),
        fix=N_("Keep the stack of the hung task, then restart that one worker; add time limits to the task."),
        avoid=N_("Do not restart all workers at once, and do not purge."),
    ),
)
def stuck(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        seconds = queue.history.stuck_seconds if queue.history and queue.consumers else 0
        fields: dict[str, Any] = {"subject": subject_of(queue.name), "evidence": _evidence(queue)}
        if seconds:
            title = _(
                "Nothing of the queue {queue} was acknowledged for {seconds} s: {held} are held, {ready} wait"
            ).format(queue=queue.name, seconds=seconds, held=queue.unacknowledged, ready=queue.ready)
        else:
            title = _("The consumers of the queue {queue} acknowledge what they take").format(
                queue=queue.name
            )
        if context.warning is not None and seconds >= context.warning:
            fields["hint"] = list_queues(context.site)
        yield context.above(seconds, title, **fields)


@check(
    "rabbitmq.queue.redelivering",
    title=N_("No message comes back again and again"),
    facts=RabbitMQFacts,
    needs=("queues",),
    warning=20,  # in ten minutes
    unit="messages",
    explain=Explanation(
        meaning=N_(
            "The same messages are delivered, not acknowledged and delivered again: their task kills its process. "
            "Each time a place in the pool is lost for a moment; it never ends by itself."
        ),
        confirm=(
            LIST,
            "docker logs --since 10m samaconso_celery_worker_2 2>&1 | grep -F WorkerLostError | tail",
        ),
        fix=N_(
            "Park it: samaops queue park QUEUE --redelivered puts it in a holding queue, and all others stay. "
            "Then its developers can look at it."
        ),
        avoid=N_("Do not purge the queue, and do not restart the worker: the message comes back."),
    ),
)
def redelivering(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        count = _repeated(queue)
        title = _(
            "{count} times a message of the queue {queue} came back unacknowledged in 10 minutes"
        ).format(queue=queue.name, count=count)
        fields: dict[str, Any] = {"subject": subject_of(queue.name), "evidence": _evidence(queue)}
        if context.warning is not None and count >= context.warning:
            fields["hint"] = list_queues(context.site)
        yield context.above(count, title, **fields)


def _repeated(queue: BrokerQueue) -> int:
    """Return how often messages came back, 0 when it is over or each may have come back only a few times."""
    history = queue.history
    if history is None or not queue.messages or history.calm_seconds >= CALM_SECONDS:
        return 0
    return history.redelivered if history.redelivered >= OFTEN * max(1, queue.unacknowledged) else 0
