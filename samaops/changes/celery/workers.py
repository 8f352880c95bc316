"""Changes of a whole Celery worker: restart one warm, make its pool larger or smaller."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.celery import control
from samaops.changes.docker import restart as docker
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.celery import CeleryNode
from samaops.facts.observation import Snapshot
from samaops.facts.servers import ServerFacts
from samaops.i18n import _
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step
from samaops.site.site import Site

_WORKERS = ("celery.worker",)
_MEMORY = ("servers.memory",)
# What one more process of the application is taken to need; the host must have it to spare.
PROCESS_BYTES = 200 * 1024 * 1024
MOST_PROCESSES = 16


@reading("celery_workers.capacity", codes=_WORKERS)
def capacity_of(snapshot: Snapshot, worker: str) -> Scalar:
    """Return how many messages a worker may hold at once: its processes times its prefetch multiplier."""
    return _capacity(snapshot, worker)


@reading("celery_workers.has_more", codes=_WORKERS)
def has_more(snapshot: Snapshot, worker: str, capacity: int | str) -> Scalar:
    """Return whether a worker may hold more messages than that."""
    return _capacity(snapshot, worker) > int(capacity)


@reading("celery_workers.has_fewer", codes=_WORKERS)
def has_fewer(snapshot: Snapshot, worker: str, capacity: int | str) -> Scalar:
    """Return whether a worker may hold fewer messages than that."""
    return _capacity(snapshot, worker) < int(capacity)


def _node(snapshot: Snapshot, worker: str) -> CeleryNode:
    nodes = control.nodes(snapshot, worker)
    if len(nodes) != 1:
        text = _("{count} nodes are connected as {worker}, not one")
        raise UnreadableError(text.format(count=len(nodes), worker=worker))
    return nodes[0]


def _capacity(snapshot: Snapshot, worker: str) -> int:
    capacity = _node(snapshot, worker).capacity
    if capacity is None:
        text = _("RabbitMQ does not tell how many messages {worker} may hold")
        raise UnreadableError(text.format(worker=worker))
    return capacity


def _restart_looks(site: Site, worker: str) -> tuple[str, ...]:
    return (*docker.looks(site, _container(site, worker)), "celery.task.stuck")


@verb("workers restart", looks=_restart_looks)
def plan_restart(snapshot: Snapshot, site: Site, worker: str) -> Plan:
    """Plan the warm restart of one worker: its tasks may end first, and come back where they cannot."""
    plan = docker.plan_restart(snapshot, site, _container(site, worker))
    title = _("Restart the worker {worker}").format(worker=worker)
    steps = tuple(replace(step, id="workers.restart") for step in plan.steps)
    note = _("Its tasks have {seconds} s to end; one that has not comes back to its queue").format(
        seconds=docker.GRACE_SECONDS
    )
    cures = (*plan.cures, f"celery.task.stuck@celery/{worker}")
    return replace(
        plan,
        verb="workers restart", arguments=(worker,), title=title, target=worker, steps=steps,
        cures=cures, notes=(*plan.notes, note),
    )  # fmt: skip


def _container(site: Site, worker: str) -> str:
    return str(control.configured(site, worker)[1].container)


def _scale_looks(site: Site, worker: str, by: str) -> tuple[str, ...]:
    control.configured(site, worker)
    if not 0 < abs(int(by)) <= MOST_PROCESSES:
        text = _("A pool changes by 1 to {most} processes at a time")
        raise UsageError(text.format(most=MOST_PROCESSES))
    return (*_WORKERS, *control.CONTAINERS, *(_MEMORY if int(by) > 0 else ()))


class _Scaling(Struct, frozen=True):
    """A pool before it is scaled, and by how much."""

    worker: str
    node: str
    capacity: int
    by: int

    @property
    def title(self) -> str:
        text = (
            _("Add {count} processes to the worker {worker}")
            if self.by > 0
            else _("Take {count} processes from the worker {worker}")
        )
        return text.format(count=abs(self.by), worker=self.worker)


def _typed_scale(worker: str, by: str) -> tuple[str, ...]:
    return (worker, "--add" if int(by) > 0 else "--remove", str(abs(int(by))))


@verb("workers scale", looks=_scale_looks, typed=_typed_scale)
def plan_scale(snapshot: Snapshot, site: Site, worker: str, by: str) -> Plan:
    """Plan that a worker's pool grows or shrinks, until it restarts.

    Guards: the host has the memory, at least one process is left, and exactly one node answers to the name.
    """
    try:
        node = str(control.node_of(snapshot, worker))
        scaling = _Scaling(worker, node, _capacity(snapshot, worker), int(by))
        _guard(snapshot, site, scaling)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the workers: {reason}").format(reason=error)) from error
    note = _("Until the worker restarts: change its --concurrency option as well")
    words, step = (worker, f"{scaling.by:+d}"), _scale_step(site, scaling)
    return Plan("workers scale", words, scaling.title, worker, (step,), notes=(note,))


def _guard(snapshot: Snapshot, site: Site, scaling: _Scaling) -> None:
    if not scaling.capacity:
        text = _("{worker} takes messages without limit: how large its pool is cannot be seen")
        raise RefusedError(text.format(worker=scaling.worker))
    if scaling.capacity + scaling.by < 1:
        text = _("{worker} holds {capacity} messages at once: nothing would be left of its pool")
        raise RefusedError(text.format(worker=scaling.worker, capacity=scaling.capacity))
    if scaling.by > 0:
        _require_memory(snapshot, site, scaling)


def _require_memory(snapshot: Snapshot, site: Site, scaling: _Scaling) -> None:
    server = control.configured(site, scaling.worker)[1].server
    facts = facts_in(snapshot, ServerFacts, server)
    left = facts.memory_available - scaling.by * PROCESS_BYTES
    if left < facts.memory_total * site.settings.safety.minimum_free_percent / 100:
        text = _(
            "{server} has {free} MB of memory to spare; {count} processes need about {needed} MB and {percent:g}% must stay free"
        )
        words = {"server": server, "percent": site.settings.safety.minimum_free_percent, "count": scaling.by}
        free, needed = facts.memory_available // 2**20, scaling.by * PROCESS_BYTES // 2**20
        raise RefusedError(text.format(**words, free=free, needed=needed))


def _scale_step(site: Site, scaling: _Scaling) -> Step:
    worker, capacity = scaling.worker, scaling.capacity
    commands = ("pool_grow", "pool_shrink") if scaling.by > 0 else ("pool_shrink", "pool_grow")
    count = str(abs(scaling.by))
    forth, back = (control.tell(site, worker, scaling.node, command, count) for command in commands)
    connected = _("the worker {worker} is connected as {node}").format(worker=worker, node=scaling.node)
    holds = _("{worker} holds at most {capacity} messages").format(worker=worker, capacity=capacity)
    changed = (
        _("{worker} holds more than {capacity} messages")
        if scaling.by > 0
        else _("{worker} holds fewer than {capacity} messages")
    )
    name = "celery_workers.has_more" if scaling.by > 0 else "celery_workers.has_fewer"
    text = changed.format(worker=worker, capacity=capacity)
    return Step(
        id="workers.scale",
        title=scaling.title,
        risk=Risk.SAFE,
        operation=forth,
        undo=back,
        needs=(Condition("celery.node", (worker,), scaling.node, connected),),
        before=(Condition("celery_workers.capacity", (worker,), capacity, holds),),
        after=(Condition(name, (worker, capacity), True, text),),
        is_undone_only_if_seen=True,  # both commands count from what is there
        servers=site.servers_of("rabbitmq"),
    )
