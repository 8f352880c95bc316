"""What ``diagnose`` finds in each single incident, kept as data: a test joins them and looks what is named.

``well.json`` has every finding of a lab that is well. A file of an incident has only those that differ from it; what was
not looked at in it is among the absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samaops.lab.layout import Layout

from .commands import Samaops

LOOK_SECONDS = 60.0
WELL = "well"
KEPT = ("code", "status", "subject", "server", "title", "detail", "value", "warning", "critical", "evidence")
# Of what is well, causes ask for the evidence of these only.
ASKED = ("celery.", "docker.container.", "pgbouncer.pool.", "proxy.", "firebase.", "rabbitmq.connection.")
# And of these where they hold what may fill a disk.
ASKED_WHERE: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "docker.log.large": lambda row: float(row.get("value") or 0) >= 50,
    "postgresql.wal.large": lambda row: bool(row["evidence"].get("wal_keep_bytes")),
    "postgresql.temp.high": lambda row: bool(row["evidence"].get("by_pid")),
}
FAILING, BAD = "celery.tasks.failing", {"warning", "critical"}
SHOWN_IN_LISTS, SHOWN_CHARACTERS = 5, 300

Rows = dict[str, dict[str, Any]]


def look(samaops: Samaops, layout: Layout) -> tuple[list[str], Rows]:
    """Diagnose once; return the causes that were named as ``cause@subject``, and the findings by their keys."""
    report = samaops.report("diagnose", limit_seconds=LOOK_SECONDS).document
    named = [f"{cause['id']}@{cause['subject']}" for cause in report.get("causes", ())]
    rows = {f"{row['code']}@{row['subject']}": _row(row, layout) for row in report.get("findings", ())}
    return named, rows


def write(path: Path, rows: Rows, well: Rows) -> None:
    """Write what differs from a lab that is well."""
    seen = {key: row for key, row in rows.items() if row["status"] != "skipped"}
    differing = [row for key, row in seen.items() if row["status"] != "ok" or _is_new(row, well.get(key))]
    content = {"findings": differing, "absent": sorted(set(well) - set(seen))}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[Rows, tuple[str, ...]]:
    """Return the findings of a file by their keys, and the keys of those that were not there."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {f"{row['code']}@{row['subject']}": row for row in content["findings"]}, tuple(content["absent"])


def joined(well: Rows, recorded: Sequence[tuple[Rows, tuple[str, ...]]]) -> Rows:
    """Return what a look finds when several incidents are live: of each finding the worst, and what all still see."""
    rows = dict(well)
    for found, _absent in recorded:
        for key, row in found.items():
            known = rows.get(key)
            if known is not None and row["code"] == FAILING and {row["status"], known["status"]} <= BAD:
                rows[key] = _of_both(known, row)
            elif known is None or _badness(row) >= _badness(known):
                rows[key] = row
    hidden = {key for _found, absent in recorded for key in absent}
    return {key: row for key, row in rows.items() if key not in hidden}


def _of_both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return how tasks fail that fail for two reasons: one finding, which has the exceptions of both."""
    exceptions = {**_exceptions(one), **_exceptions(other)}
    looked_at = one["evidence"]["exception_of"] + other["evidence"]["exception_of"]
    return {**one, "evidence": {**one["evidence"], "exceptions": exceptions, "exception_of": looked_at}}


def _exceptions(row: Mapping[str, Any]) -> dict[str, int]:
    evidence = row["evidence"]
    return evidence.get("exceptions") or {evidence["exception"]: evidence["exception_count"]}


_WORST_LAST = ("ok", "skipped", "unknown", "warning", "critical")


def _badness(row: Mapping[str, Any]) -> int:
    return _WORST_LAST.index(row["status"])


def _is_new(row: Mapping[str, Any], well: Mapping[str, Any] | None) -> bool:
    return well is None or row["evidence"].keys() != well["evidence"].keys()


def _row(row: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    kept = {name: row[name] for name in KEPT if row.get(name) not in (None, "")}
    tells = ASKED_WHERE.get(row["code"], lambda _row: False)
    is_asked = row["status"] != "ok" or row["code"].startswith(ASKED) or tells(row)
    kept["evidence"] = _short(row.get("evidence") or {}) if is_asked else {}
    text = json.dumps(kept).replace(str(layout.directory), "/lab")
    return dict(json.loads(text))


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value[:SHOWN_IN_LISTS]]
    return value[:SHOWN_CHARACTERS] if isinstance(value, str) else value
