"""Let a worker end what it works on before it is restarted: it takes nothing new meanwhile, so that no task is lost.

A worker that is told to stop (warm) waits for its tasks as long as Docker lets it, then it is killed with them. So it is
told to consume nothing more first, and its active tasks are waited for; what it holds without having begun it goes back to its queue.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict

from samaops.changes.celery import control
from samaops.changes.readings import facts_in, reading
from samaops.facts.celery import CeleryFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Risk, Scalar, Step
from samaops.site.site import Site

DRAIN, TAKE_UP = "celery.drain", "celery.take_up"
# To be told of one queue, and to be asked for its tasks once, with the log-in and the start of a watchdog.
TELL_SECONDS = 30.0


class Draining(Struct, frozen=True):
    """Which worker takes nothing new, how long its tasks are waited for, and when a watchdog lets it consume again.

    ``node`` is its full name and ``container`` where it runs now, ``queues`` what it consumes now. Times in seconds.
    """

    worker: str
    node: str
    container: str
    queues: tuple[str, ...]
    within: float
    guard_seconds: float


class TakingUp(Struct, frozen=True):
    """Which worker consumes these queues again; its watchdog ends."""

    worker: str
    node: str
    container: str
    queues: tuple[str, ...]


@reading("celery.enough_work", codes=("celery.worker",))
def enough_work(snapshot: Snapshot, least: int | str, *workers: str) -> Scalar:
    """Return whether at least so many of these workers consume all their queues, each given as ``name=queue,queue``."""
    return sum(works(snapshot, *_split(worker)) for worker in workers) >= int(least)


def as_word(worker: str, queues: tuple[str, ...]) -> str:
    """Return a worker and its queues as a reading takes them."""
    return f"{worker}={','.join(queues)}"


def _split(word: str) -> tuple[str, tuple[str, ...]]:
    worker, _equals, queues = word.partition("=")
    return worker, tuple(filter(None, queues.split(",")))


def works(snapshot: Snapshot, worker: str, queues: tuple[str, ...]) -> bool:
    """Return whether a worker consumes these queues; one without a control queue where somebody such does. Raises UnreadableError."""
    nodes = control.nodes(snapshot, worker)
    if nodes:
        return len(nodes) == 1 and set(queues) <= set(nodes[0].queues)
    return bool(facts_in(snapshot, CeleryFacts).without_control(queues))


def drain_step(site: Site, of: Draining, needs: tuple[Condition, ...]) -> Step:
    """Return the step that lets a worker take nothing new and waits for its active tasks; undone, it consumes again."""
    server = site.workers()[of.worker].server
    undo = TakingUp(of.worker, of.node, of.container, of.queues)
    seconds = of.within + TELL_SECONDS * (len(of.queues) + 1)
    connected = _("the worker {worker} is connected as {node}").format(worker=of.worker, node=of.node)
    return Step(
        id="celery.drain",
        title=_("Let the worker {worker} end its tasks and take no new ones").format(worker=of.worker),
        risk=Risk.DISRUPTIVE,
        operation=Operation(DRAIN, asdict(of), server, seconds),
        undo=Operation(TAKE_UP, asdict(undo), server, seconds),
        needs=(*needs, Condition("celery.node", (of.worker,), of.node, connected)),
        before=tuple(_consumes(of, queue, is_so=True) for queue in of.queues),
        after=tuple(_consumes(of, queue, is_so=False) for queue in of.queues),
        servers=site.servers_of("rabbitmq"),
        about=f"celery/{of.worker}",
    )


def take_up_step(site: Site, of: Draining, *, ends_part: bool) -> Step:
    """Return the step that ends a worker's watchdog once it is back, and lets it consume what its own options do not name."""
    worker = site.workers()[of.worker]
    extra = tuple(queue for queue in of.queues if queue not in worker.queues)
    again = TakingUp(of.worker, of.node, of.container, extra)
    seconds = TELL_SECONDS * (len(extra) + 1)
    return Step(
        id="celery.take_up",
        title=_("See that the worker {worker} consumes what it did").format(worker=of.worker),
        risk=Risk.SAFE,
        operation=Operation(TAKE_UP, asdict(again), worker.server, seconds),
        no_undo=_("it consumes as before"),
        before=(),
        after=tuple(_consumes(of, queue, is_so=True) for queue in of.queues),
        servers=site.servers_of("rabbitmq"),
        about=f"celery/{of.worker}",
        ends_part=ends_part,
    )


def _consumes(of: Draining, queue: str, *, is_so: bool) -> Condition:
    text = _("{worker} consumes {queue}") if is_so else _("{worker} does not consume {queue}")
    return Condition("celery.consumes", (of.worker, queue), is_so, text.format(worker=of.worker, queue=queue))
