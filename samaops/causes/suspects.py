"""Which differences can bring a cause about: where one of them is found, it speaks for the cause.

Patterns of places (``rabbitmq/policy/*``). ``{name}`` is what the cause is about, ``{system}`` the system of that, and
``{container}`` the container it runs in; a pattern whose words are not known holds for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from glob import escape

from msgspec.structs import replace

from samaops.model.cause import Cause
from samaops.model.difference import Comparison, Difference
from samaops.site.site import Site

_MOST_SENTENCES = 4
_CONTAINER = ("docker/container/{name}", "docker/container/{name}/*", "docker/file/*")
_IN_CONTAINER = ("docker/container/{container}", "docker/container/{container}/*", "docker/file/*")
_LOG_IN = tuple(
    f"{{system}}/{kind}/*" for kind in ("role", "user", "permission", "vhost", "database", "setting")
)
_SERVICE = (
    *_IN_CONTAINER,
    "{system}/setting/*",
    "{system}/service/*",
    "servers/service/*",
    "servers/mount/*",
)
_QUERIES = (
    "postgresql/index/*", "postgresql/constraint/*", "postgresql/table/*", "postgresql/trigger/*",
    "postgresql/setting/*", "postgresql/role/*/setting *", "postgresql/database/*/setting *", "postgresql/service/*",
)  # fmt: skip
_LIMITS = (
    "postgresql/setting/*connections", "postgresql/role/*/connection limit", "postgresql/database/*/connection*",
    "pgbouncer/setting/*", "pgbouncer/database/*",
)  # fmt: skip
_PUBLISHING = (
    "rabbitmq/binding/*", "rabbitmq/exchange/*", "rabbitmq/permission/*", "rabbitmq/user/*",
    "rabbitmq/parameter/vhost-limits *", "postgresql/role/*", "postgresql/database/*", "postgresql/table/*",
    "servers/crontab/*", "docker/container/*/environment *", "docker/container/*/image",
)  # fmt: skip
_TASKS = (
    "docker/container/*/image", "docker/container/*/environment *", "docker/container/*/mount *",
    "docker/container/*/command", "docker/container/*/hosts", "postgresql/table/*", "postgresql/role/*",
)  # fmt: skip
_GOOGLE = (
    "docker/container/*/environment *", "docker/container/*/hosts", "docker/container/*/mount *", "servers/file/*",
    "certificates/*",
)  # fmt: skip
_REDIS_MEMORY = ("redis/setting/maxmemory*", "docker/container/{container}/*")

SUSPECTS: Mapping[str, tuple[str, ...]] = {
    "host-out-of-memory": ("servers/service/*/memory", "servers/service/*/swap", "docker/container/*/memory limit"),
    "filesystem-read-only": ("servers/mount/*", "servers/file/*/etc/fstab"),
    "disk-full": ("servers/mount/*", "servers/crontab/*", "docker/container/*/log size limit"),
    "container-log-grown": ("docker/container/*/log size limit",),
    "backups-not-expired": ("servers/crontab/*", "servers/file/*"),
    "wal-archiving-failing": ("postgresql/setting/archive_*",),
    "query-temporary-files": ("postgresql/setting/*", "postgresql/index/*"),
    "docker-down": ("servers/file/*", "servers/service/*"),
    "container-oom-killed": _CONTAINER,
    "container-crash-loop": _CONTAINER,
    "container-stopped": _CONTAINER,
    "container-crashed": _CONTAINER,
    "container-missing": _CONTAINER,
    "login-refused": _LOG_IN,
    "postgresql-down": _SERVICE,
    "pgbouncer-down": _SERVICE,
    "redis-down": _SERVICE,
    "rabbitmq-down": _SERVICE,
    "minio-down": _SERVICE,
    "flower-down": _SERVICE,
    "api-down": _IN_CONTAINER,
    "api-unhealthy": (*_IN_CONTAINER, *_LIMITS, "postgresql/role/*", "rabbitmq/permission/*", "redis/setting/*"),
    "postgresql-database-missing": ("postgresql/database/*", "pgbouncer/database/*"),
    "postgresql-connections-exhausted": _LIMITS,
    "pgbouncer-database-disabled": ("pgbouncer/database/*",),
    "pgbouncer-login-stuck": (*_LIMITS, "postgresql/role/*", "postgresql/setting/*"),
    "pgbouncer-pool-exhausted": (*_LIMITS, *_QUERIES),
    "long-query": _QUERIES,
    "lock-chain": ("postgresql/setting/*timeout*", "postgresql/role/*/setting *"),
    "idle-in-transaction": ("postgresql/setting/idle*", "postgresql/role/*/setting idle*", *_TASKS[:2]),
    "statistics-stale": ("postgresql/setting/*vacuum*", "postgresql/table/*/options"),
    "redis-results-without-expiry": ("docker/container/*/environment *", "docker/container/*/image"),
    "redis-cache-without-expiry": ("docker/container/*/environment *", "docker/container/*/image"),
    "redis-refusing-writes": ("redis/setting/*",),
    "redis-cannot-save": ("redis/setting/*", *_IN_CONTAINER),
    "redis-maxmemory-noeviction": _REDIS_MEMORY,
    "redis-memory-full": _REDIS_MEMORY,
    "broker-memory-alarm": ("rabbitmq/node/*", *_IN_CONTAINER),
    "broker-disk-alarm": ("rabbitmq/node/*", "servers/mount/*"),
    "queue-missing": ("rabbitmq/queue/{name}", "rabbitmq/queue/{name}/*", "rabbitmq/policy/*"),
    "queue-without-consumer": ("celery/worker/*", "docker/container/*/command", "docker/container/*/image"),
    "messages-dropped": ("rabbitmq/policy/*", "rabbitmq/parameter/operator_policy *", "rabbitmq/*/{name}/*"),
    "worker-down": (*_IN_CONTAINER, "rabbitmq/permission/*", "rabbitmq/user/*"),
    "worker-not-consuming": (*_IN_CONTAINER, "celery/worker/{name}/queues"),
    "worker-frozen": _IN_CONTAINER,
    "tasks-failing": _TASKS,
    "task-unregistered": _TASKS,
    "nothing-published": _PUBLISHING,
    "wrong-service-account-key": _GOOGLE,
    "sender-id-mismatch": _GOOGLE,
    "google-unreachable": _GOOGLE,
    "google-host-unreachable": _GOOGLE,
    "proxy-intercepts-tls": _GOOGLE,
    "loadbalancer-fault": ("loadbalancer/*",),
}  # fmt: skip


def with_differences(
    causes: tuple[Cause, ...], comparison: Comparison, now: datetime, site: Site
) -> tuple[Cause, ...]:
    """Return the causes; what can have brought one about speaks for it."""
    return tuple(
        replace(
            cause,
            speaks_for=(
                *cause.speaks_for,
                *(
                    comparison.sentence(difference, now)
                    for difference in suspects_of(cause, comparison.differences, site)
                ),
            ),
        )
        for cause in causes
    )


def suspects_of(cause: Cause, differences: tuple[Difference, ...], site: Site) -> tuple[Difference, ...]:
    """Return the differences that can have brought a cause about, at most a few."""
    patterns = _patterns(cause, site)
    fitting = [
        difference
        for difference in differences
        if any(fnmatchcase(difference.place, pattern) for pattern in patterns)
    ]
    return tuple(fitting[:_MOST_SENTENCES])


def _patterns(cause: Cause, site: Site) -> tuple[str, ...]:
    system, _slash, name = cause.subject.partition("/")
    containers = [
        service.container for service in site.services() if (service.system, service.name) == (system, name)
    ]
    words = {
        "system": system,
        "name": escape(name),
        "container": escape(containers[0] or "") if containers else "",
    }
    return tuple(
        pattern.format_map(words)
        for pattern in SUSPECTS.get(cause.id, ())
        if words["container"] or "{container}" not in pattern
    )
