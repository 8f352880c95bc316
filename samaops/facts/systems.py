"""The systems samaops knows, in the order they are shown, and where their collectors are."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from samaops.config.settings import Settings
from samaops.facts.engine import Collector
from samaops.facts.selection import Selection

# The same system has the same module name in clients/, facts/, checks/ and actions/.
SYSTEMS = (
    "servers",
    "postgresql",
    "pgbouncer",
    "minio",
    "backup",
    "api",
    "rabbitmq",
    "docker",
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
    "maintenance",  # looked at only when asked for by name
)


def facts_module(system: str) -> ModuleType:
    """Return ``samaops.facts.<system>``; only the systems in use are imported."""
    return import_module(f"samaops.facts.{system}")


def collectors(settings: Settings, selection: Selection) -> list[Collector]:
    """Return the collectors that the configuration and the selection ask for."""
    chosen: list[Collector] = []
    for system in SYSTEMS:
        if selection.touches(system):
            found: list[Collector] = facts_module(system).collectors(settings)
            chosen.extend(one for one in found if one.is_wanted(selection))
    return chosen
