"""Runbook notifications, inside: queues, the broker, the workers. The way out is in ``proxies``."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from samaops.i18n import N_, _
from samaops.lab.incidents import broker, containers, looks, traffic
from samaops.lab.incidents.incident import Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.layout import QUEUE_PRIORITIES, WORKER_QUEUES
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

QUEUE = "low_priority"
WORKER = "worker2"
CONTAINER = "samaconso_celery_worker_2"
WAITING = 8
HANG_MESSAGE = "lab:hang"
HUNG_TASKS = 4
BACK_SECONDS = 40.0
DRAINED_SECONDS = 20.0
# Flower counts a worker as gone some heartbeats after the last.
SILENT_SECONDS = 60.0
# The lab calls a task stuck after 5 s, a real site after minutes.
STUCK_SECONDS = 6.0
# The management API is up to five seconds behind.
TAKEN_SECONDS = 12.0


def _cancel_consumer(site: Site) -> None:
    broker.control(site, WORKER, "cancel_consumer", {"queue": QUEUE})
    wait_until(lambda: not broker.has_consumers(site, (QUEUE,)), 5.0)
    traffic.notify_many(QUEUE, WAITING)


def _queue_has_no_consumer(site: Site) -> str | None:
    found = broker.queue(site, QUEUE)
    waiting = int(found.get("messages_ready", 0))
    if not found or found.get("consumers") or not waiting or containers.is_stopped(site, CONTAINER):
        return None
    return _("queue {queue}: {waiting} messages wait, no consumer").format(queue=QUEUE, waiting=waiting)


def _add_consumer(site: Site) -> None:
    broker.control(site, WORKER, "add_consumer", {"queue": QUEUE})
    _await_drained(site)


def _await_drained(site: Site) -> None:
    queues = WORKER_QUEUES[WORKER]
    if not wait_until(lambda: broker.has_consumers(site, queues), BACK_SECONDS):
        raise StartError(_("{worker} does not consume its queues").format(worker=WORKER))
    if site.is_alone and not wait_until(lambda: broker.is_empty(site, queues), DRAINED_SECONDS):
        raise StartError(_("messages are left in the queues of {worker}").format(worker=WORKER))


def _cancel_every_consumer(site: Site) -> None:
    """Leave the worker as some versions of Celery leave it after they lost the broker: connected, and deaf."""
    for name in WORKER_QUEUES[WORKER]:
        broker.control(site, WORKER, "cancel_consumer", {"queue": name})
    broker.await_desertion(site, WORKER_QUEUES[WORKER])
    for name in WORKER_QUEUES[WORKER]:
        traffic.notify_many(name, WAITING)


def _worker_is_deaf(site: Site) -> str | None:
    """Tell whether the worker's connection hears control commands and takes no message."""
    found = [broker.queue(site, name) for name in WORKER_QUEUES[WORKER]]
    waiting = sum(int(one.get("messages_ready", 0)) for one in found)
    is_deserted = all(one and not one.get("consumers") for one in found)
    if not is_deserted or not waiting or not broker.hears_control(site, WORKER):
        return None
    return _("{worker} is connected and consumes nothing, {waiting} messages wait").format(
        worker=WORKER, waiting=waiting
    )


def _add_every_consumer(site: Site) -> None:
    for name in WORKER_QUEUES[WORKER]:
        broker.control(site, WORKER, "add_consumer", {"queue": name})
    containers.start(site, CONTAINER)
    _await_drained(site)


def _hang_worker(site: Site) -> None:
    site.remember(traffic.notify_many(QUEUE, HUNG_TASKS, HANG_MESSAGE))
    site.remember(traffic.notify_many("normal", WAITING))
    if not wait_until(lambda: _unacknowledged(site) >= HUNG_TASKS, TAKEN_SECONDS):
        raise StartError(_("{worker} does not take its tasks").format(worker=WORKER))
    if wait_until(lambda: _unacknowledged(site) < HUNG_TASKS, STUCK_SECONDS):
        raise StartError(_("a task that must hang has ended"))


def _unacknowledged(site: Site) -> int:
    return int(broker.queue(site, QUEUE).get("messages_unacknowledged", 0))


