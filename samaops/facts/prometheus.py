"""What is observed of Prometheus: which targets it cannot scrape, which rules it cannot evaluate."""

from __future__ import annotations

from msgspec import Struct


class TargetFacts(Struct, frozen=True):
    """One scrape target. ``health`` is Prometheus' word: up, down or unknown (not scraped yet)."""

    job: str
    instance: str
    health: str
    error: str


class RuleFacts(Struct, frozen=True):
    """One rule whose last evaluation failed."""

    group: str
    name: str
    error: str


class PrometheusFacts(Struct, frozen=True):
    """One look at one Prometheus. ``failing_rules`` is None when the rules could not be read."""

    url: str
    targets: tuple[TargetFacts, ...]
    rule_count: int | None
    failing_rules: tuple[RuleFacts, ...] | None
