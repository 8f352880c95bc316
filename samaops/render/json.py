"""A report as the JSON document of the contract (docs/report.schema.json)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from samaops.model.cause import Cause, Fix, Verdict
from samaops.model.difference import Comparison, Difference
from samaops.model.finding import Finding, Silenced
from samaops.model.plan import Action
from samaops.model.report import SCHEMA, Footprint, Report, ReportError
from samaops.render import escape


def render(report: Report) -> str:
    """Return the report as one JSON document."""
    return text(document(report))


def text(value: object) -> str:
    """Return plain values as a JSON document that is safe to show on a terminal."""
    return escape.json_text(json.dumps(_finite(value), indent=2, ensure_ascii=False)) + "\n"


def document(report: Report) -> dict[str, Any]:
    """Return the report as plain values, in the order of the contract."""
    return {
        "schema": SCHEMA,
        "command": report.command,
        "status": report.status.value,
        "started_at": moment(report.started_at),
        "duration_ms": report.duration_ms,
        "deadline_hit": report.deadline_hit,
        "deep": report.deep,
        "counts": {status.value: count for status, count in report.counts().items()},
        "findings": [_finding(finding) for finding in report.findings],
        "causes": [_cause(cause) for cause in report.causes],
        "actions": [_action(action) for action in report.actions],
        "footprint": _footprint(report.footprint),
        "timings_ms": dict(report.timings_ms),
        "errors": [_error(error) for error in report.errors],
        **_comparison(report.since_well or Comparison()),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "well_at": moment(comparison.well_at) if comparison.well_at else None,
        "differences": [_difference(difference) for difference in comparison.differences],
        "not_compared": list(comparison.unknown),
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "place": difference.place,
        "server": difference.server,
        "title": difference.title,
        "before": difference.before,
        "after": difference.after,
        "at": moment(difference.at) if difference.at else None,
        "change": difference.change or None,
    }


def moment(value: datetime) -> str:
    """Return a moment with milliseconds and its offset."""
    return value.isoformat(timespec="milliseconds")


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "status": finding.status.value,
        "subject": finding.subject,
        "server": finding.server,
        "title": finding.title,
        "detail": finding.detail,
        "value": finding.value,
        "unit": finding.unit,
        "warning": finding.warning,
        "critical": finding.critical,
        "evidence": dict(finding.evidence),
        "hint": finding.hint,
        "cause": finding.cause,
        **({"site": finding.site} if finding.site else {}),
        "silenced": _silenced(finding.silenced) if finding.silenced else None,
    }


def _silenced(silenced: Silenced) -> dict[str, Any]:
    return {
        "number": silenced.number,
        "until": moment(silenced.until),
        "by": silenced.by,
        "reason": silenced.reason,
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "id": cause.id,
        "runbook": cause.runbook,
        "verdict": cause.verdict.for_machines,
        **({"outside": True} if cause.verdict is Verdict.OUTSIDE else {}),
        "subject": cause.subject,
        "title": cause.title,
        "for": list(cause.speaks_for),
        "against": list(cause.speaks_against),
        "explains": list(cause.explains),
        "fixes": [_fix(fix) for fix in cause.fixes],
        **({"address": cause.address} if cause.address else {}),
        **({"sites": list(cause.sites)} if cause.sites else {}),
        **({"since": moment(cause.since)} if cause.since else {}),
    }


def _fix(fix: Fix) -> dict[str, Any]:
    return {
        "id": fix.id,
        "risk": fix.risk.value,
        "title": fix.title,
        "commands": list(fix.commands),
        "undo": list(fix.undo),
        **({"text": fix.text} if fix.text else {}),
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "id": action.id,
        "title": action.title,
        "risk": action.risk.value,
        "status": action.status.value,
        "commands": list(action.commands),
        "undo": list(action.undo),
        "journal": action.journal,
        "server": action.server,
        "conditions": list(action.conditions),
        "verify": list(action.verify),
        "no_undo": action.no_undo,
        "destroys": action.destroys,
        "undo_restores": list(action.undo_restores),
        "result": action.result,
    }


def _footprint(footprint: Footprint) -> dict[str, int]:
    return {
        "connections": footprint.connections,
        "bytes_read": footprint.bytes_read,
        "commands": footprint.commands,
        "writes": footprint.writes,
    }


def _error(error: ReportError) -> dict[str, Any]:
    return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def _finite(value: Any) -> Any:
    """Return plain JSON values: NaN and infinity, which JSON has not, become null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
