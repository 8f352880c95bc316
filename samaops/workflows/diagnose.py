"""Look at everything, judge it, explain it."""

from __future__ import annotations

from samaops.causes import graph
from samaops.checks import engine as checks
from samaops.config.settings import Settings
from samaops.facts import engine, systems
from samaops.facts.observation import Snapshot
from samaops.facts.selection import EVERYTHING, Selection
from samaops.model.report import Report

DEFAULT_DEADLINE_SECONDS = 15.0


def observe(
    settings: Settings, selection: Selection = EVERYTHING, deadline_seconds: float = DEFAULT_DEADLINE_SECONDS
) -> Snapshot:
    """Look at every selected system side by side, within the deadline."""
    return engine.observe(systems.collectors(settings, selection), settings, selection, deadline_seconds)


def judge(snapshot: Snapshot, settings: Settings, selection: Selection = EVERYTHING) -> Report:
    """Turn what was observed into a report. Pure: the same snapshot gives the same report."""
    findings = checks.judge(snapshot, settings, selection)
    findings, causes = graph.explain(findings, settings)
    return Report(
        command="diagnose",
        started_at=snapshot.taken_at,
        duration_ms=snapshot.duration_ms,
        deadline_hit=snapshot.deadline_hit,
        findings=findings,
        causes=causes,
        footprint=snapshot.footprint,
    )
