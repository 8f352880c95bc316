"""How far the long works of the server are: vacuum, analyze, indexes, rewrites, copies, base backups."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.i18n import N_, _, ngettext, number
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

_WIDTH = 10
_NAMES = {
    "vacuum": N_("vacuum"),
    "analyze": N_("analyze"),
    "create index": N_("index"),
    "cluster": N_("rewrite"),
    "base backup": N_("base backup"),
    "copy": N_("copy"),
}
# Phase -> what is counted and of how many, where the server says both. All others have no total.
_TOTALS: dict[str, dict[str, tuple[str, str, str]]] = {
    "vacuum": {
        "scanning heap": ("heap_blks_scanned", "heap_blks_total", "blocks"),
        "vacuuming heap": ("heap_blks_vacuumed", "heap_blks_total", "blocks"),
        # PostgreSQL 17 counts indexes; before, nothing is said of them.
        "vacuuming indexes": ("indexes_processed", "indexes_total", "indexes"),
        "cleaning up indexes": ("indexes_processed", "indexes_total", "indexes"),
    },
    "analyze": {
        "acquiring sample rows": ("sample_blks_scanned", "sample_blks_total", "blocks"),
        "acquiring inherited sample rows": ("child_tables_done", "child_tables_total", "tables"),
        "computing extended statistics": ("ext_stats_computed", "ext_stats_total", "statistics"),
    },
    "cluster": {"seq scanning heap": ("heap_blks_scanned", "heap_blks_total", "blocks")},
    "base backup": {"streaming database files": ("backup_streamed", "backup_total", "bytes")},
}
Counters = Mapping[str, Any]
Sleep = Callable[[float], None]


class _Stage(Struct, frozen=True):
    """How much is done of how much; ``total`` is None where the server does not say."""

    done: int | None = None
    total: int | None = None
    unit: str = ""


def progress(site: Site, over: float, sleep: Sleep = time.sleep) -> Table:
    """Return what works, the longest first. The rate is that of ``over`` seconds."""
    with look.connected(site, look.LOOK_SECONDS + over) as client:
        rights = client.read_one("rights")
        works = client.read("progress")
        if any(_stage(work).total for work in works):
            sleep(over)
            later = client.read("progress")
        else:
            later = []
    before = {(work["pid"], work["command"]): work for work in works}
    rows = [_row(site, work, before.get((work["pid"], work["command"]))) for work in later or works]
    columns = (
        Column("pid", _("pid"), is_number=True, is_copied=True),
        Column("name", _("what")),
        Column("relation", _("relation")),
        Column("done", _("done"), is_copied=True),
        Column("rate", _("rate, left")),
        Column("phase", _("phase")),
        Column("for", _("since"), is_number=True),
    )
    notes = [] if rights["sees_sessions"] else [look.missing_monitor(rights["role"])]
    notes += [row["note"] for row in rows if row["note"]]
    table = lists.table(
        site, "progress", columns, rows, _answer(rows), notes, is_whole=rights["sees_sessions"]
    )
    return replace(table, commands=tuple(row["command"] for row in rows if row["command"])[:3])


def _stage(work: look.Row) -> _Stage:
    counters: Counters = work["counters"] or {}
    command, phase = work["command"], counters.get("phase")
    if command == "create index":
        return _of_index(counters)
    if command == "copy":
        return _Stage(counters.get("bytes_processed"), counters.get("bytes_total") or None, "bytes")
    done, total, unit = _TOTALS.get(command, {}).get(str(phase), ("", "", ""))
    return _Stage(counters.get(done), counters.get(total) or None, unit)


def _of_index(counters: Counters) -> _Stage:
    """Return what the phase of an index that is built counts: those waited for, else tuples, else blocks."""
    if str(counters.get("phase")).startswith("waiting for"):
        return _Stage(counters.get("lockers_done"), counters.get("lockers_total") or None, "sessions")
    if counters.get("tuples_total"):
        return _Stage(counters.get("tuples_done"), counters["tuples_total"], "rows")
    return _Stage(counters.get("blocks_done"), counters.get("blocks_total") or None, "blocks")


def _row(site: Site, work: look.Row, before: look.Row | None) -> look.Row:
    counters: Counters = work["counters"] or {}
    stage = _stage(work)
    name = work["command"]
    rate = _rate(work, before, stage)
    left = None if not rate or stage.total is None else max(0, stage.total - (stage.done or 0)) / rate
    locker = counters.get("current_locker_pid") or None
    percent = _percent(stage)
    return {
        "work": name,
        "name": _(_NAMES[name]),
        "pid": work["pid"],
        "database": work["database"],
        "relation": work["relation"] or counters.get("relid") or None,
        "phase": counters.get("phase") or counters.get("command"),
        "percent": percent,
        "done": "-" if percent is None else _bar(percent),
        "done_count": stage.done,
        "total_count": stage.total,
        "unit": stage.unit or None,
        "rate_per_second": rate,
        "left_seconds": left,
        "rate": _speed(stage, rate, left),
        "seconds": work["seconds"],
        "for": "-" if work["seconds"] is None else duration(max(0.0, work["seconds"])),
        "locker": locker,
        "counters": dict(counters),
        **{key: work[key] for key in ("user", "application", "client")},
        "query": look.statement(work["query"]),
        "note": _note(work, stage, locker),
        "command": typed(site, "db locks") if locker else None,
    }


def _percent(stage: _Stage) -> float | None:
    if stage.total is None or stage.done is None:
        return None
    return min(100.0, round(100 * stage.done / stage.total, 1))


def _rate(work: look.Row, before: look.Row | None, stage: _Stage) -> float | None:
    """Return how much is done in a second; None where the phase has changed or nothing can be measured."""
    if before is None or stage.total is None or stage.done is None:
        return None
    earlier = _stage(before)
    seconds: float = work["at"] - before["at"]
    is_same = (before["counters"] or {}).get("phase") == (work["counters"] or {}).get("phase")
    if not is_same or earlier.done is None or seconds <= 0 or stage.done < earlier.done:
        return None
    return round((stage.done - earlier.done) / seconds, 1)


def _bar(percent: float) -> str:
    filled = round(percent * _WIDTH / 100)
    return f"{'#' * filled}{'.' * (_WIDTH - filled)} {number(f'{percent:.0f}')} %"


def _speed(stage: _Stage, rate: float | None, left: float | None) -> str:
    if rate is None:
        return "-"
    speed = f"{size(rate)}/s" if stage.unit == "bytes" else f"{number(f'{rate:.0f}')} {stage.unit}/s"
    return speed if left is None else f"{speed}, {duration(left)}"


def _note(work: look.Row, stage: _Stage, locker: int | None) -> str:
    counters: Counters = work["counters"] or {}
    phase = str(counters.get("phase"))
    if locker:
        return _("pid {pid} waits for pid {locker} to end").format(pid=work["pid"], locker=locker)
    if work["command"] == "vacuum" and phase.endswith("indexes") and stage.total is None:
        text = _("pid {pid} is {phase}, pass {count}: this server does not say how far it is with them")
        return text.format(pid=work["pid"], phase=phase, count=counters.get("index_vacuum_count", 0) + 1)
    if work["command"] == "copy" and stage.total is None and stage.done is not None:
        text = _("pid {pid} has copied {rows} rows, {size}: of how many is not known")
        return text.format(pid=work["pid"], rows=counters.get("tuples_processed"), size=size(stage.done))
    if "to prevent wraparound" in (work["query"] or ""):
        return _("pid {pid} prevents wraparound: let it run").format(pid=work["pid"])
    return ""


def _answer(rows: list[look.Row]) -> str:
    if not rows:
        return _("Nothing is vacuumed, analyzed, indexed, rewritten, copied or backed up")
    text = ngettext("{count} long work runs", "{count} long works run", len(rows)).format(count=len(rows))
    oldest = rows[0]
    return _("{text}; the longest is the {name} of {relation}, pid {pid}, since {seconds}").format(
        text=text,
        name=oldest["name"],
        relation=oldest["relation"] or oldest["database"] or _("the whole server"),
        pid=oldest["pid"],
        seconds=oldest["for"],
    )
