"""Where the collectors of each system are."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from samaops.collect.engine import Collector
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS
from samaops.site.site import Site


def collect_module(system: str) -> ModuleType:
    """Return ``samaops.collect.<system>``; only the systems in use are imported."""
    return import_module(f"samaops.collect.{system}")


def collectors(site: Site, selection: Selection) -> list[Collector]:
    """Return the collectors that the configuration and the selection ask for, in the order they are shown."""
    return [one for system in SYSTEMS for one in _of(system, site, selection)]


def _of(system: str, site: Site, selection: Selection) -> list[Collector]:
    if not selection.touches(system):
        return []
    found: list[Collector] = collect_module(system).collectors(site)
    return [one for one in found if one.is_wanted(selection)]
