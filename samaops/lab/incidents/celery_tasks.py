"""Tasks that kill the process that runs them, or that no worker knows."""

from __future__ import annotations

from uuid import uuid4

from samaops.i18n import N_, _
from samaops.lab.app.switches import POISON_MESSAGE
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import broker, traffic
from samaops.lab.processes import StartError

WORKER = "worker2"
QUEUE = "normal"
POISONED = 4
# As the check wants it: often enough that no restart of a worker explains it.
REDELIVERED = 20
UNKNOWN_TASK = "send_meter_alert"


def _poison(site: Site) -> None:
    site.remember(traffic.notify(QUEUE, POISON_MESSAGE) for _number in range(POISONED))


def _is_redelivered(site: Site) -> str | None:
    history = broker.history(site, QUEUE)
    counts = broker.counts(history, "redeliver")
    goes_on = len(counts) > 1 and counts[0] > counts[1]
    if not goes_on or counts[0] - counts[-1] < REDELIVERED or not history.get("messages"):
        return None
    return _("{count} redeliveries in queue {queue}, {held} messages are never acknowledged").format(
        count=counts[0] - counts[-1], queue=QUEUE, held=history["messages"]
    )


def _revoke(site: Site) -> None:
    """Let the worker drop the messages when they come again; nobody else's are touched."""
    broker.control(site, WORKER, "revoke", {"task_id": list(site.remembered())})
    broker.await_drained(site, QUEUE)


def _publish_unknown(site: Site) -> None:
    sent = [str(uuid4()) for _number in range(traffic.SENT)]
    site.remember(sent)
    for task_id in sent:
        broker.publish_task(site, "urgent", UNKNOWN_TASK, task_id)
    if not traffic.await_results(sent, "FAILURE", traffic.FAILED_SECONDS):
        raise StartError(_("the unknown task was not discarded"))


def _is_discarded(site: Site) -> str | None:
    discarded = list(traffic.results(site.remembered()).values()).count("FAILURE")
    if not discarded:
        return None
    return _("{count} messages of the task {task} were discarded: no worker knows it").format(
        count=discarded, task=UNKNOWN_TASK
    )


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
        fault=Fault(break_=_poison, evidence=_is_redelivered, heal=_revoke),
    ),
    Incident(
        id="task-unregistered",
        runbook="notifications",
        title=N_("The workers do not know a task"),
        does=N_("Ten tasks of a newer version are published; worker1 discards them as unregistered."),
        notice=N_("What the new version sends never arrives; everything that was there before does."),
        root=Root("task-unregistered", "celery/tasks"),
        fault=Fault(
            break_=_publish_unknown,
            evidence=_is_discarded,
            heal=lambda site: traffic.forget_results(site.remembered()),
        ).then(heal=traffic.send_again),
    ),
)
