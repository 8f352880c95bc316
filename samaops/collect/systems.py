"""Where the collectors of each system are, and in which order they are started."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from samaops.collect.engine import Collector
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.site.site import Site

# Started first: their answers take longest, a log-in and a script.
_FIRST = ("servers", "docker", "backup")
# Started last: their libraries take longest to import.
_LAST = ("redis", "postgresql", "pgbouncer", "minio")


def collect_module(system: str) -> ModuleType:
    """Return ``samaops.collect.<system>``; only the systems in use are imported."""
    return import_module(f"samaops.collect.{system}")


def collectors(site: Site, selection: Selection) -> list[Collector]:
    """Return the collectors that the configuration and the selection ask for, in the order they are shown."""
    return [one for system in SYSTEMS for one in _of(system, site, selection)]


def in_start_order(site: Site, selection: Selection) -> Iterator[Collector]:
    """Yield the same collectors, the slowest systems first, each before the next system's module is imported."""
    between = (system for system in SYSTEMS if system not in (*_FIRST, *_LAST))
    for system in (*_FIRST, *between, *_LAST):
        yield from _of(system, site, selection)


def _of(system: str, site: Site, selection: Selection) -> list[Collector]:
    if not selection.touches(system):
        return []
    found: list[Collector] = collect_module(system).collectors(site)
    return [one for one in found if one.is_wanted(selection)]
