"""What is observed of RabbitMQ through its management API, and on its AMQP port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from samaops.clients.amqp import AmqpSession, greet
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import PAGE_SIZE, ManagementApi, columns, objects
from samaops.collect.engine import Probe
from samaops.collect.rabbitmq import service
from samaops.collect.rabbitmq.definitions import read_definitions
from samaops.collect.rabbitmq.history import history_of, rate_of
from samaops.collect.rabbitmq.limits import limits_of, own_limits_of, read_policy
from samaops.collect.registry import collects
from samaops.collect.values import flag, lacking, needed, table, text, whole
from samaops.config.settings import RabbitMQ
from samaops.facts.rabbitmq import (
    SHOWN_QUEUES,
    AmqpFacts,
    BrokerConnections,
    BrokerNode,
    BrokerQueue,
    ExchangeLoss,
    RabbitMQFacts,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

QUEUES_WITH_HISTORY = 8
HISTORY = {"lengths_age": 600, "lengths_incr": 10, "msg_rates_age": 600, "msg_rates_incr": 10}
NAME_CHARACTERS = 200
# For each answer of the AMQP port: what was read through the API must not be lost by one that is silent.
_COUNT_SECONDS = 0.5
DEFAULT_USER = ("guest", "guest")
CELERY = "py-amqp"  # what Celery's clients call themselves
_QUEUE_COLUMNS = (
    "name", "state", "durable", "auto_delete", "exclusive", "consumers", "messages", "messages_ready",
    "messages_unacknowledged", "message_bytes", "arguments", "effective_policy_definition", "policy",
    "operator_policy", "head_message_timestamp", "message_stats.publish_details.rate", "message_stats.deliver_get_details.rate",
    "message_stats.ack_details.rate", "message_stats.redeliver_details.rate",
)  # fmt: skip


_NODE_COLUMNS = (
    "name", "running", "mem_used", "mem_limit", "mem_alarm", "disk_free", "disk_free_limit", "disk_free_alarm",
    "fd_used", "fd_total", "sockets_used", "sockets_total", "proc_used", "proc_total", "partitions", "uptime",
    "being_drained",
)  # fmt: skip


_HISTORY_COLUMNS = (
    "messages_ready_details.samples", "messages_unacknowledged_details.samples",
    "message_stats.publish_details.samples", "message_stats.ack_details.samples",
    "message_stats.redeliver_details.samples", "message_stats.deliver_no_ack_details.samples",
    "message_stats.get_no_ack_details.samples",
)  # fmt: skip


# What nobody has to receive: events without a listener, and replies to a question that nobody waits for.
_MAY_DROP = ("celeryev", "celery.pidbox", "reply.celery.pidbox", "amq.")
_OVERVIEW_COLUMNS = (
    "rabbitmq_version",
    "cluster_name",
    "object_totals.queues",
    "message_stats",
    "disable_stats",
)


@collects("rabbitmq", AmqpFacts, feeds=("rabbitmq.amqp",))
def look_at_amqp(rabbitmq: RabbitMQ, site: Site, probe: Probe) -> AmqpFacts:
    """Greet the AMQP port."""
    return observe_amqp(site.host_of(rabbitmq), rabbitmq, probe)


@collects(
    "rabbitmq",
    RabbitMQFacts,
    feeds=tuple(
        f"rabbitmq.{part}"
        for part in (
            "service", "alarm", "node", "memory", "disk", "descriptors", "queue", "connection", "messages", "credentials",
            "vhost", "limit", "rights", "exchange",
        )
    ),
)  # fmt: skip
def look_at_api(rabbitmq: RabbitMQ, site: Site, probe: Probe) -> RabbitMQFacts:
    """Read the broker through its management API."""
    return observe(site.host_of(rabbitmq), rabbitmq, probe)


def observe_amqp(host: str, settings: RabbitMQ, probe: Probe) -> AmqpFacts:
    """Greet the AMQP port and log in there, up to a channel on the virtual host."""
    probe.stage("greeting")
    greeting = greet(host, settings.port, settings.timeout, settings, settings.tls)
    properties = greeting.properties
    return AmqpFacts(
        properties.get("product", ""),
        properties.get("version", ""),
        greeting.milliseconds,
        greeting.stage,
        greeting.refusal,
    )


def observe(host: str, settings: RabbitMQ, probe: Probe) -> RabbitMQFacts:
    """Read one broker through its management API."""
    probe.stage("connect")
    with ManagementApi(host, settings) as api:
        api.log_in()
        facts = _read(api, settings, probe)
    if facts.queues is None:
        return facts
    if not probe.counts:
        return replace(facts, queues=_consumed(host, settings, facts.queues, probe))
    probe.stage("counts")
    try:
        return replace(facts, queues=_counted(host, settings, facts.queues))
    except ClientError as error:
        return replace(facts, uncounted=error.message)


def _read(api: ManagementApi, settings: RabbitMQ, probe: Probe) -> RabbitMQFacts:
    probe.stage("overview")
    overview = table(api.get("overview", columns=columns(_OVERVIEW_COLUMNS)))
    keeps_statistics = not flag(overview, "disable_stats") and "message_stats" in overview
    stats, queue_count = table(overview, "message_stats"), whole(table(overview, "object_totals"), "queues")
    queues = nodes = states = configuration = None
    if probe.wants("rabbitmq.queue"):
        queues = probe.attempt("queues", lambda: _queues(api, settings))
    if probe.wants(
        "rabbitmq.alarm", "rabbitmq.node", "rabbitmq.memory", "rabbitmq.disk", "rabbitmq.descriptors"
    ):
        nodes = probe.attempt("nodes", lambda: _nodes(api))
    connections = exchanges = None
    if probe.wants("rabbitmq.connection", "rabbitmq.limit", "rabbitmq.rights"):
        connections = probe.attempt("connections", lambda: _listed_connections(api))
    if probe.wants("rabbitmq.messages", "rabbitmq.exchange", "rabbitmq.rights"):
        exchanges = probe.attempt("exchanges", lambda: _exchanges(api))
    if probe.wants("rabbitmq.messages"):
        configuration = probe.attempt("configuration", lambda: read_definitions(api))
    if probe.wants("rabbitmq.vhost"):
        states = probe.attempt("vhost", lambda: service.vhost_states(api, settings.vhost))
    limits = routing = losses = None
    if exchanges is not None:
        losses = probe.attempt("exchanges", lambda: _losses(exchanges, keeps_statistics))
    if connections is not None and probe.wants("rabbitmq.limit"):
        limits = probe.attempt(
            "limits", lambda: service.limits(api, settings.vhost, connections, queue_count)
        )
    if exchanges is not None and probe.wants("rabbitmq.exchange", "rabbitmq.rights"):
        routing = probe.attempt("routing", lambda: service.routing(api, exchanges))
    password = settings.password.reveal() if settings.password else ""
    return RabbitMQFacts(
        version=text(overview, "rabbitmq_version") or "?",
        cluster=text(overview, "cluster_name") or "?",
        vhost=settings.vhost,
        our_tags=tuple(sorted(api.tags)),
        uses_default_password=(settings.username, password) == DEFAULT_USER,
        guest_exists=probe.attempt("users", lambda: _guest_exists(api))
        if probe.wants("rabbitmq.credentials")
        else None,
        publish_rate=rate_of(stats, "publish"),
        deliver_rate=rate_of(stats, "deliver_get"),
        ack_rate=rate_of(stats, "ack"),
        queue_count=queue_count,
        nodes=nodes,
        queues=queues,
        connections=None if connections is None else _connections(connections, settings.vhost),
        losses=losses,
        keeps_statistics=keeps_statistics,
        vhost_states=states,
        limits=limits,
        routing=routing,
        configuration=configuration,
    )


def _nodes(api: ManagementApi) -> tuple[BrokerNode, ...]:
    return tuple(_node(node) for node in api.list_of("nodes", columns=columns(_NODE_COLUMNS)))


def _node(raw: Mapping[str, Any]) -> BrokerNode:
    partitions, uptime = raw.get("partitions"), whole(raw, "uptime")
    memory_alarm, disk_alarm = flag(raw, "mem_alarm"), flag(raw, "disk_free_alarm")
    memory_limit, disk_free = whole(raw, "mem_limit"), whole(raw, "disk_free")
    # A monitor that has died is a 0 in the answer, and no alarm: a real one would have raised it.
    memory_limit = None if memory_limit == 0 and memory_alarm is False else memory_limit
    disk_free = None if disk_free == 0 and disk_alarm is False else disk_free
    return BrokerNode(
        name=text(raw, "name") or "?",
        is_running=flag(raw, "running"),
        memory_used=whole(raw, "mem_used"),
        memory_limit=memory_limit,
        memory_alarm=memory_alarm,
        disk_free=disk_free,
        disk_free_limit=whole(raw, "disk_free_limit"),
        disk_alarm=disk_alarm,
        descriptors_used=whole(raw, "fd_used"),
        descriptors_total=whole(raw, "fd_total"),
        sockets_used=whole(raw, "sockets_used"),
        sockets_total=whole(raw, "sockets_total"),
        partitions=tuple(str(node)[:NAME_CHARACTERS] for node in partitions)
        if isinstance(partitions, list)
        else None,
        uptime_seconds=None if uptime is None else uptime // 1000,
        processes_used=whole(raw, "proc_used"),
        processes_total=whole(raw, "proc_total"),
        is_drained=flag(raw, "being_drained"),
    )


def _queues(api: ManagementApi, settings: RabbitMQ) -> tuple[BrokerQueue, ...]:
    """Return the configured queues that exist and the fullest others; those that wait, with their history."""
    page = api.in_vhost(
        "queues",
        page=1,
        page_size=PAGE_SIZE,
        sort="messages",
        sort_reverse="true",
        columns=columns(_QUEUE_COLUMNS),
    )
    listed = [_queue(raw) for raw in objects(table(page).get("items"), "queues")]
    names = {queue.name for queue in listed}
    if (whole(table(page), "filtered_count") or 0) > len(listed):
        listed += [queue for name in settings.queues if name not in names and (queue := _named(api, name))]
    listed.sort(key=lambda queue: (queue.name not in settings.queues, -(queue.messages or 0)))
    kept = [queue for queue in listed if queue.name in settings.queues or not queue.is_transient][
        :SHOWN_QUEUES
    ]
    ours = [queue for queue in kept if queue.name in settings.queues]
    with_history = [queue.name for queue in ours if queue.messages or queue.limits][:QUEUES_WITH_HISTORY]
    kept = [_with_history(api, queue) if queue.name in with_history else queue for queue in kept]
    return tuple(_with_policy(api, queue) if queue.name in settings.queues else queue for queue in kept)


def _consumed(
    host: str, settings: RabbitMQ, queues: tuple[BrokerQueue, ...], probe: Probe
) -> tuple[BrokerQueue, ...]:
    """Ask the broker itself where its statistics say that nobody consumes a queue: they are seconds old.

    A worker that has just begun would be taken for one that leaves a queue alone. Where it cannot be asked, they stand.
    """
    nobody = [queue for queue in queues if queue.consumers == 0 and queue.name in settings.queues]
    if not nobody:
        return queues
    probe.stage("counts")
    try:
        brief = settings.model_copy(update={"timeout": min(_COUNT_SECONDS, probe.remaining() / 3)})
        counted = {queue.name: queue.counted for queue in _counted(host, brief, nobody)}
    except ClientError:
        return queues
    return tuple(
        replace(queue, consumers=count.consumers) if (count := counted.get(queue.name)) else queue
        for queue in queues
    )


def _counted(host: str, settings: RabbitMQ, queues: Sequence[BrokerQueue]) -> tuple[BrokerQueue, ...]:
    """Return the queues with what the broker itself counts of them; without those that have gone meanwhile."""
    with AmqpSession(host, settings) as session:
        counted = [replace(queue, counted=session.count(queue.name)) for queue in queues]
    return tuple(queue for queue in counted if queue.counted is not None)


def _named(api: ManagementApi, name: str) -> BrokerQueue | None:
    try:
        return _queue(table(api.in_vhost("queues", name, columns=columns(_QUEUE_COLUMNS))))
    except ClientError as error:
        if error.kind is FailureKind.MISSING:
            return None
        raise


def _with_history(api: ManagementApi, queue: BrokerQueue) -> BrokerQueue:
    raw = api.in_vhost("queues", queue.name, columns=",".join(_HISTORY_COLUMNS), **HISTORY)
    return replace(queue, history=history_of(table(raw), queue.ready))


def _with_policy(api: ManagementApi, queue: BrokerQueue) -> BrokerQueue:
    if not queue.policy or not set(queue.limits or ()) - set(queue.own_limits):
        return queue
    return replace(queue, limiting_policy=read_policy(api, queue.policy))


def _queue(raw: Mapping[str, Any]) -> BrokerQueue:
    name = text(raw, "name")
    if name is None:  # nothing that it says could be laid to the right one
        raise ClientError(FailureKind.GARBAGE, _("a queue without a name"), "queues")
    stats = table(raw, "message_stats")
    if not stats and "messages_ready" in raw:  # it counts, and nothing has happened yet
        stats = {f"{kind}_details": {"rate": 0.0} for kind in ("publish", "deliver_get", "ack", "redeliver")}
    exclusive, auto_delete = flag(raw, "exclusive"), flag(raw, "auto_delete")
    return BrokerQueue(
        name=name,
        state=text(raw, "state") or "",
        consumers=whole(raw, "consumers"),
        ready=whole(raw, "messages_ready"),
        unacknowledged=whole(raw, "messages_unacknowledged"),
        bytes=whole(raw, "message_bytes"),
        is_durable=flag(raw, "durable"),
        is_transient=None if exclusive is None or auto_delete is None else exclusive or auto_delete,
        publish_rate=rate_of(stats, "publish"),
        deliver_rate=rate_of(stats, "deliver_get"),
        ack_rate=rate_of(stats, "ack"),
        redeliver_rate=rate_of(stats, "redeliver"),
        head_timestamp=whole(raw, "head_message_timestamp"),
        limits=limits_of(raw),
        own_limits=own_limits_of(raw),
        policy=text(raw, "policy") or "",
        operator_policy=text(raw, "operator_policy") or "",
    )


def _listed_connections(api: ManagementApi) -> list[dict[str, Any]]:
    """Return the open connections: who was refused is listed for some seconds more."""
    api.require_everything("connections")
    listed = api.list_of("connections", columns="name,state,user,vhost,channels,client_properties.product")
    return [connection for connection in listed if connection.get("state") != "closed"]


def _connections(listed: Sequence[Mapping[str, Any]], vhost: str) -> BrokerConnections:
    names = [(text(connection, "name") or "?", text(connection, "state")) for connection in listed]
    users = {
        text(connection, "user") or ""
        for connection in listed
        if connection.get("vhost") == vhost
        and table(connection, "client_properties").get("product") == CELERY
    }
    return BrokerConnections(
        total=len(names),
        blocked=tuple(name for name, state in names if state == "blocked"),
        blocking=tuple(name for name, state in names if state == "blocking"),
        stateless=sum(state is None for _name, state in names),
        users=tuple(sorted(users - {""})),
    )


def _exchanges(api: ManagementApi) -> list[dict[str, Any]]:
    api.require_everything("exchanges")
    counters = ("publish_in", "publish_in_details.samples", "publish_out_details.samples")
    wanted = columns(("name", "type", *(f"message_stats.{counter}" for counter in counters)))
    answer = api.in_vhost("exchanges", columns=wanted, msg_rates_age=600, msg_rates_incr=10)
    exchanges = objects(answer, "exchanges")
    if not exchanges or not all(isinstance(exchange.get("name"), str) for exchange in exchanges):
        raise lacking("name", stage="exchanges")  # the default exchange is always there
    return exchanges


def _losses(exchanges: Sequence[Mapping[str, Any]], keeps_statistics: bool) -> tuple[ExchangeLoss, ...]:
    if not keeps_statistics:
        raise ClientError(
            FailureKind.MISSING, _("this broker keeps no statistics (disable_stats)"), "exchanges"
        )
    losses = []
    for raw in exchanges:
        name, stats = str(raw.get("name", ""))[:NAME_CHARACTERS], table(raw, "message_stats")
        published = _gained(table(stats, "publish_in_details"))
        routed = _gained(table(stats, "publish_out_details"))
        if published and not name.startswith(_MAY_DROP):
            losses.append(ExchangeLoss(name, published, max(0, published - routed)))
    return tuple(losses)


def _gained(details: Mapping[str, Any]) -> int:
    samples = [
        whole(sample, "sample") or 0 for sample in details.get("samples") or () if isinstance(sample, dict)
    ]
    return max(0, samples[0] - samples[-1]) if samples else 0


def _guest_exists(api: ManagementApi) -> bool | None:
    if "administrator" not in api.tags:
        return None
    users = api.list_of("users", columns="name")
    return DEFAULT_USER[0] in [needed(user, "name", stage="users") for user in users]
