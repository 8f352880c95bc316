"""Changes of the Celery workers, told to a worker by ``celery control`` inside its own container."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.changes.celery import control
from samaops.changes.rabbitmq.broker import QUEUES, queues_in
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.config import consistency
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.celery import CeleryFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.site import Site

_WORKERS = ("celery.worker",)


@reading("celery.is_connected", codes=_WORKERS)
def is_connected(snapshot: Snapshot, worker: str) -> Scalar:
    """Return whether a worker is connected to the broker."""
    return bool(control.nodes(snapshot, worker))


@reading("celery.are_consumed", codes=_WORKERS)
def are_consumed(snapshot: Snapshot, *queues: str) -> Scalar:
    """Return whether somebody without a control queue consumes all of these queues."""
    return bool(facts_in(snapshot, CeleryFacts).without_control(queues))


@reading("celery.consumes", codes=_WORKERS)
def consumes(snapshot: Snapshot, worker: str, queue: str) -> Scalar:
    """Return whether a worker consumes a queue, as the broker sees it."""
    return any(queue in node.queues for node in control.nodes(snapshot, worker))


@reading("celery.queue_exists", codes=QUEUES)
def queue_exists(snapshot: Snapshot, queue: str) -> Scalar:
    """Return whether the broker has a queue."""
    return queues_in(snapshot).queue(queue) is not None


def _looks(site: Site, worker: str, queue: str) -> tuple[str, ...]:
    control.configured(site, worker)
    _require_known_queue(site, queue)
    return (*_WORKERS, "celery.queue", *QUEUES, *control.CONTAINERS)


@verb("workers add-queue", looks=_looks)
def plan_add_queue(snapshot: Snapshot, site: Site, worker: str, queue: str) -> Plan:
    """Plan that a running worker consumes one more queue, until it restarts: its -Q option stays what it is.

    Guards: the queue exists on the broker, and exactly one node answers to the worker's name.
    """
    title = _("Let the worker {worker} consume the queue {queue}").format(worker=worker, queue=queue)
    plan = Plan("workers add-queue", (worker, queue), title, target=f"{worker}/{queue}", cures=_cures(queue))
    try:
        node, exists = str(control.node_of(snapshot, worker)), queue_exists(snapshot, queue)
        is_consumed = consumes(snapshot, worker, queue)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the workers: {reason}").format(reason=error)) from error
    if is_consumed:
        nothing = _("{worker} already consumes the queue {queue}").format(worker=worker, queue=queue)
        return replace(plan, nothing_to_do=nothing)
    _guard(worker, queue, node, exists=bool(exists))
    notes = (_("Until the worker restarts: add {queue} to its -Q option as well").format(queue=queue),)
    return replace(plan, steps=(_step(site, worker, queue, node, title),), notes=notes)


def _guard(worker: str, queue: str, node: str, *, exists: bool) -> None:
    if not exists:
        text = _(
            "The queue {queue} does not exist on the broker: a worker would make another one of that name"
        )
        raise RefusedError(text.format(queue=queue), hint="samaops diagnose --only rabbitmq")
    if not node:
        text = _("The worker {worker} is not connected to the broker: there is nobody to tell")
        raise RefusedError(text.format(worker=worker), hint="samaops diagnose --only celery,docker")
    if " " in node:
        text = _("More than one node answers to {worker}: {nodes}")
        raise RefusedError(text.format(worker=worker, nodes=node), hint="samaops diagnose --only celery")


def _step(site: Site, worker: str, queue: str, node: str, title: str) -> Step:
    words = {"worker": worker, "queue": queue, "node": node}
    is_connected = _("the worker {worker} is connected as {node}").format(**words)
    exists = _("the queue {queue} exists on the broker").format(**words)
    consumed = _("{worker} consumes {queue}").format(**words)
    not_consumed = _("{worker} does not consume {queue}").format(**words)
    of = (worker, queue)
    return Step(
        id="workers.add_queue",
        title=title,
        risk=Risk.SAFE,
        operation=control.tell(site, worker, node, "add_consumer", queue),
        undo=control.tell(site, worker, node, "cancel_consumer", queue),
        needs=(
            Condition("celery.node", (worker,), node, is_connected),
            Condition("celery.queue_exists", (queue,), True, exists),
        ),
        before=(Condition("celery.consumes", of, False, not_consumed),),
        after=(Condition("celery.consumes", of, True, consumed),),
        servers=site.servers_of("rabbitmq"),
    )


def _require_known_queue(site: Site, queue: str) -> None:
    known = dict.fromkeys(site.settings.rabbitmq.queues if site.settings.rabbitmq else ())
    for worker in site.settings.celery.workers.values() if site.settings.celery else ():
        known.update(dict.fromkeys(worker.queues))
    if queue not in known:
        raise UsageError(
            _("The configuration knows no queue {queue!r}").format(queue=queue),
            hint=consistency.not_one_of(queue, known),
        )


def _cures(queue: str) -> tuple[str, ...]:
    return (
        f"rabbitmq.queue.no_consumer@rabbitmq/{queue}",
        f"celery.queue.uncovered@celery/{queue}",
    )
