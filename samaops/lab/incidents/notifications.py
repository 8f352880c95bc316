"""Runbook notifications, inside: workers, the broker, what publishes. The way out is in ``google``."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from samaops.i18n import N_, _
from samaops.lab.app.celery_app import TASK_OF_QUEUE
from samaops.lab.app.switches import HANG_MESSAGE
from samaops.lab.incidents import broker, sessions, traffic
from samaops.lab.incidents.incident import Evidence, Fault, Incident, Root
from samaops.lab.incidents.mechanisms import WAITING, setting, stopped, switched, unconsumed
from samaops.lab.incidents.site import Site
from samaops.lab.layout import API_PORTS, WORKER_QUEUES
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

RUNBOOK = "notifications"
QUEUE = "low_priority"
WORKER = "worker2"
CONTAINER = broker.CONTAINERS[WORKER]
HUNG_TASKS = 4
# Flower counts a worker as gone some heartbeats after the last.
SILENT_SECONDS = 60.0
# The lab calls a task stuck after 5 s, a real site after minutes.
STUCK_SECONDS = 6.0
# The management API is up to five seconds behind.
TAKEN_SECONDS = 12.0
POLICY = "limite-broadcast"
MOST_WAITING = 5
# Broadcasts to many customers, which take the whole pool of the worker for a moment; then many to one each.
LONG_BROADCASTS = 4
CUSTOMERS = 10
MESSAGES = 40
VANISHED = 10
COUNTED_SECONDS = 25.0
BILL = {"message": "Essai du laboratoire: votre facture est disponible", "count": 40}
# The lab's limit, and some time for it to be past: ten minutes and more on a real site.
LATE_SECONDS = 9.0
PUBLISHED_SECONDS = 20.0


def _hang(site: Site) -> None:
    site.remember(traffic.notify_many(QUEUE, HUNG_TASKS, HANG_MESSAGE))
    site.remember(traffic.notify_many("normal", WAITING))
    if not wait_until(lambda: _unacknowledged(site) >= HUNG_TASKS, TAKEN_SECONDS):
        raise StartError(_("{worker} does not take its tasks").format(worker=WORKER))
    if wait_until(lambda: _unacknowledged(site) < HUNG_TASKS, STUCK_SECONDS):
        raise StartError(_("a task that must hang has ended"))


def _unacknowledged(site: Site) -> int:
    return int(broker.queue(site, QUEUE).get("messages_unacknowledged", 0))


def _hangs(site: Site) -> str | None:
    waiting = int(broker.queue(site, "normal").get("messages", 0))
    if _unacknowledged(site) < HUNG_TASKS or not waiting or site.stopped(CONTAINER):
        return None
    return _("{worker}: {count} tasks never end, {waiting} messages wait behind them").format(
        worker=WORKER, count=HUNG_TASKS, waiting=waiting
    )


def _revoke(site: Site) -> None:
    """Revoke the hung tasks: a restart alone would get them delivered again."""
    arguments = {"task_id": list(site.remembered()), "terminate": True, "signal": "SIGKILL"}
    site.start(CONTAINER)
    broker.control(site, WORKER, "revoke", arguments)
    broker.await_consumption(site, WORKER)


def _freeze(site: Site) -> None:
    _signal_worker(signal.SIGSTOP)
    traffic.notify_many("normal", WAITING)
    if not wait_until(lambda: traffic.heartbeats(site).get(WORKER) is False, SILENT_SECONDS):
        raise StartError(_("Flower still hears {worker}").format(worker=WORKER))


def _is_frozen(site: Site) -> str | None:
    states = [
        (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        for entry in _processes_of_worker()
    ]
    if set(states) != {"T"} or traffic.heartbeats(site).get(WORKER) is not False:
        return None
    text = _("all {count} processes of {worker} are stopped; Flower no longer hears it")
    return text.format(count=len(states), worker=WORKER)


def _thaw(site: Site) -> None:
    _signal_worker(signal.SIGCONT)
    if not wait_until(lambda: traffic.heartbeats(site).get(WORKER) is True, broker.BACK_SECONDS):
        raise StartError(_("Flower does not hear {worker} again").format(worker=WORKER))
    broker.await_consumption(site, WORKER)


def _signal_worker(number: int) -> None:
    for entry in _processes_of_worker():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(entry.name), number)


def _processes_of_worker() -> Iterator[Path]:
    """Yield the worker's processes in /proc; a lab has its network to itself, which tells it from another's."""
    network = Path("/proc/self/ns/net").readlink()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            words = (entry / "cmdline").read_bytes().split(b"\0")
            is_worker = b"worker" in words and any(word.startswith(f"{WORKER}@".encode()) for word in words)
            if is_worker and (entry / "ns" / "net").readlink() == network:
                yield entry


def _leave_messages(site: Site) -> None:
    broker.await_desertion(site, WORKER_QUEUES[WORKER])
    traffic.notify_many("normal", WAITING)


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


def _owe_bills(site: Site) -> None:
    sessions.run(site, "insert_due", BILL)
    if not wait_until(lambda: _due(site)[1] >= LATE_SECONDS, LATE_SECONDS * 2):
        raise StartError(_("what is due is published all the same"))


def _due(site: Site) -> tuple[int, float]:
    """Return how many of the incident's notifications nobody has published, and since when in seconds."""
    count, seconds = sessions.run(site, "count_due", BILL)
    return count, seconds


