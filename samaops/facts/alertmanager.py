"""What is observed of AlertManager: the alerts that fire now and are neither silenced nor inhibited."""

from __future__ import annotations

from msgspec import Struct


class AlertFacts(Struct, frozen=True):
    """One alert that fires. ``severity`` is its label, "" when it has none."""

    name: str
    severity: str
    instance: str
    starts_at: str
    summary: str


class AlertmanagerFacts(Struct, frozen=True):
    """All alerts that fire now."""

    url: str
    alerts: tuple[AlertFacts, ...]
