"""The systems samaops knows, in the order they are shown."""

from __future__ import annotations

# The same system has the same module name in clients/, facts/, collect/, checks/ and changes/.
SYSTEMS = (
    "servers",
    "postgresql",
    "pgbouncer",
    "minio",
    "backup",
    "api",
    "rabbitmq",
    "docker",
    "release",
    "redis",
    "celery",
    "flower",
    "loadbalancer",
    "proxy",
    "firebase",
    "sqlserver",
    "prometheus",
    "alertmanager",
    "certificates",
    "schedule",
    "network",  # looked at with --deep, or when asked for by name
    "maintenance",  # looked at only when asked for by name
    "checklist",  # the same
    "sites",  # looked at by `diagnose --sites` alone
)

# What systems are looked at for besides their own checks: prefixes of the codes of others.
ALSO_FEEDS = {"postgresql": ("release.rollback",), "docker": ("release",)}

# What costs too much to be looked at each time: with ``--deep``, or when it is asked for by name.
WITH_DEEP = ("network",)
