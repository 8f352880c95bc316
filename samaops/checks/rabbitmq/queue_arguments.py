"""Judge what makes a queue of RabbitMQ lose messages by its own settings: a length, a time to live, no disk."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.rabbitmq.commands import list_queues
from samaops.checks.rabbitmq.queues import configured, subject_of
from samaops.checks.rabbitmq.statistics import why_absent
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.rabbitmq import BrokerQueue, RabbitMQFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status

# So many, and this share of what was published, are no difference between two counters.
LOST_MESSAGES = 5
LOST_PERCENT = 5
FORBIDDEN_LIMITS = ("max-length", "max-length-bytes", "message-ttl", "expires")


@check("rabbitmq.queue.arguments", RabbitMQFacts, needs=("queues",))
def arguments(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for queue in configured(broker, context):
        about, evidence = context.about(subject_of(queue.name)), _evidence_of_limits(queue)
        if queue.limits is None or queue.is_durable is None or queue.is_transient is None:
            yield about.not_given(
                "arguments", "effective_policy_definition", "durable", "exclusive", "auto_delete",
                why=why_absent(broker),
            )  # fmt: skip
            continue
        limits = {name: queue.limits[name] for name in FORBIDDEN_LIMITS if name in queue.limits}
        hint = list_queues(context.site, "name arguments policy durable")
        if limits:
            status = Status.CRITICAL if _is_losing(queue) or _refuses_now(queue) else Status.WARNING
            yield about.finding(status, _title_of_limits(queue, limits), evidence=evidence, hint=hint)
        elif not queue.is_durable or queue.is_transient:
            title = _("The queue {queue} does not survive a restart of the broker").format(queue=queue.name)
            yield about.warn(title, evidence=evidence, hint=hint)
        else:
            title = _("The queue {queue} keeps every message").format(queue=queue.name)
            yield about.ok(title, evidence=evidence)


def _evidence_of_limits(queue: BrokerQueue) -> Evidence:
    history, policy = queue.history, queue.limiting_policy
    return {
        "limits": dict(queue.limits or {}),
        "own_limits": list(queue.own_limits),
        "policy": queue.policy or None,
        "operator_policy": queue.operator_policy or None,
        "pattern": policy.pattern if policy else None,
        "refuses": _refuses_now(queue),
        "durable": queue.is_durable,
        "transient": queue.is_transient,
        "vanished_in_window": history.vanished if history else None,
        "published_in_window": history.published if history else None,
        "window_seconds": history.window_seconds if history else None,
    }


def _is_losing(queue: BrokerQueue) -> bool:
    """Return whether messages vanish; the broker's counters are seconds apart, which under load looks like a few."""
    history = queue.history
    if history is None or history.vanished < LOST_MESSAGES:
        return False
    return 100 * history.vanished >= LOST_PERCENT * history.published


def _refuses_now(queue: BrokerQueue) -> bool:
    """Return whether it is full and gives what is published back to who publishes it."""
    limits = queue.limits or {}
    most, most_bytes = limits.get("max-length"), limits.get("max-length-bytes")
    is_full = isinstance(most, int) and queue.ready is not None and queue.ready >= most
    is_full |= isinstance(most_bytes, int) and queue.bytes is not None and queue.bytes >= most_bytes
    return is_full and _rejects(queue)


def _rejects(queue: BrokerQueue) -> bool:
    return str((queue.limits or {}).get("overflow", "")).startswith("reject")


def _title_of_limits(queue: BrokerQueue, limits: dict[str, int | str]) -> str:
    words = ", ".join(f"{name}={value}" for name, value in limits.items())
    if _is_losing(queue) and queue.history:
        title = _(
            "The queue {queue} drops messages by its settings ({limits}): {count} of {published} in 10 minutes "
            "reached nobody"
        )
        return title.format(
            queue=queue.name, limits=words, count=queue.history.vanished, published=queue.history.published
        )
    if _refuses_now(queue):
        title = _("The queue {queue} is full and refuses every message: {limits}")
        return title.format(queue=queue.name, limits=words)
    if _rejects(queue):
        title = _("The queue {queue} refuses messages when it is full: {limits}")
        return title.format(queue=queue.name, limits=words)
    title = _("The queue {queue} drops messages by its settings: {limits}")
    return title.format(queue=queue.name, limits=words)
