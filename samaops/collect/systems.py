"""Where the collectors of each system are."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from samaops.collect.engine import Collector
from samaops.config.settings import Settings
from samaops.facts.selection import Selection
from samaops.facts.systems import SYSTEMS


def collect_module(system: str) -> ModuleType:
    """Return ``samaops.collect.<system>``; only the systems in use are imported."""
    return import_module(f"samaops.collect.{system}")


def collectors(settings: Settings, selection: Selection) -> list[Collector]:
    """Return the collectors that the configuration and the selection ask for, in the order they are shown."""
    return [collector for system in SYSTEMS for collector in _of(system, settings, selection)]


def _of(system: str, settings: Settings, selection: Selection) -> list[Collector]:
    if not selection.touches(system):
        return []
    configured: list[Collector] = collect_module(system).collectors(settings)
    return [collector for collector in configured if collector.is_wanted(selection)]
