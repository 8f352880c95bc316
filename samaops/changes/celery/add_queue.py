"""Changes of the Celery workers, told to a worker by ``celery control`` inside its own container."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec.structs import replace

from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import Verb
from samaops.config import consistency
from samaops.config.settings import Celery, Worker
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.celery import CeleryFacts, CeleryNode
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.i18n import _
from samaops.model.plan import SHELL, Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site.site import Site

_WORKERS = ("celery.worker",)
_QUEUES = ("rabbitmq.queue",)
# celery itself starts in seconds; the worker is asked for its answer this long.
REPLY_SECONDS = 5
CONTROL_SECONDS = 30.0


@reading("celery.node", codes=_WORKERS)
def node_of(snapshot: Snapshot, worker: str) -> Scalar:
    """Return the full node name of a worker; empty when it is not connected, all names when it is not alone."""
    return " ".join(node.name for node in _nodes(snapshot, worker))


@reading("celery.is_connected", codes=_WORKERS)
def is_connected(snapshot: Snapshot, worker: str) -> Scalar:
    """Return whether a worker is connected to the broker."""
    return bool(_nodes(snapshot, worker))


@reading("celery.consumes", codes=_WORKERS)
def consumes(snapshot: Snapshot, worker: str, queue: str) -> Scalar:
    """Return whether a worker consumes a queue, as the broker sees it."""
    return any(queue in node.queues for node in _nodes(snapshot, worker))


@reading("celery.queue_exists", codes=_QUEUES)
def queue_exists(snapshot: Snapshot, queue: str) -> Scalar:
    """Return whether the broker has a queue."""
    broker = facts_in(snapshot, RabbitMQFacts)
    if broker.queues is None:
        raise UnreadableError(_("the broker's queues could not be read"))
    return broker.queue(queue) is not None


def _nodes(snapshot: Snapshot, worker: str) -> list[CeleryNode]:
    return [node for node in facts_in(snapshot, CeleryFacts).nodes if node.key == worker]


def _codes(site: Site, arguments: Sequence[str]) -> tuple[str, ...]:
    worker, queue = arguments
    _worker(site, worker)
    _require_known_queue(site, queue)
    return (*_WORKERS, "celery.queue", *_QUEUES)


def plan_add_queue(snapshot: Snapshot, site: Site, arguments: Sequence[str]) -> Plan:
    """Plan that a running worker consumes one more queue, until it restarts: its -Q option stays what it is.

    Guards: the queue exists on the broker, and exactly one node answers to the worker's name.
    """
    worker, queue = arguments
    title = _("Let the worker {worker} consume the queue {queue}").format(worker=worker, queue=queue)
    plan = Plan("workers add-queue", (worker, queue), title, target=f"{worker}/{queue}", cures=_cures(queue))
    try:
        node, exists = str(node_of(snapshot, worker)), queue_exists(snapshot, queue)
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
        operation=_control(site, worker, node, "add_consumer", queue),
        undo=_control(site, worker, node, "cancel_consumer", queue),
        needs=(
            Condition("celery.node", (worker,), node, is_connected),
            Condition("celery.queue_exists", (queue,), True, exists),
        ),
        before=(Condition("celery.consumes", of, False, not_consumed),),
        after=(Condition("celery.consumes", of, True, consumed),),
    )


def _control(site: Site, worker: str, node: str, command: str, queue: str) -> Operation:
    """Return the celery command for exactly one node: without ``--destination`` every worker would obey."""
    celery, configured = _worker(site, worker)
    inside = [
        *shlex.split(celery.command), "-A", celery.app, "control", "--timeout", str(REPLY_SECONDS),
        "--destination", node, command, queue,
    ]  # fmt: skip
    text = shlex.join(["docker", "exec", str(configured.container), *inside])
    return Operation(SHELL, text, configured.server, CONTROL_SECONDS)


def _worker(site: Site, name: str) -> tuple[Celery, Worker]:
    workers = site.settings.celery.workers if site.settings.celery else {}
    if site.settings.celery is None or name not in workers:
        raise UsageError(
            _("There is no worker {name!r} in [celery.workers]").format(name=name),
            hint=consistency.not_one_of(name, workers),
        )
    if workers[name].container is None:
        text = _("[celery.workers.{name}] names no container: it cannot be told anything")
        raise RefusedError(text.format(name=name), hint="samaops config show")
    return site.settings.celery, workers[name]


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


ADD_QUEUE = Verb("workers add-queue", _codes, plan_add_queue)
