"""What weekly maintenance reads of PostgreSQL: sizes, the statements' time, the use of indexes; on one connection each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.collect import statements as texts
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.config.settings import PostgreSQL
from samaops.facts.maintenance_week import (
    Counted,
    IndexesFacts,
    IndexFault,
    IndexUse,
    Sizes,
    SizesFacts,
    SlowStatement,
    Statements,
    StatementsFacts,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

Row = dict[str, Any]
# Sizes open many files, statements may be many; nobody waits for a night's work.
LOOK_SECONDS = 30.0
_SPARE_SECONDS = 0.5
_MOST_TABLES = 200
# Of the statements, those that can be compared next time; the others use next to nothing.
_MOST_KEPT = 1000
_SHOWN = 20
_TEXT_CHARACTERS = 2000
EXTENSION = "pg_stat_statements"
# What has a plan: an index or a better statement helps. Others are upkeep, dumps, and settings.
PLANNED = ("select", "insert", "update", "delete", "merge", "values", "with")
_LARGE_BYTES = 8 * 1024 * 1024
_LEAST_SCANS = 10
# Two looks so far apart, with no scan between them, prove that an index is not used.
UNUSED_SECONDS = 30 * 86400.0


def _targets(site: Site) -> Iterator[Target]:
    postgresql = site.settings.postgresql
    if postgresql is not None:
        yield Target(postgresql.server, postgresql, postgresql.server, LOOK_SECONDS + _SPARE_SECONDS)


@contextmanager
def _connected(postgresql: PostgreSQL, site: Site, probe: Probe) -> Iterator[PostgresClient]:
    seconds = min(LOOK_SECONDS, probe.remaining() - _SPARE_SECONDS)
    patient = postgresql.model_copy(update={"timeout": max(postgresql.timeout, seconds / 2)})
    client = PostgresClient(site.host_of(postgresql), patient, seconds)
    probe.stage("connect")
    try:
        client.connect()
        yield client
    finally:
        client.close()


@collects(
    "maintenance", SizesFacts, targets=_targets, feeds=("maintenance.tables",), kind="tables", on_request=True
)
def look_at_sizes(postgresql: PostgreSQL, site: Site, probe: Probe) -> SizesFacts:
    """Measure the database and its largest tables."""
    with _connected(postgresql, site, probe) as client:
        probe.stage("sizes")
        databases = client.read("sizes_databases")
        relations = client.read("sizes_relations")
    ours = next((row["size_bytes"] for row in databases if row["is_ours"]), None)
    tables = {row["name"]: row["size_bytes"] for row in relations if row["kind"] == "table"}
    now = Sizes(time.time(), ours, tables, is_whole=len(tables) < _MOST_TABLES)
    return SizesFacts(postgresql.database, now, probe.past.sizes.get(postgresql.server))


@collects(
    "maintenance",
    StatementsFacts,
    targets=_targets,
    feeds=("maintenance.statements",),
    kind="statements",
    on_request=True,
)
def look_at_statements(postgresql: PostgreSQL, site: Site, probe: Probe) -> StatementsFacts:
    """Read what pg_stat_statements counted, and compare it with an earlier run."""
    with _connected(postgresql, site, probe) as client:
        probe.stage(EXTENSION)
        extension = client.read_one("statistics_extension", {"name": EXTENSION})
        _require(extension)
        function = f"{extension['schema']}.{EXTENSION}"
        (info,) = client.read("statements_info", names={"view": f"{extension['schema']}.{EXTENSION}_info"})
        rows = client.read("statements_counted", names={"function": function})
        seen = [row for row in rows if row["query_id"] is not None]
        now = _counted(seen, info["reset_at"])
        earlier = probe.past.statements.get(postgresql.server)
        is_comparable = earlier is not None and earlier.reset_at == now.reset_at
        used = _used(seen, earlier if is_comparable else None)
        used.sort(key=lambda statement: -statement[1].total_ms)
        slowest = _with_texts(client, function, used)
    return StatementsFacts(
        now=now,
        seconds=now.at - earlier.at if earlier and is_comparable else info["counted_seconds"],
        since=earlier.at if earlier and is_comparable else None,
        slowest=slowest,
        hidden=len(rows) - len(seen),
        evicted=info["evictions"],
    )


def _require(extension: Row) -> None:
    """Raise a MISSING error where statements are not counted, with what is missing."""
    if not extension["is_preloaded"]:
        text = _("{extension} is not in shared_preload_libraries")
    elif extension["schema"] is None:
        text = _("{extension} is not in the database {database}")
    else:
        return
    words = text.format(extension=EXTENSION, database=extension["database"])
    raise ClientError(FailureKind.MISSING, words, EXTENSION)


def _key(row: Row) -> str:
    top = "" if row["is_top"] else "+"
    return f"{row['user_id']}/{row['database_id']}/{row['query_id']}{top}"


def _counted(rows: Sequence[Row], reset_at: str) -> Statements:
    kept = sorted(rows, key=lambda row: -row["total_ms"])[:_MOST_KEPT]
    counted = {_key(row): Counted(row["calls"], round(row["total_ms"], 3)) for row in kept}
    return Statements(time.time(), reset_at, counted, is_whole=len(rows) <= _MOST_KEPT)


def _used(rows: Sequence[Row], earlier: Statements | None) -> list[tuple[Row, Counted]]:
    """Return what each statement that nothing else calls used since then; one that was thrown out meanwhile began anew."""
    used = []
    for row in rows:
        if not row["is_top"]:
            continue
        calls, total_ms = row["calls"], row["total_ms"]
        before = earlier.counted.get(_key(row)) if earlier else None
        if before is not None and calls >= before.calls and total_ms >= before.total_ms:
            calls, total_ms = calls - before.calls, total_ms - before.total_ms
        if calls > 0:
            used.append((row, Counted(calls, total_ms)))
    return used


def _with_texts(
    client: PostgresClient, function: str, used: Sequence[tuple[Row, Counted]]
) -> tuple[SlowStatement, ...]:
    """Return the statements with a plan that used the most time, with their texts but without values."""
    ids = [row["query_id"] for row, _counts in used[: 5 * _SHOWN]]
    found = client.read(
        "statements_text", {"ids": ids, "characters": _TEXT_CHARACTERS}, {"function": function}
    )
    by_key = {(row["user_id"], row["database_id"], row["query_id"]): row for row in found}
    slowest = []
    for row, counts in used[: 5 * _SHOWN]:
        text: Mapping[str, Any] = by_key.get((row["user_id"], row["database_id"], row["query_id"]), {})
        words = " ".join(texts.shown(text.get("query")).split())
        if words.lower().startswith(PLANNED):
            slowest.append(
                SlowStatement(str(row["query_id"]), text.get("user") or "?", words[:500], counts.calls,
                              round(counts.total_ms, 3))
            )  # fmt: skip
    return tuple(slowest[:_SHOWN])


@collects(
    "maintenance",
    IndexesFacts,
    targets=_targets,
    feeds=("maintenance.indexes",),
    kind="indexes",
    on_request=True,
)
def look_at_indexes(postgresql: PostgreSQL, site: Site, probe: Probe) -> IndexesFacts:
    """Read which indexes are of no use, and which are missing."""
    with _connected(postgresql, site, probe) as client:
        probe.stage("indexes")
        redundant = client.read("indexes_redundant")
        scans = client.read("indexes_scans")
        missing = client.read("indexes_missing", {"least_bytes": _LARGE_BYTES, "least_scans": _LEAST_SCANS})
        since = client.read_one("statistics_since")
    counted = {str(row["oid"]): row["scans"] for row in scans}
    now = IndexUse(time.time(), since["database_reset"], since["server_reset"], counted)
    earlier = probe.past.indexes.get(postgresql.server)
    is_unused = _unused(now, earlier)
    useless = {row["name"] for row in redundant}
    without = [row for row in scans if not row["scans"] and row["name"] not in useless and not row["keeps"]]
    proven = [row for row in without if is_unused(str(row["oid"]))]
    # What a standby reads is not counted here.
    proven = [] if since["standbys"] else proven
    return IndexesFacts(
        now=now,
        earlier=earlier,
        useless=(
            *(
                _fault(row["class"], row)
                for row in redundant
                if row["class"] == "invalid" or not row["keeps"]
            ),
            *(_fault("unused", row) for row in proven),
        ),
        missing=tuple(_lacking(row) for row in missing if row["class"] != "foreign key" or row["changes"]),
        unproven=len(without) - len(proven),
    )


def _unused(now: IndexUse, earlier: IndexUse | None) -> Callable[[str], bool]:
    """Return whether an index had no scan for long enough, with no counter lost meanwhile."""
    is_long = (
        earlier is not None
        and now.at - earlier.at >= UNUSED_SECONDS
        and (now.database_reset, now.server_reset) == (earlier.database_reset, earlier.server_reset)
    )
    return lambda oid: is_long and earlier is not None and earlier.scans.get(oid) == now.scans.get(oid)


def _fault(kind: str, row: Row) -> IndexFault:
    return IndexFault(kind, row["name"], row["table"] or "", row["size_bytes"] or 0, row.get("better") or "")


def _lacking(row: Row) -> IndexFault:
    kind = "foreign key" if row["class"] == "foreign key" else "read whole"
    columns = tuple(row["columns"] or ())
    return IndexFault(kind, row["name"], row["table"], row["size_bytes"] or 0, row["other"] or "", columns)