def _worker_hangs(site: Site) -> str | None:
    waiting = int(broker.queue(site, "normal").get("messages", 0))
    if _unacknowledged(site) < HUNG_TASKS or not waiting or containers.is_stopped(site, CONTAINER):
        return None
    return _("{worker}: {count} tasks never end, {waiting} messages wait behind them").format(
        worker=WORKER, count=HUNG_TASKS, waiting=waiting
    )


def _unhang_worker(site: Site) -> None:
    """Revoke the hung tasks: a restart alone would get them delivered again."""
    arguments = {"task_id": list(site.remembered()), "terminate": True, "signal": "SIGKILL"}
    containers.start(site, CONTAINER)
    broker.control(site, WORKER, "revoke", arguments)
    _await_drained(site)


def _freeze_worker(site: Site) -> None:
    _signal_worker(signal.SIGSTOP)
    traffic.notify_many("normal", WAITING)
    if not wait_until(lambda: traffic.heartbeats(site).get(WORKER) is False, SILENT_SECONDS):
        raise StartError(_("Flower still hears {worker}").format(worker=WORKER))


def _worker_is_frozen(site: Site) -> str | None:
    pids = _pids_of_worker()
    states = {_state_of(pid) for pid in pids}
    if states != {"T"} or traffic.heartbeats(site).get(WORKER) is not False:
        return None
    text = _("all {count} processes of {worker} are stopped; Flower no longer hears it")
    return text.format(count=len(pids), worker=WORKER)


def _thaw_worker(site: Site) -> None:
    _signal_worker(signal.SIGCONT)
    if not wait_until(lambda: traffic.heartbeats(site).get(WORKER) is True, BACK_SECONDS):
        raise StartError(_("Flower does not hear {worker} again").format(worker=WORKER))
    _await_drained(site)


def _signal_worker(number: int) -> None:
    for pid in _pids_of_worker():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _pids_of_worker() -> list[int]:
    """Return the processes of the worker; a lab has its network to itself, which tells it from another on this machine."""
    network = Path("/proc/self/ns/net").readlink()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            words = (entry / "cmdline").read_bytes().split(b"\0")
            is_worker = b"worker" in words and any(word.startswith(f"{WORKER}@".encode()) for word in words)
            if is_worker and (entry / "ns" / "net").readlink() == network:
                found.append(int(entry.name))
    return found


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _stop_worker(site: Site) -> None:
    containers.stop(site, CONTAINER)
    broker.await_desertion(site, WORKER_QUEUES[WORKER])
    traffic.notify_many("normal", WAITING)


def _worker_is_stopped(site: Site) -> str | None:
    return containers.is_stopped(site, CONTAINER)


def _start_worker(site: Site) -> None:
    containers.start(site, CONTAINER)
    _await_drained(site)


def _stop_broker(site: Site) -> None:
    containers.stop(site, broker.CONTAINER, grace_seconds=8)


def _broker_is_stopped(site: Site) -> str | None:
    stopped = containers.is_stopped(site, broker.CONTAINER)
    refused = looks.refuses(*containers.endpoint(broker.CONTAINER))
    return f"{stopped}; {refused}" if stopped and refused else None


def _start_broker(site: Site) -> None:
    containers.start(site, broker.CONTAINER)
    queues = tuple(QUEUE_PRIORITIES)
    if not wait_until(lambda: broker.has_consumers(site, queues), BACK_SECONDS):
        raise StartError(_("the workers have not come back to the broker"))


def _raise_memory_alarm(site: Site) -> None:
    broker.rabbitmqctl(site, "set_vm_memory_high_watermark", "0")


def _raise_disk_alarm(site: Site) -> None:
    broker.rabbitmqctl(site, "set_disk_free_limit", "1000GB")


def _alarm(site: Site, kind: str) -> str | None:
    if not broker.alarms(site)[kind]:
        return None
    if kind == "memory":
        return _("RabbitMQ reports its memory alarm; publishers are blocked")
    return _("RabbitMQ reports its disk alarm; publishers are blocked")


def _clear_memory_alarm(site: Site) -> None:
    broker.rabbitmqctl(site, "set_vm_memory_high_watermark", broker.MEMORY_WATERMARK)


def _clear_disk_alarm(site: Site) -> None:
    broker.rabbitmqctl(site, "set_disk_free_limit", broker.DISK_LIMIT)


