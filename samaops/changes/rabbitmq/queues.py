"""Changes of RabbitMQ: empty a queue into a file, set the memory at which publishers are blocked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops.changes.rabbitmq.broker import (
    QUEUES,
    configured,
    count_in,
    queue_in,
    rabbitmqctl,
    require_container,
    require_queue,
)
from samaops.changes.readings import UnreadableError, facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.config import files
from samaops.config.settings import RabbitMQ
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.rabbitmq import BrokerNode, RabbitMQFacts
from samaops.facts.servers import ServerFacts
from samaops.i18n import _, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.site import chosen
from samaops.site import commands as command_lines
from samaops.site.shell_words import operands
from samaops.site.site import Site

_MEMORY = ("rabbitmq.memory", "rabbitmq.alarm")
# Through the management API, all in one process's memory: more is a job for a shovel.
MOST_MESSAGES = 50_000
# RabbitMQ doubles for a moment while it collects garbage: no more of the container or the host may be its own.
MOST_FRACTION = 0.7
TAKE, RESTORE = "rabbitmq.take", "rabbitmq.restore"
MESSAGES_SECONDS = 600.0


class Taking(Struct, frozen=True):
    """At most so many messages are taken out of a queue, into a new file."""

    queue: str
    most: int
    file: str


class Restoring(Struct, frozen=True):
    """What a file holds, and was not yet published again, is published to a queue."""

    queue: str
    file: str


def beforehand(path: Path) -> Path:
    """Return where the batch stands that is being taken: perhaps nowhere else, when its process was killed."""
    return path.with_name(path.name + ".next")


def progress(path: Path) -> Path:
    """Return where it is kept how many messages of a file were published again."""
    return path.with_name(path.name + ".restored")


@reading("rabbitmq.has_at_least", codes=QUEUES)
def has_at_least(snapshot: Snapshot, queue: str, count: int | str) -> Scalar:
    """Return whether at least so many messages are ready in a queue."""
    return count_in(snapshot, queue_in(snapshot, queue)).ready >= int(count)


@reading("rabbitmq.memory_limit", codes=_MEMORY)
def memory_limit(snapshot: Snapshot, node: str) -> Scalar:
    """Return the memory in bytes above which a node blocks its publishers."""
    return _memory_of(_node(snapshot, node))[1]


@reading("rabbitmq.has_memory_alarm", codes=_MEMORY)
def has_memory_alarm(snapshot: Snapshot, node: str) -> Scalar:
    """Return whether a node blocks its publishers for memory."""
    return known(_node(snapshot, node).memory_alarm, _("whether a node has an alarm"))


def _memory_of(node: BrokerNode) -> tuple[int, int]:
    """Return what a node uses, and above which it blocks its publishers."""
    words = _("how much memory {node} uses and may use").format(node=node.name)
    return known(node.memory_used, words), known(node.memory_limit, words)


def _nodes(snapshot: Snapshot) -> tuple[BrokerNode, ...]:
    nodes = facts_in(snapshot, RabbitMQFacts).nodes
    if nodes is None:
        raise UnreadableError(_("our user may not see the broker's nodes: it needs the tag monitoring"))
    return nodes


def _node(snapshot: Snapshot, name: str) -> BrokerNode:
    for node in _nodes(snapshot):
        if node.name == name:
            return node
    raise UnreadableError(_("there is no node {node}").format(node=name))


def _purge_looks(site: Site, queue: str, _file: str) -> tuple[str, ...]:
    require_queue(site, queue)
    return QUEUES


# Again into a new file: the one that was written is never overwritten.
@verb("queue purge", looks=_purge_looks, typed=lambda queue, _file: (queue,))
def plan_purge(snapshot: Snapshot, site: Site, queue: str, file: str) -> Plan:
    """Plan that every ready message of a queue is taken out of it, into a new file on this machine.

    Nothing is purged that is not in the file. Guards: the file is new, and the messages are not too many.
    """
    path = Path(file).expanduser().absolute()
    try:
        count = count_in(snapshot, queue_in(snapshot, queue))
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the queue: {reason}").format(reason=error)) from error
    ready = count.ready
    title = _("Take {count} messages out of the queue {queue}, into {file}").format(
        count=ready, queue=queue, file=path
    )
    plan = Plan("queue purge", (queue, str(path)), title, target=queue)
    if not ready:
        return replace(plan, nothing_to_do=_("no message is ready in {queue}").format(queue=queue))
    _guard_purge(ready, path)
    step = _purge_step(site, Taking(queue, ready, str(path)), title)
    return replace(plan, steps=(step,), notes=tuple(_purge_notes(queue, count.consumers, site)))


def _guard_purge(ready: int, file: Path) -> None:
    for path in (file, beforehand(file), progress(file)):
        if files.exists(path):
            raise RefusedError(_("{file} exists already: it is not overwritten").format(file=path))
    if ready > MOST_MESSAGES:
        text = _("{count} messages are too many to be taken through the management API (at most {most})")
        raise RefusedError(text.format(count=ready, most=MOST_MESSAGES))


def _purge_notes(queue: str, consumers: int, site: Site) -> Iterator[str]:
    if not consumers:
        worker = site.worker_of(queue)
        words = f"workers add-queue {operands(worker, queue)}" if worker else "workers list"
        command = command_lines.samaops(site, words)
        text = _("Nobody consumes {queue}. To have its notifications sent: {command}")
        yield text.format(queue=queue, command=chosen.same(command))


def _purge_step(site: Site, take: Taking, title: str) -> Step:
    of, restore = (take.queue, take.most), Restoring(take.queue, take.file)
    words = {"count": take.most, "queue": take.queue, "file": take.file}
    full = _("at least {count} messages are ready in {queue}").format(**words)
    emptier = _("fewer than {count} messages are ready in {queue}").format(**words)
    return Step(
        id="queue.purge",
        title=title,
        risk=Risk.DESTRUCTIVE,
        operation=Operation(TAKE, asdict(take), timeout_seconds=MESSAGES_SECONDS),
        undo=Operation(RESTORE, asdict(restore), timeout_seconds=MESSAGES_SECONDS),
        destroys=ngettext(
            "{count} message leaves {queue} and is not processed; it is written to {file} before it is taken",
            "{count} messages leave {queue} and are not processed; each is written to {file} before it is taken",
            take.most,
        ).format(**words),
        undo_restores=_(
            "each message of {file} once, at the end of {queue}, behind what has come since"
        ).format(**words),
        is_undo_final=True,
        before=(Condition("rabbitmq.has_at_least", of, True, full),),
        after=(Condition("rabbitmq.has_at_least", of, False, emptier),),
        servers=site.servers_of("rabbitmq"),
    )


def _watermark_looks(site: Site, fraction: str) -> tuple[str, ...]:
    if not 0 < float(fraction) <= MOST_FRACTION:
        text = _("{fraction} is not above 0 and at most {most}")
        raise UsageError(text.format(fraction=fraction, most=MOST_FRACTION))
    require_container(site)
    return (*_MEMORY, "docker.container", "servers.memory")


@verb("queue set-watermark", looks=_watermark_looks)
def plan_watermark(snapshot: Snapshot, site: Site, fraction: str) -> Plan:
    """Plan that the broker blocks publishers above this fraction of its container's, or its host's, memory.

    Guards: the broker already uses less than that, and its host has what it may then take more.
    """
    broker = configured(site)
    try:
        nodes = _nodes(snapshot)
        if len(nodes) != 1:
            raise RefusedError(_("The broker has several nodes: set each by hand, on its own host"))
        total = _memory_of_broker(snapshot, broker)
        wanted = int(total * float(fraction))
        title = _("Let RabbitMQ use {size} MB before it blocks publishers").format(size=wanted // 10**6)
        target = nodes[0].name
        plan = Plan("queue set-watermark", (fraction,), title, target, cures=_alarm_cures(site))
        if _memory_of(nodes[0])[1] == wanted:
            return replace(plan, nothing_to_do=_("it is so already"))
        _guard_memory(snapshot, site, nodes[0], wanted)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the broker: {reason}").format(reason=error)) from error
    note = _("Until the broker restarts: change vm_memory_high_watermark in rabbitmq.conf as well")
    return replace(plan, steps=(_watermark_step(broker, nodes[0], wanted, title),), notes=(note,))


def _alarm_cures(site: Site) -> tuple[str, ...]:
    return (f"rabbitmq.alarm.memory@rabbitmq/{configured(site).server}",)


def _memory_of_broker(snapshot: Snapshot, broker: RabbitMQ) -> int:
    """Return the container's memory limit, or the host's memory when it has none."""
    docker = facts_in(snapshot, DockerFacts, broker.server)
    container = docker.named(str(broker.container))
    if container is None:
        text = _("there is no container {name} on {server}")
        raise UnreadableError(text.format(name=broker.container, server=broker.server))
    return min(container.memory_limit or docker.memory_total, docker.memory_total)


def _guard_memory(snapshot: Snapshot, site: Site, node: BrokerNode, wanted: int) -> None:
    used, _limit = _memory_of(node)
    if wanted <= used:
        text = _("{node} uses {used} MB already: {wanted} MB would block its publishers at once")
        words = {"node": node.name, "used": used // 10**6, "wanted": wanted // 10**6}
        raise RefusedError(text.format(**words), hint="rabbitmq-diagnostics memory_breakdown")
    server = configured(site).server
    facts = facts_in(snapshot, ServerFacts, server)
    kept = facts.memory_total * site.settings.safety.minimum_free_percent / 100
    if facts.memory_available - (wanted - used) < kept:
        text = _("{server} has {free} MB of memory to spare: RabbitMQ may not take {more} MB more of it")
        free, more = facts.memory_available // 10**6, (wanted - used) // 10**6
        raise RefusedError(text.format(server=server, free=free, more=more))


def _watermark_step(broker: RabbitMQ, node: BrokerNode, wanted: int, title: str) -> Step:
    _used, limit = _memory_of(node)
    was = _("the limit of {node} is {bytes} bytes").format(node=node.name, bytes=limit)
    becomes = _("the limit of {node} is {bytes} bytes").format(node=node.name, bytes=wanted)
    calm = _("{node} blocks nobody for memory").format(node=node.name)
    return Step(
        id="queue.set_watermark",
        title=title,
        risk=Risk.SAFE,
        operation=_set_limit(broker, wanted),
        undo=_set_limit(broker, limit),
        before=(Condition("rabbitmq.memory_limit", (node.name,), limit, was),),
        after=(
            Condition("rabbitmq.memory_limit", (node.name,), wanted, becomes),
            Condition("rabbitmq.has_memory_alarm", (node.name,), False, calm),
        ),
        servers=(),  # all of it on the broker's, where the commands run
    )


def _set_limit(broker: RabbitMQ, size: int) -> Operation:
    value = ("absolute", str(size)) if size else ("0",)
    return rabbitmqctl(broker, "set_vm_memory_high_watermark", *value)
