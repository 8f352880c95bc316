"""Runbook notifications, in the tasks themselves: one that kills its process, one that the workers do not know."""

from __future__ import annotations

from uuid import uuid4

import redis

from samaops.i18n import N_, _
from samaops.lab.app.switches import POISON_MESSAGE
from samaops.lab.incidents import broker, traffic
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

WORKER = "worker2"
QUEUE = "normal"
POISONED = 4
# As the check wants it: often enough that no restart of a worker explains it.
REDELIVERED = 20
DRAINED_SECONDS = 20.0
UNKNOWN_TASK = "send_meter_alert"
UNKNOWN = traffic.SENT


def _poison(site: Site) -> None:
    site.remember(traffic.notify(QUEUE, POISON_MESSAGE) for _number in range(POISONED))


def _is_poisoned(site: Site) -> str | None:
    found = broker.look(site, f"queues/%2F/{QUEUE}?msg_rates_age=600&msg_rates_incr=10") or {}
    samples = found.get("message_stats", {}).get("redeliver_details", {}).get("samples", ())
    counts = sorted((one["sample"] for one in samples), reverse=True)
    count = counts[0] - counts[-1] if counts else 0
    goes_on = len(counts) > 1 and counts[0] > counts[1]
    if count < REDELIVERED or not goes_on or not found.get("messages"):
        return None
    return _("{count} redeliveries in queue {queue}, {held} messages are never acknowledged").format(
        count=count, queue=QUEUE, held=found["messages"]
    )


def _revoke(site: Site) -> None:
    """Let the worker drop the messages when they come again; nobody else's are touched."""
    broker.control(site, WORKER, "revoke", {"task_id": list(site.remembered())})
    if site.is_alone and not wait_until(lambda: broker.is_empty(site, (QUEUE,)), DRAINED_SECONDS):
        raise StartError(_("messages are left in the queues of {worker}").format(worker=WORKER))


def _publish_unknown(site: Site) -> None:
    sent = [str(uuid4()) for _number in range(UNKNOWN)]
    site.remember(sent)
    for task_id in sent:
        broker.publish_task(site, "urgent", UNKNOWN_TASK, task_id)
    if not traffic.await_results(sent, "FAILURE", traffic.FAILED_SECONDS):
        raise StartError(_("the unknown task was not discarded"))


def _is_unknown(site: Site) -> str | None:
    try:
        states = traffic.results(site.remembered())
    except redis.RedisError:
        return None
    discarded = [one for one, state in states.items() if state == "FAILURE"]
    if not discarded:
        return None
    return _("{count} messages of the task {task} were discarded: no worker knows it").format(
        count=len(discarded), task=UNKNOWN_TASK
    )


def _publish_known(site: Site) -> None:
    traffic.forget_results(site.remembered())
    traffic.send_again(site)


INCIDENTS = (
    Incident(
        id="poison-message",
        runbook="notifications",
        title=N_("A message kills the process that runs it"),
        does=N_(
            "Four tasks of worker2 kill their own process with SIGKILL; RabbitMQ delivers them again, for ever."
        ),
        notice=N_("Ordinary notifications are late now and then; the worker's log says WorkerLostError."),
        root=Root("poison-message", f"rabbitmq/{QUEUE}", "warning"),
        break_=_poison,
        is_live=_is_poisoned,
        heal=_revoke,
    ),
    Incident(
        id="task-unregistered",
        runbook="notifications",
        title=N_("The workers do not know a task"),
        does=N_("Ten tasks of a newer version are published; worker1 discards them as unregistered."),
        notice=N_("What the new version sends never arrives; everything that was there before does."),
        root=Root("task-unregistered", "celery/tasks"),
        break_=_publish_unknown,
        is_live=_is_unknown,
        heal=_publish_known,
    ),
)
