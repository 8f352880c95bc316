"""What Redis, RabbitMQ and Celery counted since they started: the use of a week is the difference of two runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from samaops.clients.flower import FlowerClient
from samaops.clients.rabbitmq import ManagementApi
from samaops.clients.redis import RedisClient
from samaops.collect.engine import Probe
from samaops.collect.flower import url_of
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.collect.values import decimal, lacking, table
from samaops.config.settings import Flower, RabbitMQ, Redis
from samaops.facts.maintenance_week import BrokerUse, CeleryUse, RedisUse, Use, compared
from samaops.site.site import Site

_REDIS_COUNTED = {
    "commands": "total_commands_processed",
    "hits": "keyspace_hits",
    "misses": "keyspace_misses",
    "evicted": "evicted_keys",
    "expired": "expired_keys",
    "rejected": "rejected_connections",
}
# What the broker counts of messages, each name and what is summed for it.
_BROKER_COUNTED = {
    "published": ("publish",),
    "delivered": ("deliver_get",),
    "acknowledged": ("ack",),
    "redelivered": ("redeliver",),
    "unroutable": ("return_unroutable", "drop_unroutable"),
}
_CELERY_COUNTED = {
    "received": "task-received",
    "succeeded": "task-succeeded",
    "failed": "task-failed",
    "retried": "task-retried",
}


def _redis(site: Site) -> Iterator[Target]:
    redis = site.settings.redis
    if redis is not None:
        yield Target(redis.server, redis, redis.server, redis.timeout + SPARE_SECONDS)


def _rabbitmq(site: Site) -> Iterator[Target]:
    rabbitmq = site.settings.rabbitmq
    if rabbitmq is not None:
        yield Target(rabbitmq.server, rabbitmq, rabbitmq.server, rabbitmq.timeout + SPARE_SECONDS)


def _flower(site: Site) -> Iterator[Target]:
    flower = site.settings.flower
    if flower is not None:
        yield Target(flower.server, flower, flower.server, flower.timeout + SPARE_SECONDS)


@collects(
    "maintenance", RedisUse, targets=_redis, feeds=("maintenance.redis",), kind="redis_use", on_request=True
)
def look_at_redis(redis: Redis, site: Site, probe: Probe) -> RedisUse:
    """Read what Redis counted."""
    probe.stage("INFO")
    client = RedisClient(site.host_of(redis), redis)
    try:
        client.connect()
        info: Mapping[str, Any] = client.info()
    finally:
        client.close()
    counted = {name: _number(info, field, "INFO") for name, field in _REDIS_COUNTED.items()}
    keys = sum(decimal(table(value), "keys") or 0.0 for name, value in info.items() if name.startswith("db"))
    levels = {"used_bytes": _number(info, "used_memory", "INFO"), "keys": keys}
    now = Use(time.time(), str(info.get("run_id", "")), counted, levels)
    uptime = decimal(info, "uptime_in_seconds")
    return RedisUse(**compared(now, probe.past.redis.get(redis.server), uptime))  # type: ignore[arg-type]


@collects(
    "maintenance",
    BrokerUse,
    targets=_rabbitmq,
    feeds=("maintenance.rabbitmq",),
    kind="rabbitmq_use",
    on_request=True,
)
def look_at_rabbitmq(rabbitmq: RabbitMQ, site: Site, probe: Probe) -> BrokerUse:
    """Read what the broker counted."""
    probe.stage("overview")
    with ManagementApi(site.host_of(rabbitmq), rabbitmq) as api:
        api.log_in()
        api.require_everything("overview")
        overview = table(api.get("overview"))
        nodes = api.list_of("nodes", columns="name,uptime")
    if not isinstance(overview.get("queue_totals"), dict):
        raise lacking("queue_totals", stage="overview")
    statistics = table(overview, "message_stats")  # absent before the first message
    counted = {
        name: float(sum(decimal(statistics, field) or 0.0 for field in fields))
        for name, fields in _BROKER_COUNTED.items()
    }
    objects = table(overview, "object_totals")
    levels = {"messages": decimal(table(overview, "queue_totals"), "messages") or 0.0}
    for name in ("queues", "connections", "consumers"):
        levels[name] = _number(objects, name, "overview")
    uptimes = [uptime / 1000 for node in nodes if (uptime := decimal(node, "uptime")) is not None]
    now = Use(time.time(), "", counted, levels)
    earlier = probe.past.broker.get(rabbitmq.server)
    return BrokerUse(**compared(now, earlier, min(uptimes, default=None)))  # type: ignore[arg-type]


@collects(
    "maintenance",
    CeleryUse,
    targets=_flower,
    feeds=("maintenance.celery",),
    kind="celery_use",
    on_request=True,
)
def look_at_celery(flower: Flower, site: Site, probe: Probe) -> CeleryUse:
    """Read what Flower heard of the tasks since it started."""
    probe.stage("workers")
    with FlowerClient(url_of(site, flower), flower) as client:
        rows = client.heartbeats()
    counted = {
        name: float(sum(decimal(row, field) or 0.0 for row in rows))
        for name, field in _CELERY_COUNTED.items()
    }
    online = sum(row.get("status") is True for row in rows)
    now = Use(time.time(), "", counted, {"workers": float(len(rows)), "online": float(online)})
    return CeleryUse(**compared(now, probe.past.celery.get(flower.server)))  # type: ignore[arg-type]


def _number(raw: Mapping[str, Any], name: str, stage: str) -> float:
    value = decimal(raw, name)
    if value is None:
        raise lacking(name, stage=stage)
    return float(value)
