"""Look at a test's PostgreSQL or PgBouncer with samaops, and judge it, as ``diagnose`` does."""

from __future__ import annotations

from typing import Any

from samaops.checks import engine as checks
from samaops.collect import engine, registry
from samaops.config.settings import PgBouncer, PostgreSQL, Settings, Threshold
from samaops.facts.observation import Snapshot
from samaops.facts.selection import EVERYTHING, Selection
from samaops.model.finding import Finding
from samaops.site.site import Site


def observe(
    *sections: PostgreSQL | PgBouncer,
    selection: Selection = EVERYTHING,
    thresholds: dict[str, Threshold] | None = None,
) -> tuple[Snapshot, dict[str, Finding]]:
    """Return what was seen, and the findings by their code."""
    named: dict[str, Any] = {
        "postgresql" if isinstance(section, PostgreSQL) else "pgbouncer": section for section in sections
    }
    settings = Settings(thresholds=thresholds or {}, **named)
    collectors = registry.collectors(Site(settings), Selection(probe=selection.probe))
    snapshot = engine.observe(collectors, Site(settings), selection, 15.0)
    return snapshot, {one.code: one for one in checks.judge(snapshot, Site(settings), selection)}


def finding(code: str, *sections: PostgreSQL | PgBouncer, **thresholds: float) -> Finding:
    """Return one finding of a look at only what it needs; limits may be lowered for the test."""
    limits = {code: Threshold(**thresholds)} if thresholds else {}
    return observe(*sections, selection=Selection(only=(code,)), thresholds=limits)[1][code]
