"""Judge the nodes of RabbitMQ: alarms, memory, disk, descriptors."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.rabbitmq.commands import DIAGNOSTICS, in_broker
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.rabbitmq import BrokerNode, RabbitMQFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding

MEBIBYTE = 1024 * 1024
SHOWN = 5


@check(
    "rabbitmq.alarm.memory",
    title=N_("RabbitMQ has no memory alarm"),
    facts=RabbitMQFacts,
    needs=("nodes",),
    explain=Explanation(
        meaning=N_(
            "Memory is over the watermark: every publisher is stopped until it falls. Consumers go on."
        ),
        confirm=(f"{DIAGNOSTICS} alarms", f"{DIAGNOSTICS} memory_breakdown"),
        fix=N_(
            "Let the consumers drain the queues; see what takes the memory; then the watermark or the limit."
        ),
        avoid=N_("Do not purge queues and do not restart the broker: messages are customers' notifications."),
    ),
)
def memory_alarm(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for node in broker.nodes or ():
        if node.memory_alarm:
            title = _(
                "RabbitMQ stops all publishers: memory alarm, {used} MB used of a limit of {limit} MB"
            ).format(used=node.memory_used // MEBIBYTE, limit=node.memory_limit // MEBIBYTE)
            hint = in_broker(context.site, "rabbitmq-diagnostics -q memory_breakdown")
            yield context.crit(title, value=node.memory_used, unit="B", evidence=_memory(node), hint=hint)
            return  # one finding: an alarm of one node stops the publishers of all
    yield context.ok(_("RabbitMQ has no memory alarm"), evidence={"nodes": len(broker.nodes or ())})


@check(
    "rabbitmq.alarm.disk",
    title=N_("RabbitMQ has no disk alarm"),
    facts=RabbitMQFacts,
    needs=("nodes",),
    explain=Explanation(
        meaning=N_(
            "Free disk is below the broker's limit: every publisher is stopped until there is room again."
        ),
        confirm=(f"{DIAGNOSTICS} alarms", "df -h /var/lib/docker"),
        fix=N_("Free space on that disk (logs, old images); bring consumers back when a backlog fills it."),
        avoid=N_("Do not purge queues; do not lower the limit: a full disk loses messages."),
    ),
)
def disk_alarm(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    for node in broker.nodes or ():
        if node.disk_alarm:
            title = _(
                "RabbitMQ stops all publishers: disk alarm, {free} MB free under a limit of {limit} MB"
            ).format(free=node.disk_free // MEBIBYTE, limit=node.disk_free_limit // MEBIBYTE)
            hint = in_broker(context.site, "rabbitmq-diagnostics -q alarms")
            yield context.crit(title, value=node.disk_free, unit="B", evidence=_disk(node), hint=hint)
            return
    yield context.ok(_("RabbitMQ has no disk alarm"), evidence={"nodes": len(broker.nodes or ())})


def _memory(node: BrokerNode) -> dict[str, object]:
    return {"node": node.name, "mem_used": node.memory_used, "mem_limit": node.memory_limit}


def _disk(node: BrokerNode) -> dict[str, object]:
    return {"node": node.name, "disk_free": node.disk_free, "disk_free_limit": node.disk_free_limit}


@check(
    "rabbitmq.node.down",
    title=N_("Every node of RabbitMQ runs"),
    facts=RabbitMQFacts,
    needs=("nodes",),
    explain=Explanation(
        meaning=N_("A node of the cluster is down, or the nodes do not see each other (partition)."),
        confirm=(f"{DIAGNOSTICS} cluster_status",),
        fix=N_("Start the node again; after a partition, restart the node with fewer messages last."),
        avoid=N_("Do not force_boot or forget a node that may hold messages."),
    ),
)
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
    title=N_("RabbitMQ memory against its watermark"),
    facts=RabbitMQFacts,
    needs=("nodes",),
    warning=80,  # the alarm itself, at 100 %, is the critical one
    unit="%",
    explain=Explanation(
        meaning=N_("Memory comes near the watermark at which all publishers are stopped."),
        confirm=(f"{DIAGNOSTICS} memory_breakdown",),
        fix=N_("Look at the backlog of the queues first: consumers that catch up give the memory back."),
        avoid=N_(
            "Do not raise the watermark over what the container may use: the kernel would kill the broker."
        ),
    ),
)
def memory(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    node = max(broker.nodes or (), key=lambda one: _share(one.memory_used, one.memory_limit), default=None)
    if node is None or not node.memory_limit:
        yield context.ok(_("RabbitMQ has no memory watermark to be near to"))
        return
    percent = _share(node.memory_used, node.memory_limit)
    title = _("RabbitMQ uses {percent} % of its memory watermark").format(percent=percent)
    yield context.above(percent, title, evidence=_memory(node))


@check(
    "rabbitmq.disk.low",
    title=N_("RabbitMQ has disk left above its limit"),
    facts=RabbitMQFacts,
    needs=("nodes",),
    warning=200,  # twice the limit: as much again until the alarm
    unit="%",
    explain=Explanation(
        meaning=N_("Free disk comes near the limit at which all publishers are stopped."),
        confirm=("df -h /var/lib/docker", f"{DIAGNOSTICS} status"),
        fix=N_("Free space on that disk (logs, old images) before the alarm comes."),
        avoid=N_("Do not purge queues to win space: messages are rarely what fills the disk."),
    ),
)
def disk(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    node = min(broker.nodes or (), key=lambda one: _share(one.disk_free, one.disk_free_limit), default=None)
    if node is None or not node.disk_free_limit:
        yield context.ok(_("RabbitMQ has no disk limit to be near to"))
        return
    title = _("RabbitMQ has {free} MB of disk left, its alarm comes at {limit} MB").format(
        free=node.disk_free // MEBIBYTE, limit=node.disk_free_limit // MEBIBYTE
    )
    yield context.below(_share(node.disk_free, node.disk_free_limit), title, evidence=_disk(node))


@check(
    "rabbitmq.descriptors.high",
    title=N_("RabbitMQ has file descriptors left"),
    facts=RabbitMQFacts,
    needs=("nodes",),
    warning=80,
    critical=95,
    unit="%",
    explain=Explanation(
        meaning=N_("At the limit of file descriptors or sockets the broker refuses new connections."),
        confirm=(f"{DIAGNOSTICS} status", "rabbitmqctl -q list_connections name user channels state"),
        fix=N_(
            "Find who opens connections without closing them; raise the limit (nofile) at the next restart."
        ),
        avoid=N_("Do not close all connections: the API and the workers come back all at once."),
    ),
)
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
