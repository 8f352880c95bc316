"""Revoke one task in which a worker is stuck: end it, or have it dropped when it comes again."""

from __future__ import annotations

import shlex

from msgspec.structs import replace

from samaops.changes.celery import control
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.config.settings import Celery, Worker
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.celery import ACTIVE_TASKS, ActiveTask, CeleryFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step, shell
from samaops.site.site import Site

_TASKS = ("celery.worker", "celery.task.stuck")
TERMINATE = "--terminate"
# A process that waits in a library may never get to handle SIGTERM; the kernel itself sees to this one.
SIGNAL = "SIGKILL"
# Celery is started twice: to tell, and to ask whether it was understood.
CONTROL_SECONDS = 2 * control.CONTROL_SECONDS


@reading("celery_revoke.is_active", codes=_TASKS)
def is_active(snapshot: Snapshot, task_id: str) -> Scalar:
    """Return whether a worker is in a task, as Flower heard it."""
    return _active(snapshot, task_id) is not None


def _active(snapshot: Snapshot, task_id: str) -> ActiveTask | None:
    """Return a task that a worker is in; Flower also remembers those of a worker that was killed."""
    active = facts_in(snapshot, CeleryFacts).active
    if active is None:
        raise UnreadableError(_("Flower does not say which tasks are active"))
    task = next((task for task in active if task.id == task_id and task.worker_active != 0), None)
    if task is None and len(active) >= ACTIVE_TASKS:
        text = _("more than {count} tasks are active, and this one is not among the newest")
        raise UnreadableError(text.format(count=ACTIVE_TASKS))
    return task


def _looks(site: Site, task_id: str, manner: str = "") -> tuple[str, ...]:
    if site.settings.celery is None or site.settings.flower is None:
        section = "[celery]" if site.settings.celery is None else "[flower]"
        raise UsageError(_("{section} is not configured").format(section=section), hint="samaops config show")
    if not task_id.strip() or manner not in ("", TERMINATE):
        raise UsageError(_("A task's id is needed"), hint="samaops diagnose --only celery.task")
    return (*_TASKS, *control.CONTAINERS)


@verb("workers revoke", looks=_looks)
def plan_revoke(snapshot: Snapshot, site: Site, task_id: str, manner: str = "") -> Plan:
    """Plan that one stuck task is ended, or forgotten when it comes again. Its message is lost either way.

    Guards: a configured worker is in it now, and has been for longer than a task may be.
    """
    is_ended = manner == TERMINATE
    title = (
        _("End the task {id}: its process is killed")
        if is_ended
        else _("Drop the task {id} if it comes again")
    )
    words = (task_id, TERMINATE) if is_ended else (task_id,)
    plan = Plan("workers revoke", words, title.format(id=task_id), target=task_id)
    try:
        task = _active(snapshot, task_id)
        if task is None:
            return replace(
                plan, nothing_to_do=_("no worker is in a task with the id {id}").format(id=task_id)
            )
        name = task.worker.partition("@")[0]
        place = _require_ours(site, task, name)
        node = str(control.node_of(snapshot, name))
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the tasks: {reason}").format(reason=error)) from error
    if node != task.worker:
        text = _("The worker {worker} is connected as {node!r}, and the task is in {other!r}")
        raise RefusedError(text.format(worker=name, node=node, other=task.worker))
    step = _step(task, place, plan.title, is_ended=is_ended)
    # What is read comes from the broker and from Flower.
    step = replace(step, servers=site.servers_of("rabbitmq", "flower"))
    return replace(plan, steps=(step,), notes=tuple(_notes(task, is_ended=is_ended)))


def _require_ours(site: Site, task: ActiveTask, name: str) -> tuple[Celery, Worker]:
    section = site.settings.celery
    worker = section.workers.get(name) if section else None
    if section is None or worker is None or worker.container is None:
        text = _("The task is in {worker}, which is no worker with a container in [celery.workers]")
        raise RefusedError(text.format(worker=task.worker), hint="samaops workers list")
    if task.runtime_seconds < section.stuck_after:
        text = _(
            "The task {id} has been active for {seconds:.0f} s only: one is called stuck after {limit:g} s "
            "([celery] stuck_after)"
        )
        words = {"id": task.id, "seconds": task.runtime_seconds, "limit": section.stuck_after}
        raise RefusedError(text.format(**words), hint="samaops diagnose --only celery.task")
    return section, worker


def _notes(task: ActiveTask, *, is_ended: bool) -> tuple[str, ...]:
    lost = _(
        "Celery acknowledges the message of a task that is ended so, also with acks_late: it does not come back, and "
        "the notification is not sent"
    )
    if not is_ended:
        lost = _(
            "The process that is in it goes on. If it ends well, nothing is lost; if its message comes back, every "
            "worker drops it until that worker restarts, and the notification is not sent"
        )
    what = _("What it was to do, for whoever sends it again: {name} {arguments}")
    return lost, what.format(name=task.name, arguments=task.arguments)


def _step(task: ActiveTask, place: tuple[Celery, Worker], title: str, *, is_ended: bool) -> Step:
    words = {"id": task.id, "worker": task.worker}
    active = _("{worker} is in the task {id}").format(**words)
    over = _("{worker} is no longer in the task {id}").format(**words)
    after = (Condition("celery_revoke.is_active", (task.id,), False, over),) if is_ended else ()
    return Step(
        id="workers.revoke",
        title=title,
        risk=Risk.DESTRUCTIVE,
        operation=_end(task, *place) if is_ended else _drop(task, *place),
        destroys=_destroyed(task, is_ended=is_ended),
        before=(Condition("celery_revoke.is_active", (task.id,), True, active),),
        after=after,
        no_undo=_("its process has ended, and the broker has no longer its message")
        if is_ended
        else _("Celery cannot take a revocation back; workers forget it when they restart"),
    )


def _destroyed(task: ActiveTask, *, is_ended: bool) -> str:
    text = (
        _(
            "the message of the task {id} ({name}), and what its process has not finished of it; no other message"
        )
        if is_ended
        else _("the message of the task {id} ({name}) if it comes again; nothing if it does not")
    )
    return text.format(id=task.id, name=task.name)


def _end(task: ActiveTask, section: Celery, worker: Worker) -> Operation:
    words = ("control", "--timeout", str(control.REPLY_SECONDS), "--destination", task.worker)
    command = control.inside(section, worker, *words, "terminate", SIGNAL, task.id)
    return shell(command, worker.server, CONTROL_SECONDS)


def _drop(task: ActiveTask, section: Celery, worker: Worker) -> Operation:
    """Tell every worker, for the message may come to another one; see that this one has understood."""
    timeout = ("--timeout", str(control.REPLY_SECONDS))
    tell = control.inside(section, worker, "control", *timeout, "revoke", task.id)
    ask = control.inside(section, worker, "inspect", *timeout, "--destination", task.worker, "revoked")
    return shell(f"{tell} && {ask} | grep -F {shlex.quote(task.id)}", worker.server, CONTROL_SECONDS)
