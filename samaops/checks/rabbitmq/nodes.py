"""Judge the nodes of RabbitMQ: alarms, memory, disk, descriptors. A node that does not run has no numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from samaops.checks.rabbitmq.statistics import why_absent
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.rabbitmq import BrokerNode, RabbitMQFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import in_broker

MEBIBYTE = 1024 * 1024
SHOWN = 5


def _running(broker: RabbitMQFacts) -> Sequence[BrokerNode]:
    """Return the nodes that must have numbers."""
    return [node for node in broker.nodes or () if node.is_running is not False]


def _lacks_alarm(broker: RabbitMQFacts, states: Sequence[bool | None]) -> bool:
    """Return whether it is not known of each node that runs: then no alarm was not seen."""
    return None in states or not broker.nodes


@check("rabbitmq.alarm.memory", RabbitMQFacts, needs=("nodes",))
def memory_alarm(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    alarmed = next((node for node in broker.nodes or () if node.memory_alarm), None)
    if alarmed is not None:  # one finding: an alarm of one node stops the publishers of all
        title = _(
            "RabbitMQ stops all publishers: memory alarm, {used} MB used of a limit of {limit} MB"
        ).format(used=_megabytes(alarmed.memory_used), limit=_megabytes(alarmed.memory_limit))
        hint = in_broker(context.site, "rabbitmq-diagnostics -q memory_breakdown")
        yield context.about(unit="B").crit(
            title, value=alarmed.memory_used, evidence=_memory(alarmed), hint=hint
        )
    elif _lacks_alarm(broker, [node.memory_alarm for node in _running(broker)]):
        yield context.not_given("mem_alarm", why=why_absent(broker))
    elif blind := [node for node in _running(broker) if node.memory_limit is None]:
        title = _("RabbitMQ does not watch its memory any more: no memory alarm will protect it")
        yield context.unknown(title, evidence=_memory(blind[0]))
    else:
        yield context.ok(_("RabbitMQ has no memory alarm"), evidence={"nodes": len(broker.nodes or ())})


@check("rabbitmq.alarm.disk", RabbitMQFacts, needs=("nodes",))
def disk_alarm(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    alarmed = next((node for node in broker.nodes or () if node.disk_alarm), None)
    hint = in_broker(context.site, "rabbitmq-diagnostics -q alarms")
    if alarmed is not None:
        title = _(
            "RabbitMQ stops all publishers: disk alarm, {free} MB free under a limit of {limit} MB"
        ).format(free=_megabytes(alarmed.disk_free), limit=_megabytes(alarmed.disk_free_limit))
        yield context.about(unit="B").crit(title, value=alarmed.disk_free, evidence=_disk(alarmed), hint=hint)
    elif _lacks_alarm(broker, [node.disk_alarm for node in _running(broker)]):
        yield context.not_given("disk_free_alarm", why=why_absent(broker))
    elif blind := [node for node in _running(broker) if node.disk_free is None]:
        title = _("RabbitMQ does not measure its disk any more: no disk alarm will protect it")
        yield context.unknown(title, evidence=_disk(blind[0]), hint=hint)
    else:
        yield context.ok(_("RabbitMQ has no disk alarm"), evidence={"nodes": len(broker.nodes or ())})


def _megabytes(size: int | None) -> str:
    return "?" if size is None else str(size // MEBIBYTE)


def _memory(node: BrokerNode) -> Evidence:
    return {"node": node.name, "mem_used": node.memory_used, "mem_limit": node.memory_limit}


def _disk(node: BrokerNode) -> Evidence:
    return {"node": node.name, "disk_free": node.disk_free, "disk_free_limit": node.disk_free_limit}


@check("rabbitmq.node.down", RabbitMQFacts, needs=("nodes",))
def nodes_run(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    nodes = broker.nodes or ()
    down = [node.name for node in nodes if node.is_running is False]
    apart = [node.name for node in nodes if node.partitions]
    drained = [node.name for node in nodes if node.is_drained]
    evidence = {
        "nodes": [node.name for node in nodes][:SHOWN],
        "down": down[:SHOWN],
        "partitioned": apart[:SHOWN],
        "drained": drained[:SHOWN],
    }
    hint = in_broker(context.site, "rabbitmq-diagnostics -q cluster_status")
    for names, title in (
        (down, _("RabbitMQ nodes are down: {nodes}")),
        (apart, _("RabbitMQ nodes do not see each other (partition): {nodes}")),
        (drained, _("RabbitMQ nodes are in maintenance, they take no new connection: {nodes}")),
    ):
        if names:
            listed = title.format(nodes=", ".join(names[:SHOWN]))
            yield context.crit(listed, value=len(names), evidence=evidence, hint=hint)
            return
    if not nodes or any(node.is_running is None or node.partitions is None for node in nodes):
        yield context.not_given("running", "partitions", why=why_absent(broker))
    else:
        yield context.ok(_("All {count} nodes of RabbitMQ run").format(count=len(nodes)), evidence=evidence)


@check(
    "rabbitmq.memory.high",
    RabbitMQFacts,
    needs=("nodes",),
    warning=80,  # the alarm itself, at 100 %, is the critical one
    unit="%",
)
def memory(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    shares = [(_share(node.memory_used, node.memory_limit), node) for node in _running(broker)]
    known = [(share, node) for share, node in shares if share is not None]
    percent, node = max(known, key=lambda pair: pair[0], default=(0.0, None))
    if node is not None and (len(known) == len(shares) or context.status_above(percent) is not Status.OK):
        title = _("RabbitMQ uses {percent} % of its memory watermark").format(percent=percent)
        yield context.above(percent, title, evidence=_memory(node))
    elif shares and all(node.memory_limit == 0 for _percent, node in shares):
        yield context.ok(_("RabbitMQ has no memory watermark to be near to"))
    else:
        yield context.not_given("mem_used", "mem_limit", why=why_absent(broker))


@check(
    "rabbitmq.disk.low",
    RabbitMQFacts,
    needs=("nodes",),
    warning=200,  # twice the limit: as much again until the alarm
    unit="%",
    less_is_worse=True,
)
def disk(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    shares = [(_share(node.disk_free, node.disk_free_limit), node) for node in _running(broker)]
    known = [(share, node) for share, node in shares if share is not None]
    percent, node = min(known, key=lambda pair: pair[0], default=(0.0, None))
    if node is not None and (len(known) == len(shares) or context.status_below(percent) is not Status.OK):
        title = _("RabbitMQ has {free} MB of disk left, its alarm comes at {limit} MB").format(
            free=_megabytes(node.disk_free), limit=_megabytes(node.disk_free_limit)
        )
        yield context.below(percent, title, evidence=_disk(node))
    elif shares and all(node.disk_free and node.disk_free_limit == 0 for _percent, node in shares):
        yield context.ok(_("RabbitMQ has no disk limit to be near to"))
    else:
        yield context.not_given("disk_free", "disk_free_limit", why=why_absent(broker))


@check("rabbitmq.descriptors.high", RabbitMQFacts, needs=("nodes",), warning=80, critical=95, unit="%")
def descriptors(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    counted = [
        (_share(used, total), used, total, node.name)
        for node in _running(broker)
        for used, total in (
            (node.descriptors_used, node.descriptors_total),
            (node.sockets_used, node.sockets_total),
            (node.processes_used, node.processes_total),
        )
        if (used, total) != (None, None)  # versions differ in what they count at all
    ]
    shares = [(share, used, total, name) for share, used, total, name in counted if share is not None]
    percent, used, total, name = max(shares, default=(0.0, None, None, ""))
    if not shares or (len(shares) < len(counted) and context.status_above(percent) is Status.OK):
        yield context.not_given("fd_used", "sockets_used", "proc_used", why=why_absent(broker))
        return
    title = _("RabbitMQ uses {used} of {total} file descriptors, sockets or processes")
    evidence = {"node": name, "used": used, "total": total}
    yield context.above(percent, title.format(used=used, total=total), evidence=evidence)


def _share(part: int | None, whole: int | None) -> float | None:
    """Return how much of a whole is used; None where either is not known."""
    return round(100 * part / whole, 1) if part is not None and whole else None
