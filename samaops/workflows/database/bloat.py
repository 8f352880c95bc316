"""How much room tables and indexes waste: an estimate, and said to be one; exact where pgstattuple may read them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.i18n import _, joined, number
from samaops.model.failure import FailureKind
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.model.typed import ready
from samaops.site.commands import as_superuser, typed
from samaops.site.shell_words import operands
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look
from samaops.workflows.database.forecast import DAY
from samaops.workflows.database.kept import Memory, numbers
from samaops.workflows.database.width import ColumnWidth, btree_pages, is_known, table_pages

EXTENSION = "pgstattuple"
# Less is not worth a look: a page more or less is a large part of it.
_LEAST_BYTES = 128 * 1024
_KEPT_EVERY_SECONDS = DAY
# Since ANALYZE: more changed rows, or more pages, than this share, and its figures are old.
_STALE_SHARE = 0.2
_LEAST_BASELINE_ROWS = 1000
# Worth a command: so much of it, and so many bytes.
_NOTABLE_PERCENT, _NOTABLE_BYTES = 30.0, 1024 * 1024
_COMMANDS = 5
_EXACT_SECONDS = 120.0
MEGABYTE = 1024 * 1024


class Estimate(Struct, frozen=True):
    """What a relation would take without waste, None where that is not known; and what to know about it."""

    expected_bytes: float | None
    reason: str = ""
    remarks: tuple[str, ...] = ()


def bloat(site: Site, limit: int) -> Table:
    """Return the tables and indexes that waste the most room, by estimate; those of which nothing is known last."""
    with look.connected(site) as client:
        tables = client.read("bloat_tables", {"least_bytes": _LEAST_BYTES})
        indexes = client.read("bloat_indexes", {"least_bytes": _LEAST_BYTES})
        role = client.read_one("server")["role"]
    memory = Memory(site, "db bloat", _KEPT_EVERY_SECONDS)
    earlier = memory.last(1)
    best = numbers(earlier[0].details, "best") if earlier else {}
    memory.keep(earlier, {"best": best_of(best, indexes)})
    rows = [
        *(_row("table", row, estimate_of_table(row)) for row in tables),
        *(_row("index", row, estimate_of_index(row, best.get(row["key"]))) for row in indexes),
    ]
    rows.sort(key=lambda row: (row["bloat_bytes"] is None, -(row["bloat_bytes"] or 0), -row["size_bytes"]))
    unread = {row["name"] for row in (*tables, *indexes) if not row["may_read"]}
    hidden = [row["name"] for row in rows if not row["is_known"] and row["name"] in unread]
    failed = [*memory.notes]
    if hidden:
        text = _(
            "unknown, not free of bloat: {names} cannot be read by {role}; it needs the rights of the owner (sql/postgresql/role.sql)"
        )
        names = ", ".join(hidden[:3]) + (" …" if len(hidden) > 3 else "")
        failed.append(text.format(names=names, role=role))
    notes = [*failed, *_notes(rows[:limit]), *lists.shown_of(len(rows), limit)]
    table = lists.table(site, "bloat", _columns(), rows[:limit], _answer(rows), notes, is_whole=not failed)
    known = [row for row in rows if row["is_known"]]
    figures = {
        "bloat_bytes": sum(row["bloat_bytes"] for row in known),
        "known_bytes": sum(row["size_bytes"] for row in known),
        "unknown": len(rows) - len(known),
    }
    return replace(table, commands=tuple(_commands(site, rows[:limit])), figures=figures)


def _columns() -> tuple[Column, ...]:
    return (
        Column("kind", _("what")),
        Column("name", _("name")),
        Column("size", _("size"), True),
        Column("bloat", _("wasted"), True),
        Column("percent", _("of it"), True),
        Column("remark", _("remarks")),
    )


def best_of(kept: Mapping[str, float], indexes: Sequence[look.Row]) -> dict[str, float]:
    """Return for each index the fewest bytes for an entry that were ever seen: its size when it was new."""
    return {
        row["key"]: round(min(per_row, kept.get(row["key"], per_row)), 3)
        for row in indexes
        if row["rows"] >= _LEAST_BASELINE_ROWS
        for per_row in (row["pages"] * row["block_size"] / row["rows"],)
    }


def estimate_of_table(row: look.Row) -> Estimate:
    """Return what a table would take without waste, by the widths of its columns."""
    columns = _widths(row)
    if not row["may_read"]:
        return Estimate(None, _("unknown: we may not read it, so its statistics are hidden"))
    if row["rows"] < 0 or not is_known(columns):
        return Estimate(None, _("unknown: it, or a column of it, was never analyzed"))
    remarks = _stale(row)
    toast = row["toast_bytes"] or 0
    if toast > row["size_bytes"]:
        remarks = (*remarks, _("its TOAST of {size} is not in this").format(size=size(toast)))
    pages = table_pages(columns, row["rows"], row["fill_percent"], row["block_size"])
    return Estimate(_scaled(row, pages), remarks=remarks)


def estimate_of_index(row: look.Row, best: float | None) -> Estimate:
    """Return what an index would take without waste: by its columns, or by the fewest bytes an entry ever had."""
    if row["rows"] < 0:
        return Estimate(None, _("unknown: it was never analyzed"))
    columns, by_columns = _widths(row), None
    if row["may_read"] and is_known(columns):
        pages = btree_pages(columns, row["rows"], row["fill_percent"], row["block_size"])
        by_columns = _scaled(row, pages)
    if best is None:
        reason = _("unknown: nothing to compare it with before the next look")
        if not row["may_read"]:
            reason = _("unknown: we may not read its table, so its statistics are hidden")
        return Estimate(by_columns, reason if by_columns is None else "", _stale(row))
    by_best = _scaled(row, best * row["rows"] / row["block_size"])
    if by_columns is None:
        return Estimate(by_best, remarks=(*_stale(row), _("against the least that was seen of it")))
    return Estimate(min(by_columns, by_best), remarks=_stale(row))


def _widths(row: look.Row) -> list[ColumnWidth]:
    return msgspec.convert(row["columns"] or [], ready(list[ColumnWidth]), strict=False)


def _scaled(row: look.Row, pages: float) -> float:
    """Return bytes: the pages and rows that were noted belong together, what came since is taken to be alike."""
    noted = row["pages"] or 1
    return float(min(1.0, pages / noted) * row["size_bytes"])


def _stale(row: look.Row) -> tuple[str, ...]:
    noted = row["pages"] * row["block_size"]
    is_old = row["modified_rows"] > _STALE_SHARE * max(row["rows"], 1)
    if is_old or abs(row["size_bytes"] - noted) > _STALE_SHARE * row["size_bytes"]:
        return (_("the statistics are old: analyze it first"),)
    return ()


def _row(kind: str, row: look.Row, estimate: Estimate) -> look.Row:
    expected, bytes_now = estimate.expected_bytes, row["size_bytes"]
    wasted = None if expected is None else round(max(0.0, bytes_now - expected))
    percent = None if wasted is None else round(100 * wasted / bytes_now, 1) if bytes_now else 0.0
    remarks = [*([estimate.reason] if wasted is None else []), *estimate.remarks]
    return {
        "kind": kind,
        "name": row["name"],
        "table": row.get("table", row["name"]),
        "size": size(bytes_now),
        "size_bytes": bytes_now,
        "bloat": _("unknown") if wasted is None else f"~{size(wasted)}",
        "bloat_bytes": wasted,
        "percent": None if percent is None else number(f"{percent:.0f}") + " %",
        "bloat_percent": percent,
        "is_estimate": True,
        "is_known": wasted is not None,
        "is_unanalyzed": kind == "table" and row["may_read"] and wasted is None,
        "dead_rows": row.get("dead_rows"),
        "toast_bytes": row.get("toast_bytes"),
        "remark": joined(remarks) if remarks else None,
    }


def _answer(rows: Sequence[look.Row]) -> str:
    if not rows:
        return _("No table or index is large enough to waste room")
    known = [row for row in rows if row["is_known"]]
    text = _("An estimate: about {wasted} of {size} wasted").format(
        wasted=size(sum(row["bloat_bytes"] for row in known)),
        size=size(sum(row["size_bytes"] for row in known)),
    )
    unknown = len(rows) - len(known)
    if unknown:
        text = _("{text}; unknown for {count} of {all}").format(text=text, count=unknown, all=len(rows))
    return text


def _notes(shown: Sequence[look.Row]) -> Iterator[str]:
    notable = [row for row in shown if _is_notable(row)]
    if notable:
        yield _("make sure first with --exact NAME, where pgstattuple is installed")
    if any(row["kind"] == "table" for row in notable):
        yield _(
            "a vacuum makes the room usable again for the same table; it seldom gives it back to the disk"
        )


def _commands(site: Site, shown: Sequence[look.Row]) -> Iterator[str]:
    notable = [row for row in shown if _is_notable(row)]
    if notable:
        yield typed(site, f"db bloat --exact {operands(notable[0]['name'])}")
    yield from (_repair(site, row) for row in notable[:_COMMANDS])
    never = [row["name"] for row in shown if row["is_unanalyzed"]]
    if never:
        yield typed(site, f"db analyze {operands(*never[:_COMMANDS])}")


def _is_notable(row: look.Row) -> bool:
    return (row["bloat_percent"] or 0) >= _NOTABLE_PERCENT and (row["bloat_bytes"] or 0) >= _NOTABLE_BYTES


def _repair(site: Site, row: look.Row) -> str:
    verb = "reindex" if row["kind"] == "index" else "vacuum"
    return typed(site, f"db {verb} {operands(row['name'])}")


def exact(site: Site, name: str, most_megabytes: float) -> Table:
    """Read one table or b-tree index and return what it wastes. Raises RefusedError where it is too large for that."""
    with look.connected(site, _EXACT_SECONDS + look.LOOK_SECONDS) as client:
        extension = client.read_one("statistics_extension", {"name": EXTENSION})
        if extension["schema"] is None:
            return _missing(site, extension)
        subject = _subject(client, name, most_megabytes)
        client.read("limit_seconds", {"milliseconds": str(round(_EXACT_SECONDS * 1000))})
        started = time.monotonic()
        try:
            rows = list(_exact_rows(client, extension["schema"], subject))
        except ClientError as error:
            if error.kind is not FailureKind.PERMISSION:
                raise
            note = _("{reason}; it needs the role pg_stat_scan_tables, which is in pg_monitor")
            answer = _("{name} was not measured").format(name=name)
            notes = [note.format(reason=error.message)]
            return lists.table(site, "bloat", _columns(), (), answer, notes, is_whole=False)
        seconds = time.monotonic() - started
    first = rows[0]
    answer = _("{name} wastes {bloat} of {size}, measured: {percent}").format(**first)
    cost = sum(row["read_bytes"] for row in rows)
    notes = [_("this read {size} in {time}").format(size=size(cost), time=duration(seconds))]
    table = lists.table(site, "bloat", _columns(), rows, answer, notes)
    return replace(
        table, commands=(_repair(site, first),) if first["bloat_percent"] >= _NOTABLE_PERCENT else ()
    )


def _subject(client: PostgresClient, name: str, most_megabytes: float) -> look.Row:
    rows = client.read("bloat_subject", {"name": name})
    if not rows:
        raise UsageError(_("there is no table or index {name}").format(name=name), "samaops db bloat")
    subject = rows[0]
    if not subject["kind"]:
        raise UsageError(_("{name} is no table and no b-tree index").format(name=name), "samaops db bloat")
    if subject["size_bytes"] is None:
        text = _("{name} is held exclusively now; reading it would wait")
        raise UnavailableError(text.format(name=name), "samaops db locks")
    if subject["size_bytes"] > most_megabytes * MEGABYTE:
        text = _("{name} has {size}: all of it may have to be read; --at-most {megabytes} allows it")
        needed = -(-subject["size_bytes"] // MEGABYTE)
        raise RefusedError(
            text.format(name=name, size=size(subject["size_bytes"]), megabytes=needed),
            f"samaops db bloat --exact {operands(name)} --at-most {needed}",
        )
    return subject


def _exact_rows(client: PostgresClient, schema: str, subject: look.Row) -> Iterator[look.Row]:
    if subject["kind"] == "index":
        (read,) = client.read(
            "bloat_exact_index", {"oid": subject["oid"]}, {"function": f"{schema}.pgstatindex"}
        )
        full = (read["leaf_percent"] or 0.0) / subject["fill_percent"]
        block = subject["block_size"]
        wasted = read["leaf_pages"] * block * max(0.0, 1 - full) + read["empty_pages"] * block
        yield _exact_row(subject["kind"], subject["name"], read, round(wasted), read["size_bytes"])
        return
    parts = [("table", subject["name"], subject["oid"])]
    if subject["toast"]:
        parts.append(("toast", subject["name"], subject["toast"]))
    for kind, name, oid in parts:
        (read,) = client.read("bloat_exact_table", {"oid": oid}, {"function": f"{schema}.pgstattuple_approx"})
        cost = round(read["size_bytes"] * (read["scanned_percent"] or 0.0) / 100)
        yield _exact_row(kind, name, read, round(read["bloat_bytes"]), cost)


def _exact_row(kind: str, name: str, read: Mapping[str, Any], wasted: int, cost: int) -> look.Row:
    bytes_now = read["size_bytes"]
    percent = round(100 * wasted / bytes_now, 1) if bytes_now else 0.0
    return {
        "kind": kind,
        "name": name,
        "size": size(bytes_now),
        "size_bytes": bytes_now,
        "bloat": size(wasted),
        "bloat_bytes": wasted,
        "percent": number(f"{percent:.0f}") + " %",
        "bloat_percent": percent,
        "is_estimate": False,
        "is_known": True,
        "dead_rows": read.get("dead_rows"),
        "leaf_percent": read.get("leaf_percent"),
        "read_bytes": cost,
        "remark": None,
    }


def _missing(site: Site, extension: look.Row) -> Table:
    answer = _("Nothing was measured: pgstattuple is not in the database {database}")
    note = _("a superuser puts it into this database")
    commands: tuple[str, ...] = (as_superuser(site, f"CREATE EXTENSION {EXTENSION}", extension["database"]),)
    if not extension["is_available"]:
        text = _("the server has no {extension}: its package postgresql-contrib is missing")
        note, commands = text.format(extension=EXTENSION), ()
    table = lists.table(
        site, "bloat", _columns(), (), answer.format(database=extension["database"]), [note], is_whole=False
    )
    return replace(table, commands=commands)
