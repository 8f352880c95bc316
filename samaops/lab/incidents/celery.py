"""Workers that are gone, frozen, hung, or consume nothing."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from samaops.i18n import N_, _
from samaops.lab.app.switches import HANG_MESSAGE
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import WAITING, stopped, unconsumed
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import broker, traffic
from samaops.lab.layout import WORKER_QUEUES
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

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
        fault=unconsumed(WORKER, QUEUE),
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
        fault=unconsumed(WORKER, *WORKER_QUEUES[WORKER]),
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
        fault=Fault(break_=_freeze, evidence=_is_frozen, heal=_thaw),
    ),
    Incident(
        id="worker-hung",
        runbook="notifications",
        title=N_("A worker hangs on its tasks"),
        does=N_("Four tasks wait for ever on a silent socket and take the whole pool of worker2; more wait."),
        notice=N_("Ordinary notifications and broadcasts stop; urgent ones arrive."),
        root=Root("worker-stuck-on-task", f"celery/{WORKER}"),
        fault=Fault(break_=_hang, evidence=_hangs, heal=_revoke),
    ),
    Incident(
        id="worker-container-stopped",
        runbook="notifications",
        title=N_("A worker is stopped"),
        does=N_("docker stop of samaconso_celery_worker_2 on server workers; its queues grow."),
        notice=N_("Ordinary notifications and broadcasts stop; urgent ones arrive."),
        root=Root("container-stopped", f"docker/{CONTAINER}"),
        root_of_processes=Root("worker-down", f"celery/{WORKER}"),
        fault=stopped(CONTAINER).then(
            _leave_messages, heal=lambda site: broker.await_consumption(site, WORKER)
        ),
    ),
)
