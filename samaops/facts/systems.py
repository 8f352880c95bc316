"""The systems samaops knows, in the order they are shown, and where their collectors are."""

from __future__ import annotations

from collections.abc import Iterator
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

# Started first: their answers take longest, a log-in and a script.
_FIRST = ("servers", "docker", "backup")
# Started last: their libraries take longest to import.
_LAST = ("redis", "postgresql", "pgbouncer", "minio")


def facts_module(system: str) -> ModuleType:
    """Return ``samaops.facts.<system>``; only the systems in use are imported."""
    return import_module(f"samaops.facts.{system}")


def collectors(settings: Settings, selection: Selection) -> list[Collector]:
    """Return the collectors that the configuration and the selection ask for, in the order they are shown."""
    return [one for system in SYSTEMS for one in _of(system, settings, selection)]


def in_start_order(settings: Settings, selection: Selection) -> Iterator[Collector]:
    """Yield the same collectors, the slowest systems first, each before the next system's module is imported."""
    between = (system for system in SYSTEMS if system not in (*_FIRST, *_LAST))
    for system in (*_FIRST, *between, *_LAST):
        yield from _of(system, settings, selection)


def _of(system: str, settings: Settings, selection: Selection) -> list[Collector]:
    if not selection.touches(system):
        return []
    found: list[Collector] = facts_module(system).collectors(settings)
    return [one for one in found if one.is_wanted(selection)]
