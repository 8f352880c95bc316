"""What is observed of RabbitMQ through its management API, and on its AMQP port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from samaops.clients.amqp import greet
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import PAGE_SIZE, ManagementApi, columns, objects
from samaops.collect.engine import Probe
from samaops.collect.rabbitmq.definitions import read_definitions
from samaops.collect.rabbitmq.history import history_of, rate_of
from samaops.collect.rabbitmq.limits import limits_of, own_limits_of, read_policy
from samaops.collect.registry import collects
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
from samaops.model.failure import FailureKind
from samaops.site.site import Site

QUEUES_WITH_HISTORY = 8
HISTORY = {"lengths_age": 600, "lengths_incr": 10, "msg_rates_age": 600, "msg_rates_incr": 10}
NAME_CHARACTERS = 200
DEFAULT_USER = ("guest", "guest")
_QUEUE_COLUMNS = (
    "name", "state", "durable", "auto_delete", "exclusive", "consumers", "messages", "messages_ready",
    "messages_unacknowledged", "message_bytes", "arguments", "effective_policy_definition", "policy",
    "operator_policy", "head_message_timestamp", "message_stats.publish_details.rate", "message_stats.deliver_get_details.rate",
    "message_stats.ack_details.rate", "message_stats.redeliver_details.rate",
)  # fmt: skip


_NODE_COLUMNS = (
    "name", "running", "mem_used", "mem_limit", "mem_alarm", "disk_free", "disk_free_limit", "disk_free_alarm",
    "fd_used", "fd_total", "sockets_used", "sockets_total", "partitions", "uptime",
)  # fmt: skip


_HISTORY_COLUMNS = (
    "messages_ready_details.samples", "messages_unacknowledged_details.samples",
    "message_stats.publish_details.samples", "message_stats.ack_details.samples",
    "message_stats.redeliver_details.samples", "message_stats.deliver_no_ack_details.samples",
    "message_stats.get_no_ack_details.samples",
)  # fmt: skip


# What nobody has to receive: events without a listener, and replies to a question that nobody waits for.
_MAY_DROP = ("celeryev", "celery.pidbox", "reply.celery.pidbox", "amq.")


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
        )
    ),
)  # fmt: skip
def look_at_api(rabbitmq: RabbitMQ, site: Site, probe: Probe) -> RabbitMQFacts:
    """Read the broker through its management API."""
    return observe(site.host_of(rabbitmq), rabbitmq, probe)


def observe_amqp(host: str, settings: RabbitMQ, probe: Probe) -> AmqpFacts:
    """Greet the AMQP port."""
    probe.stage("greeting")
    greeting = greet(host, settings.port, settings.timeout)
    properties = greeting.properties
    return AmqpFacts(properties.get("product", ""), properties.get("version", ""), greeting.milliseconds)


def observe(host: str, settings: RabbitMQ, probe: Probe) -> RabbitMQFacts:
    """Read one broker through its management API."""
    probe.stage("connect")
    with ManagementApi(host, settings) as api:
        api.log_in()
        return _read(api, settings, probe)


def _read(api: ManagementApi, settings: RabbitMQ, probe: Probe) -> RabbitMQFacts:
    probe.stage("overview")
    overview = api.get("overview", columns="rabbitmq_version,cluster_name,object_totals.queues,message_stats")
    stats = _dict(overview, "message_stats")
    queues = nodes = connections = losses = configuration = None
    if probe.wants("rabbitmq.queue"):
        queues = probe.attempt("queues", lambda: _queues(api, settings))
    if probe.wants(
        "rabbitmq.alarm", "rabbitmq.node", "rabbitmq.memory", "rabbitmq.disk", "rabbitmq.descriptors"
    ):
        nodes = probe.attempt("nodes", lambda: _nodes(api))
    if probe.wants("rabbitmq.connection"):
        connections = probe.attempt("connections", lambda: _connections(api))
    if probe.wants("rabbitmq.messages"):
        losses = probe.attempt("exchanges", lambda: _losses(api))
        configuration = probe.attempt("configuration", lambda: read_definitions(api))
    password = settings.password.reveal() if settings.password else ""
    return RabbitMQFacts(
        version=str(_dict(overview).get("rabbitmq_version", "")),
        cluster=str(_dict(overview).get("cluster_name", ""))[:NAME_CHARACTERS],
        vhost=settings.vhost,
        our_tags=tuple(sorted(api.tags)),
        uses_default_password=(settings.username, password) == DEFAULT_USER,
        guest_exists=_guest_exists(api) if probe.wants("rabbitmq.credentials") else None,
        publish_rate=rate_of(stats, "publish"),
        deliver_rate=rate_of(stats, "deliver_get"),
        ack_rate=rate_of(stats, "ack"),
        queue_count=_int(_dict(overview, "object_totals"), "queues"),
        nodes=nodes,
        queues=queues,
        connections=connections,
        losses=losses,
        configuration=configuration,
    )


def _nodes(api: ManagementApi) -> tuple[BrokerNode, ...]:
    return tuple(_node(node) for node in api.list_of("nodes", columns=columns(_NODE_COLUMNS)))


def _node(raw: Mapping[str, Any]) -> BrokerNode:
    return BrokerNode(
        name=str(raw.get("name", ""))[:NAME_CHARACTERS],
        is_running=raw.get("running") is True,
        memory_used=_int(raw, "mem_used"),
        memory_limit=_int(raw, "mem_limit"),
        memory_alarm=raw.get("mem_alarm") is True,
        disk_free=_int(raw, "disk_free"),
        disk_free_limit=_int(raw, "disk_free_limit"),
        disk_alarm=raw.get("disk_free_alarm") is True,
        descriptors_used=_int(raw, "fd_used"),
        descriptors_total=_int(raw, "fd_total"),
        sockets_used=_int(raw, "sockets_used"),
        sockets_total=_int(raw, "sockets_total"),
        partitions=tuple(str(node)[:NAME_CHARACTERS] for node in raw.get("partitions") or ()),
        uptime_seconds=_int(raw, "uptime") // 1000,
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
    listed = [_queue(raw) for raw in objects(_dict(page).get("items"), "queues")]
    names = {queue.name for queue in listed}
    if _int(_dict(page), "filtered_count") > len(listed):
        listed += [queue for name in settings.queues if name not in names and (queue := _named(api, name))]
    listed.sort(key=lambda queue: (queue.name not in settings.queues, -queue.messages))
    kept = [queue for queue in listed if queue.name in settings.queues or not queue.is_transient][
        :SHOWN_QUEUES
    ]
    ours = [queue for queue in kept if queue.name in settings.queues]
    with_history = [queue.name for queue in ours if queue.messages or queue.limits][:QUEUES_WITH_HISTORY]
    kept = [_with_history(api, queue) if queue.name in with_history else queue for queue in kept]
    return tuple(_with_policy(api, queue) if queue.name in settings.queues else queue for queue in kept)


def _named(api: ManagementApi, name: str) -> BrokerQueue | None:
    try:
        return _queue(_dict(api.in_vhost("queues", name, columns=columns(_QUEUE_COLUMNS))))
    except ClientError as error:
        if error.kind is FailureKind.MISSING:
            return None
        raise


def _with_history(api: ManagementApi, queue: BrokerQueue) -> BrokerQueue:
    raw = api.in_vhost("queues", queue.name, columns=",".join(_HISTORY_COLUMNS), **HISTORY)
    return replace(queue, history=history_of(_dict(raw), queue.ready))


def _with_policy(api: ManagementApi, queue: BrokerQueue) -> BrokerQueue:
    if not queue.policy or not set(queue.limits) - set(queue.own_limits):
        return queue
    return replace(queue, limiting_policy=read_policy(api, queue.policy))


def _queue(raw: Mapping[str, Any]) -> BrokerQueue:
    stats = _dict(raw, "message_stats")
    timestamp = raw.get("head_message_timestamp")
    return BrokerQueue(
        name=str(raw.get("name", ""))[:NAME_CHARACTERS],
        state=str(raw.get("state", ""))[:NAME_CHARACTERS],
        consumers=_int(raw, "consumers"),
        ready=_int(raw, "messages_ready"),
        unacknowledged=_int(raw, "messages_unacknowledged"),
        bytes=_int(raw, "message_bytes"),
        is_durable=raw.get("durable") is True,
        is_transient=raw.get("exclusive") is True or raw.get("auto_delete") is True,
        publish_rate=rate_of(stats, "publish"),
        deliver_rate=rate_of(stats, "deliver_get"),
        ack_rate=rate_of(stats, "ack"),
        redeliver_rate=rate_of(stats, "redeliver"),
        head_timestamp=timestamp if isinstance(timestamp, int) else None,
        limits=limits_of(raw),
        own_limits=own_limits_of(raw),
        policy=str(raw.get("policy") or "")[:NAME_CHARACTERS],
        operator_policy=str(raw.get("operator_policy") or "")[:NAME_CHARACTERS],
    )


def _connections(api: ManagementApi) -> BrokerConnections:
    api.require_everything("connections")
    listed = api.list_of("connections", columns="name,state,user")
    states = [
        (str(connection.get("name", ""))[:NAME_CHARACTERS], connection.get("state")) for connection in listed
    ]
    return BrokerConnections(
        total=len(states),
        blocked=tuple(name for name, state in states if state == "blocked"),
        blocking=tuple(name for name, state in states if state == "blocking"),
    )


def _losses(api: ManagementApi) -> tuple[ExchangeLoss, ...]:
    api.require_everything("exchanges")
    wanted = "name,message_stats.publish_in_details.samples,message_stats.publish_out_details.samples"
    answer = api.in_vhost("exchanges", columns=wanted, msg_rates_age=600, msg_rates_incr=10)
    losses = []
    for raw in objects(answer, "exchanges"):
        name, stats = str(raw.get("name", ""))[:NAME_CHARACTERS], _dict(raw, "message_stats")
        published = _gained(_dict(stats, "publish_in_details"))
        routed = _gained(_dict(stats, "publish_out_details"))
        if published and not name.startswith(_MAY_DROP):
            losses.append(ExchangeLoss(name, published, max(0, published - routed)))
    return tuple(losses)


def _gained(details: Mapping[str, Any]) -> int:
    samples = [_int(sample, "sample") for sample in details.get("samples") or () if isinstance(sample, dict)]
    return max(0, samples[0] - samples[-1]) if samples else 0


def _guest_exists(api: ManagementApi) -> bool | None:
    if "administrator" not in api.tags:
        return None
    return any(user.get("name") == DEFAULT_USER[0] for user in api.list_of("users", columns="name"))


def _dict(raw: object, name: str | None = None) -> dict[str, Any]:
    """Return a JSON object, or the one it holds under a name; RabbitMQ writes an empty object as []."""
    value = raw.get(name) if name is not None and isinstance(raw, dict) else raw
    return value if isinstance(value, dict) else {}


def _int(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    return int(value) if isinstance(value, (int, float)) else 0