def _nothing_is_published(site: Site) -> str | None:
    count, seconds = _due(site)
    if not count or seconds < LATE_SECONDS:
        return None
    return _("{count} notifications are due for {seconds:.0f} s and nobody publishes them").format(
        count=count, seconds=seconds
    )


def _publish_bills(site: Site) -> None:
    """Let what is due be published; the incident's own rows go when it is, or when nothing else can work."""
    is_published = wait_until(lambda: _due(site)[0] == 0, PUBLISHED_SECONDS)
    if site.is_alone and not is_published:
        raise StartError(_("what is due is not published yet"))
    sessions.run(site, "delete_due", BILL)
    broker.await_drained(site, "normal")


INCIDENTS = (
    Incident(
        id="queue-without-consumer",
        runbook=RUNBOOK,
        title=N_("A queue has no consumer"),
        does=N_(
            "celery control cancel_consumer low_priority on worker2, and broadcasts published behind it."
        ),
        notice=N_("Broadcasts never arrive; every other notification does, and every worker is up."),
        root=Root("queue-without-consumer", f"rabbitmq/{QUEUE}"),
        fault=unconsumed(WORKER, QUEUE),
    ),
    Incident(
        id="worker-not-consuming",
        runbook=RUNBOOK,
        title=N_("A worker is up and no longer consumes"),
        does=N_("celery control cancel_consumer of both queues of worker2, and notifications behind them."),
        notice=N_(
            "Ordinary notifications and broadcasts stop; its container is up and healthy, nothing runs."
        ),
        root=Root("worker-not-consuming", f"celery/{WORKER}"),
        fault=unconsumed(WORKER, *WORKER_QUEUES[WORKER]),
    ),
    Incident(
        id="worker-frozen",
        runbook=RUNBOOK,
        title=N_("A worker is frozen"),
        does=N_("SIGSTOP to every process of worker2; it keeps its connections and its messages."),
        notice=N_(
            "Ordinary notifications and broadcasts stop; its container is up, nothing runs, nothing is logged."
        ),
        root=Root("worker-frozen", f"celery/{WORKER}", "warning"),
        fault=Fault(break_=_freeze, evidence=_is_frozen, heal=_thaw),
    ),
    Incident(
        id="worker-hung",
        runbook=RUNBOOK,
        title=N_("A worker hangs on its tasks"),
        does=N_("Four tasks wait for ever on a silent socket and take the whole pool of worker2; more wait."),
        notice=N_("Ordinary notifications and broadcasts stop; urgent ones arrive."),
        root=Root("worker-stuck-on-task", f"celery/{WORKER}"),
        fault=Fault(break_=_hang, evidence=_hangs, heal=_revoke),
    ),
    Incident(
        id="worker-container-stopped",
        runbook=RUNBOOK,
        title=N_("A worker is stopped"),
        does=N_("docker stop of samaconso_celery_worker_2 on server workers; its queues grow."),
        notice=N_("Ordinary notifications and broadcasts stop; urgent ones arrive."),
        root=Root("container-stopped", f"docker/{CONTAINER}"),
        root_of_processes=Root("worker-down", f"celery/{WORKER}"),
        fault=stopped(CONTAINER).then(
            _leave_messages, heal=lambda site: broker.await_consumption(site, WORKER)
        ),
    ),
    Incident(
        id="broker-stopped",
        runbook=RUNBOOK,
        title=N_("The broker is stopped"),
        does=N_("docker stop of samaconso_rabbitmq on server api."),
        notice=N_("POST /notifications answers 503; no notification is sent at all."),
        root=Root("container-stopped", f"docker/{broker.CONTAINER}"),
        root_of_processes=Root("rabbitmq-down", "rabbitmq/api"),
        fault=stopped(broker.CONTAINER, grace_seconds=8).then(heal=broker.await_workers),
    ),
    Incident(
        id="broker-memory-alarm",
        runbook=RUNBOOK,
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
        ),
    ),
    Incident(
        id="broker-disk-alarm",
        runbook=RUNBOOK,
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
        ),
    ),
    Incident(
        id="messages-dropped",
        runbook=RUNBOOK,
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
    Incident(
        id="nothing-published",
        runbook=RUNBOOK,
        title=N_("Nothing is published any more"),
        does=N_(
            "The API's task that publishes what is due does nothing any more; forty bills are due in the table."
        ),
        notice=N_("No bill is announced; every service is well, every queue is empty, no task fails."),
        root=Root("nothing-published", "postgresql/db"),
        fault=switched(
            "api", {f"source-stopped-{member}": "" for member in API_PORTS}, _nothing_is_published
        ).then(_owe_bills, _publish_bills),
    ),
)
