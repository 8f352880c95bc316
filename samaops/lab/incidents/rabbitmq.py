"""The broker stopped or alarmed, and a queue that drops messages."""

from __future__ import annotations

from uuid import uuid4

from samaops.i18n import N_, _
from samaops.lab.app.celery_app import TASK_OF_QUEUE
from samaops.lab.incidents.incident import Evidence, Incident, Root
from samaops.lab.incidents.mechanisms import setting, stopped
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import broker, traffic
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

QUEUE = "low_priority"
POLICY = "limite-broadcast"
MOST_WAITING = 5
# Broadcasts to many customers, which take the whole pool of the worker for a moment; then many to one each.
LONG_BROADCASTS = 4
CUSTOMERS = 10
MESSAGES = 40
VANISHED = 10
COUNTED_SECONDS = 25.0


def _alarm(name: str, words: str) -> Evidence:
    return lambda site: _(words) if broker.alarm(site, name) else None


def _drop_messages(site: Site) -> None:
    """Send more at once than the queue may keep."""
    if not wait_until(lambda: _limit(site) is not None, COUNTED_SECONDS):
        raise StartError(_("the policy does not hold for the queue {queue}").format(queue=QUEUE))
    lost_before = _lost(site)[1]
    for _number in range(LONG_BROADCASTS):
        arguments = {"message": "Essai du laboratoire", "limit": CUSTOMERS}
        broker.publish_task(site, QUEUE, TASK_OF_QUEUE[QUEUE], str(uuid4()), arguments)
    traffic.notify_many(QUEUE, MESSAGES)
    if site.is_alone and not wait_until(lambda: _lost(site)[1] - lost_before >= VANISHED, COUNTED_SECONDS):
        raise StartError(_("the queue {queue} keeps what it is given").format(queue=QUEUE))
    broker.await_drained(site, QUEUE)


def _limit(site: Site) -> int | None:
    definition = broker.queue(site, QUEUE).get("effective_policy_definition")
    limit = definition.get("max-length") if isinstance(definition, dict) else None
    return limit if isinstance(limit, int) else None


def _lost(site: Site) -> tuple[int, int]:
    """Return how many messages came in the last ten minutes, and how many of them reached nobody."""
    history = broker.history(site, QUEUE)
    published, acknowledged = (
        counts[0] - counts[-1] if counts else 0
        for counts in (broker.counts(history, counter) for counter in ("publish", "ack"))
    )
    return published, published - acknowledged - int(history.get("messages", 0))


def _drops(site: Site) -> str | None:
    limit = _limit(site)
    if limit is None:
        return None
    published, lost = _lost(site)
    return _(
        "the policy {policy} keeps {limit} messages of {queue}: {lost} of {published} in ten minutes vanished"
    ).format(policy=POLICY, limit=limit, queue=QUEUE, lost=max(0, lost), published=published)


INCIDENTS = (
    Incident(
        id="broker-stopped",
        runbook="notifications",
        title=N_("The broker is stopped"),
        does=N_("docker stop of samaconso_rabbitmq on server api."),
        notice=N_("POST /notifications answers 503; no notification is sent at all."),
        root=Root("container-stopped", f"docker/{broker.CONTAINER}"),
        root_of_processes=Root("rabbitmq-down", "rabbitmq/api"),
        fault=stopped(broker.CONTAINER, grace_seconds=8).then(heal=broker.await_workers),
    ),
    Incident(
        id="broker-memory-alarm",
        runbook="notifications",
        title=N_("The broker's memory alarm blocks publishers"),
        does=N_("rabbitmqctl set_vm_memory_high_watermark 0: RabbitMQ takes no message any more."),
        notice=N_("POST /notifications hangs and answers 503; queues are empty and consumers idle."),
        root=Root("broker-memory-alarm", "rabbitmq/api"),
        fault=setting(
            broker.rabbitmqctl,
            "set_vm_memory_high_watermark",
            bad="0",
            good=broker.MEMORY_WATERMARK,
            evidence=_alarm("mem_alarm", N_("RabbitMQ reports its memory alarm; publishers are blocked")),
        ).then(heal=broker.await_released),
    ),
    Incident(
        id="broker-disk-alarm",
        runbook="notifications",
        title=N_("The broker's disk alarm blocks publishers"),
        does=N_("rabbitmqctl set_disk_free_limit 1000GB: RabbitMQ believes its disk to be full."),
        notice=N_("POST /notifications hangs and answers 503; queues are empty and consumers idle."),
        root=Root("broker-disk-alarm", "rabbitmq/api"),
        fault=setting(
            broker.rabbitmqctl,
            "set_disk_free_limit",
            bad="1000GB",
            good=broker.DISK_LIMIT,
            evidence=_alarm("disk_free_alarm", N_("RabbitMQ reports its disk alarm; publishers are blocked")),
        ).then(heal=broker.await_released),
    ),
    Incident(
        id="messages-dropped",
        runbook="notifications",
        title=N_("The broker drops messages"),
        does=N_(
            "A policy lets low_priority keep five messages; forty broadcasts come at once and most of them vanish."
        ),
        notice=N_("Many customers miss a broadcast; nothing waits, nothing fails, every service is well."),
        root=Root("messages-dropped", f"rabbitmq/{QUEUE}"),
        fault=setting(
            broker.set_policy,
            POLICY,
            bad={"pattern": f"^{QUEUE}$", "definition": {"max-length": MOST_WAITING}, "apply-to": "queues"},
            good=None,
            evidence=_drops,
        ).then(_drop_messages, heal=lambda site: broker.await_drained(site, QUEUE)),
    ),
)