INCIDENTS = (
    Incident(
        id="queue-without-consumer",
        runbook="notifications",
        title=N_("A queue has no consumer"),
        does=N_(
            "celery control cancel_consumer low_priority on worker2, and broadcasts published behind it."
        ),
        notice=N_("Broadcasts never arrive; every other notification does, and every worker is up."),
        root=Root("queue-without-consumer", f"rabbitmq/{QUEUE}"),
        break_=_cancel_consumer,
        is_live=_queue_has_no_consumer,
        heal=_add_consumer,
    ),
    Incident(
        id="worker-not-consuming",
        runbook="notifications",
        title=N_("A worker is up and no longer consumes"),
        does=N_("celery control cancel_consumer of both queues of worker2, and notifications behind them."),
        notice=N_(
            "Ordinary notifications and broadcasts stop; its container is up and healthy, nothing runs."
        ),
        root=Root("worker-not-consuming", f"celery/{WORKER}"),
        break_=_cancel_every_consumer,
        is_live=_worker_is_deaf,
        heal=_add_every_consumer,
    ),
    Incident(
        id="worker-frozen",
        runbook="notifications",
        title=N_("A worker is frozen"),
        does=N_("SIGSTOP to every process of worker2; it keeps its connections and its messages."),
        notice=N_(
            "Ordinary notifications and broadcasts stop; its container is up, nothing runs, nothing is logged."
        ),
        root=Root("worker-frozen", f"celery/{WORKER}", "warning"),
        break_=_freeze_worker,
        is_live=_worker_is_frozen,
        heal=_thaw_worker,
    ),
    Incident(
        id="worker-hung",
        runbook="notifications",
        title=N_("A worker hangs on its tasks"),
        does=N_("Four tasks wait for ever on a silent socket and take the whole pool of worker2; more wait."),
        notice=N_("Ordinary notifications and broadcasts stop; urgent ones arrive."),
        root=Root("worker-stuck-on-task", f"celery/{WORKER}"),
        break_=_hang_worker,
        is_live=_worker_hangs,
        heal=_unhang_worker,
    ),
    Incident(
        id="worker-container-stopped",
        runbook="notifications",
        title=N_("A worker is stopped"),
        does=N_("docker stop of samaconso_celery_worker_2 on server workers; its queues grow."),
        notice=N_("Ordinary notifications and broadcasts stop; urgent ones arrive."),
        root=Root("container-stopped", f"docker/{CONTAINER}"),
        root_of_processes=Root("worker-down", f"celery/{WORKER}"),
        break_=_stop_worker,
        is_live=_worker_is_stopped,
        heal=_start_worker,
    ),
    Incident(
        id="broker-stopped",
        runbook="notifications",
        title=N_("The broker is stopped"),
        does=N_("docker stop of samaconso_rabbitmq on server api."),
        notice=N_("POST /notifications answers 503; no notification is sent at all."),
        root=Root("container-stopped", f"docker/{broker.CONTAINER}"),
        root_of_processes=Root("rabbitmq-down", "rabbitmq/api"),
        break_=_stop_broker,
        is_live=_broker_is_stopped,
        heal=_start_broker,
    ),
    Incident(
        id="broker-memory-alarm",
        runbook="notifications",
        title=N_("The broker's memory alarm blocks publishers"),
        does=N_("rabbitmqctl set_vm_memory_high_watermark 0: RabbitMQ takes no message any more."),
        notice=N_("POST /notifications hangs and answers 503; queues are empty and consumers idle."),
        root=Root("broker-memory-alarm", "rabbitmq/api"),
        break_=_raise_memory_alarm,
        is_live=lambda site: _alarm(site, "memory"),
        heal=_clear_memory_alarm,
    ),
    Incident(
        id="broker-disk-alarm",
        runbook="notifications",
        title=N_("The broker's disk alarm blocks publishers"),
        does=N_("rabbitmqctl set_disk_free_limit 1000GB: RabbitMQ believes its disk to be full."),
        notice=N_("POST /notifications hangs and answers 503; queues are empty and consumers idle."),
        root=Root("broker-disk-alarm", "rabbitmq/api"),
        break_=_raise_disk_alarm,
        is_live=lambda site: _alarm(site, "disk"),
        heal=_clear_disk_alarm,
    ),
)
