"""What each system's facts say of how it is set up. Counters, states and times that pass are left out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from samaops.facts.celery import CeleryFacts
from samaops.facts.certificates import CertificateFacts
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.loadbalancer import BigIpFacts
from samaops.facts.minio import MinioFacts
from samaops.facts.pgbouncer import PgBouncerFacts, PooledDatabase
from samaops.facts.portrait import TEXT_CHARACTERS, Row, Things, Trait, gather, joined
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.facts.redis import RedisFacts
from samaops.facts.servers import ServerFacts
from samaops.portraits.portrait import portrays

# A thing of these that came about by a start; told only when nothing else of it is different.
STARTED = "started"
# The year 9987: what is later is no moment of a saved look that anybody can show.
LAST_MOMENT = 253_000_000_000
# Kernels differ in what they keep for themselves.
_MEMORY_STEP = 64 * 1024 * 1024


@portrays(PostgresFacts)
def postgresql(facts: PostgresFacts) -> Things:
    """Version; settings, roles, databases, tables and what belongs to them."""
    service = ("service", "PostgreSQL", "version", Trait(facts.version))
    return joined(gather((), [service]), facts.configuration)


@portrays(PgBouncerFacts)
def pgbouncer(facts: PgBouncerFacts) -> Things:
    """Version, settings, and the databases that are offered."""
    if facts.console is None or facts.version is None:
        return {}
    rows: list[Row] = [("service", "PgBouncer", "version", Trait(facts.version))]
    rows += [
        ("setting", name, "", Trait(value[:TEXT_CHARACTERS]))
        for name, value in facts.console.settings.items()
    ]
    for database in facts.console.databases:
        rows += _pooled(database)
    return gather(("setting", "database"), rows)


def _pooled(database: PooledDatabase) -> Iterator[Row]:
    traits = {
        "host": database.host,
        "port": database.port,
        "database": database.real_name or None,
        "user": database.forced_user or None,
        "pool_size": database.pool_size,
        "reserve_pool": database.reserve_pool,
        "pool_mode": database.pool_mode,
        "max_connections": database.max_connections,
    }
    for name, value in traits.items():
        if value is not None:
            yield "database", database.name, name, Trait(str(value))


@portrays(RedisFacts)
def redis(facts: RedisFacts) -> Things:
    """Version, role, start, settings."""
    service = ("service", "Redis", "version", Trait(facts.version))
    return joined(gather((), [service]), facts.configuration)


@portrays(RabbitMQFacts)
def rabbitmq(facts: RabbitMQFacts) -> Things:
    """Version, limits of the nodes that run, the definitions, and the policy that holds for each queue."""
    rows: list[Row] = [("service", "RabbitMQ", "version", Trait(facts.version))]
    for node in facts.nodes or ():
        limits = {"memory limit": node.memory_limit, "disk free limit": node.disk_free_limit}
        if node.is_running and None not in limits.values():
            rows += [("node", node.name, name, Trait(str(value))) for name, value in limits.items()]
    for queue in facts.queues or ():
        if not queue.is_transient:
            rows.append(("effective", queue.name, "policy", Trait(queue.policy)))
            rows.append(("effective", queue.name, "operator policy", Trait(queue.operator_policy)))
    return joined(gather((), rows), facts.configuration)


@portrays(DockerFacts)
def docker(facts: DockerFacts) -> Things:
    """Containers as they were created, and the compose files they are created from.

    One that nobody expects and that is not started again came for a single task.
    """
    lasting = {
        container.name: container
        for container in facts.containers
        if container.name in facts.expected or container.restart_policy not in ("", "no")
    }
    rows = [row for container in lasting.values() for row in _container(container)]
    things = joined(gather(("container",), rows), facts.configuration)
    named = {name: traits for name, traits in things["container"].items() if name in lasting}
    return {**things, "container": named}


def _container(container: Container) -> Iterator[Row]:
    started = container.started_at
    if started is not None and not 0 <= started < LAST_MOMENT:
        started = None
    values = {
        "image": f"{container.image} {container.image_id.removeprefix('sha256:')[:12]}",
        "restart policy": container.restart_policy,
        "memory limit": str(container.memory_limit),
        "log size limit": container.log_max_size or "",
        STARTED: "" if started is None else datetime.fromtimestamp(started, timezone.utc).isoformat(),
    }
    for attribute, value in values.items():
        yield (
            "container",
            container.name,
            attribute,
            Trait(value, started if attribute == STARTED else container.created_at),
        )


@portrays(ServerFacts)
def servers(facts: ServerFacts) -> Things:
    """Kernel, boot, memory, processors; mounts, crontabs and files of /etc."""
    boot = round(facts.epoch - facts.uptime_seconds)
    values = {
        "kernel": Trait(facts.kernel),
        "processors": Trait(str(facts.processors)),
        "memory": Trait(f"{round(facts.memory_total / _MEMORY_STEP) * _MEMORY_STEP}"),
        "swap": Trait(str(facts.swap_total)),
        STARTED: Trait(facts.boot_id, boot),
    }
    rows = [("service", "Linux", attribute, trait) for attribute, trait in values.items()]
    return joined(gather((), rows), facts.configuration)


@portrays(BigIpFacts)
def loadbalancer(facts: BigIpFacts) -> Things:
    """Members, whether each is enabled, and what the monitors ask for."""
    rows: list[Row] = [("member", member.name, "state", Trait(member.enabled)) for member in facts.members]
    for monitor in facts.monitors or ():
        rows.append(("monitor", monitor.name, "send", Trait(monitor.send)))
        rows.append(("monitor", monitor.name, "receive", Trait(monitor.receive or "")))
    return gather(("member",), rows)


@portrays(CeleryFacts)
def celery(facts: CeleryFacts) -> Things:
    """What each connected worker consumes. How many messages it may hold changes by itself, with tasks for later."""
    return gather(
        ("worker",),
        [("worker", node.key, "queues", Trait(", ".join(sorted(node.queues)))) for node in facts.nodes],
    )


@portrays(CertificateFacts)
def certificates(facts: CertificateFacts) -> Things:
    """Which certificate is shown, and who issued it."""
    name = f"{facts.server_name or facts.host}:{facts.port}"
    return gather(
        (),
        [
            ("certificate", name, "serial", Trait(facts.serial)),
            ("certificate", name, "issuer", Trait(facts.issuer)),
            ("certificate", name, "subject", Trait(facts.subject)),
        ],
    )


@portrays(MinioFacts)
def minio(facts: MinioFacts) -> Things:
    """The buckets."""
    if facts.buckets is None:
        return {}
    return gather(("bucket",), [("bucket", name, "", Trait("")) for name in facts.buckets])
