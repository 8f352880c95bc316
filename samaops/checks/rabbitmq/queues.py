"""Judge the configured queues of RabbitMQ, one finding each: subject ``rabbitmq/<queue>``."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.rabbitmq.commands import list_queues
from samaops.checks.rabbitmq.statistics import why_absent
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.rabbitmq import BrokerQueue, RabbitMQFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status

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
    for name in context.site.queues():
        queue = broker.queue(name)
        if queue is not None:
            yield queue


def _evidence(queue: BrokerQueue) -> Evidence:
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


@check("rabbitmq.queue.missing", RabbitMQFacts, needs=("queues",))
def missing(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    if broker.queues is None:
        return
    for name in context.site.queues():
        about = context.about(subject_of(name))
        if broker.queue(name) is None:
            title = _("The queue {queue} does not exist").format(queue=name)
            evidence = {"vhost": broker.vhost, "queues": broker.queue_count}
            yield about.crit(title, evidence=evidence, hint=list_queues(context.site))
        else:
            yield about.ok(_("The queue {queue} exists").format(queue=name))


@check("rabbitmq.queue.no_consumer", RabbitMQFacts, needs=("queues",), unit="messages")
def no_consumer(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        about = context.about(subject_of(queue.name))
        if queue.consumers is None or (queue.messages is None and not queue.consumers):
            yield about.not_given("consumers", "messages", why=why_absent(broker))
            continue
        if queue.consumers:
            status, title = Status.OK, _("The queue {queue} has {count} consumers")
            title = title.format(queue=queue.name, count=queue.consumers)
        elif queue.messages:
            status = Status.CRITICAL
            title = ngettext(
                "Nobody consumes the queue {queue}: {count} message waits",
                "Nobody consumes the queue {queue}: {count} messages wait",
                queue.messages,
            ).format(queue=queue.name, count=queue.messages)
        else:
            status = Status.WARNING
            title = _("Nobody consumes the queue {queue}; it is still empty").format(queue=queue.name)
        yield about.finding(
            status, title, value=queue.messages, evidence=_evidence(queue), hint=list_queues(context.site)
        )


# What a queue says of itself when it serves: "live" is the word of a broker that keeps no statistics.
SERVING = ("running", "idle", "flow", "live", "syncing")


@check("rabbitmq.queue.down", RabbitMQFacts, needs=("queues",))
def down(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        about, evidence = context.about(subject_of(queue.name)), {"state": queue.state}
        if queue.state in SERVING:
            yield about.ok(_("The queue {queue} serves").format(queue=queue.name), evidence=evidence)
        elif not queue.state:
            yield about.not_given("state", why=why_absent(broker))
        else:
            title = _("The queue {queue} does not serve: it is {state}")
            title = title.format(queue=queue.name, state=queue.state)
            hint = list_queues(context.site, "name type state leader members online")
            yield about.crit(title, evidence=evidence, hint=hint)


@check(
    "rabbitmq.queue.backlog",
    RabbitMQFacts,
    needs=("queues",),
    # The guide's throughput is 1,000 notifications a minute: one minute's worth, and ten.
    warning=1000,
    critical=10_000,
    unit="messages",
)
def backlog(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        about, age = context.about(subject_of(queue.name)), _age(queue)
        if queue.ready is None:
            yield about.not_given("messages_ready", why=why_absent(broker))
            continue
        title = ngettext(
            "{count} message waits in the queue {queue}",
            "{count} messages wait in the queue {queue}",
            queue.ready,
        ).format(count=queue.ready, queue=queue.name)
        if age:
            title += ", " + _("the oldest for about {seconds} s").format(seconds=age)
        status = context.status_above(queue.ready)
        if status is Status.OK and age is not None and age >= OLD_SECONDS:
            status = Status.WARNING
        if status is Status.OK and queue.ready and age is None:
            status, title = Status.UNKNOWN, title + ", " + _("for how long is not known")
        evidence = {**_evidence(queue), "drain_seconds": _drain_seconds(queue)}
        yield about.finding(status, title, value=queue.ready, evidence=evidence)


def _age(queue: BrokerQueue) -> int | None:
    """Return for how long the oldest message has been ready, at most for so long as any has."""
    history = queue.history
    if history is None:
        return None
    return history.waiting_seconds if history.oldest_ready_seconds is None else history.oldest_ready_seconds


def _drain_seconds(queue: BrokerQueue) -> int | None:
    """Return how long the workers need for what is there, None when they do not catch up, or nobody counts."""
    if queue.ack_rate is None or queue.publish_rate is None or queue.messages is None:
        return None
    gain = queue.ack_rate - queue.publish_rate
    return round(queue.messages / gain) if gain > 0 else None


@check(
    "rabbitmq.queue.stuck",
    RabbitMQFacts,
    needs=("queues",),
    warning=60,  # longer than a push to many customers takes
    critical=600,
    unit="s",
)
def stuck(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        # Without a consumer nothing can be stuck in one, and of an empty queue nothing is held.
        may_be_stuck = queue.consumers != 0 and queue.messages != 0
        if may_be_stuck and (queue.history is None or queue.consumers is None or queue.messages is None):
            about = context.about(subject_of(queue.name))
            yield about.not_given("consumers", "messages", "samples", why=why_absent(broker))
            continue
        seconds = queue.history.stuck_seconds if queue.history and may_be_stuck else 0
        if seconds:
            title = _(
                "Nothing of the queue {queue} was acknowledged for {seconds} s: {held} are held, {ready} wait"
            ).format(queue=queue.name, seconds=seconds, held=queue.unacknowledged, ready=queue.ready)
        else:
            title = _("The consumers of the queue {queue} acknowledge what they take").format(
                queue=queue.name
            )
        yield context.about(subject_of(queue.name)).above(
            seconds, title, evidence=_evidence(queue), hint=list_queues(context.site)
        )


@check(
    "rabbitmq.queue.redelivering",
    RabbitMQFacts,
    needs=("queues",),
    warning=20,  # in ten minutes
    unit="messages",
)
def redelivering(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        count = _repeated(queue)
        if count is None:
            about = context.about(subject_of(queue.name))
            yield about.not_given("messages", "redeliver", why=why_absent(broker))
            continue
        title = _(
            "{count} times a message of the queue {queue} came back unacknowledged in 10 minutes"
        ).format(queue=queue.name, count=count)
        yield context.about(subject_of(queue.name)).above(
            count, title, evidence=_evidence(queue), hint=list_queues(context.site)
        )


def _repeated(queue: BrokerQueue) -> int | None:
    """Return how often messages came back, 0 when it is over or each may have come back only a few times.

    None where the broker does not say.
    """
    history = queue.history
    if queue.messages == 0:
        return 0
    if (
        history is None
        or history.redelivered is None
        or queue.unacknowledged is None
        or queue.messages is None
    ):
        return None
    if history.calm_seconds >= CALM_SECONDS:
        return 0
    return history.redelivered if history.redelivered >= OFTEN * max(1, queue.unacknowledged) else 0
