"""Judge the nodes of RabbitMQ: alarms, memory, disk, descriptors."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.rabbitmq.commands import in_broker
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.rabbitmq import BrokerNode, RabbitMQFacts
from samaops.i18n import _
from samaops.model.finding import Finding

MEBIBYTE = 1024 * 1024
SHOWN = 5


@check("rabbitmq.alarm.memory", RabbitMQFacts, needs=("nodes",))
def memory_alarm(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for node in broker.nodes or ():
        if node.memory_alarm:
            title = _(
                "RabbitMQ stops all publishers: memory alarm, {used} MB used of a limit of {limit} MB"
            ).format(used=node.memory_used // MEBIBYTE, limit=node.memory_limit // MEBIBYTE)
            hint = in_broker(context.site, "rabbitmq-diagnostics -q memory_breakdown")
            yield context.about(unit="B").crit(
                title, value=node.memory_used, evidence=_memory(node), hint=hint
            )
            return  # one finding: an alarm of one node stops the publishers of all
    yield context.ok(_("RabbitMQ has no memory alarm"), evidence={"nodes": len(broker.nodes or ())})


@check("rabbitmq.alarm.disk", RabbitMQFacts, needs=("nodes",))
def disk_alarm(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for node in broker.nodes or ():
        if node.disk_alarm:
            title = _(
                "RabbitMQ stops all publishers: disk alarm, {free} MB free under a limit of {limit} MB"
            ).format(free=node.disk_free // MEBIBYTE, limit=node.disk_free_limit // MEBIBYTE)
            hint = in_broker(context.site, "rabbitmq-diagnostics -q alarms")
            yield context.about(unit="B").crit(title, value=node.disk_free, evidence=_disk(node), hint=hint)
            return
    yield context.ok(_("RabbitMQ has no disk alarm"), evidence={"nodes": len(broker.nodes or ())})


def _memory(node: BrokerNode) -> Evidence:
    return {"node": node.name, "mem_used": node.memory_used, "mem_limit": node.memory_limit}


def _disk(node: BrokerNode) -> Evidence:
    return {"node": node.name, "disk_free": node.disk_free, "disk_free_limit": node.disk_free_limit}


@check("rabbitmq.node.down", RabbitMQFacts, needs=("nodes",))
def nodes_run(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    nodes = broker.nodes or ()
    down = [node.name for node in nodes if not node.is_running]
    apart = [node.name for node in nodes if node.partitions]
    evidence = {
        "nodes": [node.name for node in nodes][:SHOWN],
        "down": down[:SHOWN],
        "partitioned": apart[:SHOWN],
    }
    hint = in_broker(context.site, "rabbitmq-diagnostics -q cluster_status")
    if down:
        title = _("RabbitMQ nodes are down: {nodes}").format(nodes=", ".join(down[:SHOWN]))
        yield context.crit(title, value=len(down), evidence=evidence, hint=hint)
    elif apart:
        title = _("RabbitMQ nodes do not see each other (partition): {nodes}").format(
            nodes=", ".join(apart[:SHOWN])
        )
        yield context.crit(title, value=len(apart), evidence=evidence, hint=hint)
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
    node = max(broker.nodes or (), key=lambda node: _share(node.memory_used, node.memory_limit), default=None)
    if node is None or not node.memory_limit:
        yield context.ok(_("RabbitMQ has no memory watermark to be near to"))
        return
    percent = _share(node.memory_used, node.memory_limit)
    title = _("RabbitMQ uses {percent} % of its memory watermark").format(percent=percent)
    yield context.above(percent, title, evidence=_memory(node))


@check(
    "rabbitmq.disk.low",
    RabbitMQFacts,
    needs=("nodes",),
    warning=200,  # twice the limit: as much again until the alarm
    unit="%",
)
def disk(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    node = min(
        broker.nodes or (), key=lambda node: _share(node.disk_free, node.disk_free_limit), default=None
    )
    if node is None or not node.disk_free_limit:
        yield context.ok(_("RabbitMQ has no disk limit to be near to"))
        return
    title = _("RabbitMQ has {free} MB of disk left, its alarm comes at {limit} MB").format(
        free=node.disk_free // MEBIBYTE, limit=node.disk_free_limit // MEBIBYTE
    )
    yield context.below(_share(node.disk_free, node.disk_free_limit), title, evidence=_disk(node))


@check("rabbitmq.descriptors.high", RabbitMQFacts, needs=("nodes",), warning=80, critical=95, unit="%")
def descriptors(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    shares = [
        (_share(used, total), used, total, node.name)
        for node in broker.nodes or ()
        for used, total in (
            (node.descriptors_used, node.descriptors_total),
            (node.sockets_used, node.sockets_total),
        )
    ]
    percent, used, total, name = max(shares, default=(0.0, 0, 0, ""))
    title = _("RabbitMQ uses {used} of {total} file descriptors or sockets").format(used=used, total=total)
    yield context.above(percent, title, evidence={"node": name, "used": used, "total": total})


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
