"""Indexes that are of no use, and those that are missing, each with what speaks against doing something about it.

An index is unused when two looks of ours, a month apart, saw no scan of it, and no counter was lost between them: a
crash zeroes them all, and leaves nothing that says so but the reset of the server's own statistics.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.i18n import N_, _, joined, ngettext, number
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look
from samaops.workflows.database.forecast import DAY
from samaops.workflows.database.kept import Earlier, Memory, numbers

UNUSED_SECONDS = 30 * DAY
_KEPT_EVERY_SECONDS = DAY
# One a day: a month of looks, and those between.
_LOOKS = 40
_LARGE_BYTES = 8 * 1024 * 1024
_LEAST_SCANS = 10
_COMMANDS = 5
CLASSES = {
    "invalid": N_("invalid"),
    "duplicate": N_("duplicate"),
    "covered": N_("covered"),
    "unused": N_("unused"),
    "foreign key": N_("missing"),
    "sequential": N_("read whole"),
}
# What an index is beside a way to rows; each is a reason to leave it.
_KEEPS = {
    "primary key": N_("it is the primary key"),
    "unique": N_("it enforces uniqueness"),
    "exclusion": N_("it enforces an exclusion"),
    "constraint": N_("a constraint is made of it"),
    "foreign key of another table": N_("a foreign key of another table refers to it"),
    "replica identity": N_("it identifies rows for replication"),
    "part of a partitioned index": N_("it is part of a partitioned index"),
    "extension": N_("it belongs to an extension"),
    "foreign key": N_("a foreign key of its table needs it"),
    "expression": N_("the planner has statistics of its expression"),
    "clustered": N_("CLUSTER sorts the table by it"),
}
# REINDEX CONCURRENTLY names so what it builds, and what it replaced.
_LEFTOVER = re.compile(r"_cc(new|old)\d*$")


class Seen(Struct, frozen=True):
    """What was seen of the indexes' use: now, and by the looks before."""

    rows: Sequence[look.Row]
    since: look.Row
    earlier: Sequence[Earlier]

    def unused_seconds(self, index: look.Row) -> float:
        """Return for how long looks of ours saw no scan of an index, and no counter lost; 0 before the second look."""
        key, now = str(index["oid"]), index["scans"]
        longest = 0.0
        for each in usable(self.earlier, self.since):
            scans = numbers(each.details, "scans").get(key)
            if scans != now:  # it was used, or the counter began anew
                break
            longest = each.seconds
        return longest


def usable(earlier: Sequence[Earlier], since: look.Row) -> Iterator[Earlier]:
    """Yield the looks before, newest first, as far back as the counters are the same ones as now."""
    for each in earlier:
        if any(each.details.get(name) != since[name] for name in ("database_reset", "server_reset")):
            return
        yield each


def indexes(site: Site, limit: int) -> Table:
    """Return what to do about indexes, the safest first; what enforces or identifies is never to be dropped."""
    with look.connected(site) as client:
        redundant = client.read("indexes_redundant")
        scans = client.read("indexes_scans")
        lacking = client.read("indexes_missing", {"least_bytes": _LARGE_BYTES, "least_scans": _LEAST_SCANS})
        since = client.read_one("statistics_since")
        server = client.read_one("server")
    memory = Memory(site, "db indexes", _KEPT_EVERY_SECONDS)
    seen = Seen(scans, since, memory.last(_LOOKS))
    memory.keep(tuple(seen.earlier), _kept(seen))
    rows = [
        *(_redundant(site, row) for row in redundant),
        *sorted(_unused(site, seen, redundant), key=lambda row: (row["next"] is None, -row["size_bytes"])),
        *(_missing(site, row, since) for row in lacking),
    ]
    order = list(CLASSES)
    rows.sort(key=lambda row: (row["class"] == "unused" and row["next"] is None, order.index(row["class"])))
    failed = [*memory.notes, *([] if server["is_monitor"] else [look.missing_monitor(server["role"])])]
    notes = [*failed, *_notes(rows[:limit], seen), *lists.shown_of(len(rows), limit)]
    commands = [row["next"] for row in rows[:limit] if row["next"]]
    table = lists.table(site, "indexes", _columns(), rows[:limit], _answer(rows), notes, is_whole=not failed)
    return replace(table, commands=tuple(dict.fromkeys(commands))[:_COMMANDS])


def _columns() -> tuple[Column, ...]:
    return (
        Column("what", _("what")),
        Column("size", _("size"), True),
        Column("scans", _("scans"), True),
        Column("name", _("index or table")),
        Column("why", _("why, and why not")),
    )


def _kept(seen: Seen) -> Mapping[str, Any]:
    return {
        "database_reset": seen.since["database_reset"],
        "server_reset": seen.since["server_reset"],
        "scans": {str(row["oid"]): row["scans"] for row in seen.rows},
    }


def _line(row: look.Row, why: str, against: Sequence[str], command: str | None) -> look.Row:
    bytes_now, name = row["size_bytes"], CLASSES[row["class"]]
    return {
        "class": row["class"],
        "what": _(name),
        "name": row["name"],
        "table": row["table"],
        "size": size(bytes_now),
        "size_bytes": bytes_now,
        "scans": row["scans"],
        "why": joined([why, *against]),
        "reason": why,
        "against": list(against),
        "definition": row.get("definition"),
        "next": command,
    }


def _redundant(site: Site, row: look.Row) -> look.Row:
    against = [_(_KEEPS[each]) for each in row["keeps"]]
    drop = typed(site, f"db index drop {operands(row['name'])}")
    better = row["better"]
    if row["class"] == "invalid":
        if row["is_partitioned"]:
            why = _("one of its partitions has no valid index that belongs to it")
            return {**_line(row, why, against, None), "covered_by": None}
        is_leftover = bool(_LEFTOVER.search(row["name"]))
        why = (
            _("what an interrupted REINDEX CONCURRENTLY left behind")
            if is_leftover
            else _("its build failed")
        )
        again = typed(site, f"db reindex {operands(row['name'])}")
        is_only_unique = set(row["keeps"]) <= {"unique"}
        command = drop if is_leftover and is_only_unique else again
        return {**_line(row, why, [] if is_only_unique else against, command), "covered_by": None}
    why = _("the same as {other}") if row["class"] == "duplicate" else _("{other} begins with its columns")
    if row["class"] == "covered" and row["better_bytes"] > 4 * max(row["size_bytes"], 1):
        against = [_("{other} is {times:.0f} times as large").format(
            other=better, times=row["better_bytes"] / max(row["size_bytes"], 1)
        )]  # fmt: skip
    line = _line(row, why.format(other=better), against, None if row["keeps"] else drop)
    return {**line, "covered_by": better}


def _unused(site: Site, seen: Seen, redundant: Sequence[look.Row]) -> Iterator[look.Row]:
    """Yield the indexes without a scan: proposed only when they were watched for long enough."""
    useless = {row["name"] for row in redundant}
    better = {row["better"]: row["name"] for row in redundant}
    for row in seen.rows:
        watched = seen.unused_seconds(row)
        is_proven = watched >= UNUSED_SECONDS
        if row["name"] in useless or (row["scans"] and not is_proven):
            continue
        against = [_(_KEEPS[each]) for each in row["keeps"]]
        if row["name"] in better:
            against.append(_("it serves in place of {other}").format(other=better[row["name"]]))
        if not is_proven:
            text = (
                _("seen for {age}, it takes 30 d") if watched else _("seen for the first time, it takes 30 d")
            )
            against.insert(0, text.format(age=duration(watched)))
        command = None if against else typed(site, f"db index drop {operands(row['name'])}")
        if seen.since["standbys"]:
            against.append(_("what standbys use is not counted here"))
        why = _("no scan for {age}").format(age=duration(watched)) if is_proven else _("no scan was counted")
        yield {**_line({**row, "class": "unused"}, why, against, command), "watched_seconds": round(watched)}


def _missing(site: Site, row: look.Row, since: look.Row) -> look.Row:
    if row["class"] == "foreign key":
        columns = ", ".join(row["columns"])
        why = _("the foreign key to {other} has no index on ({columns})").format(
            other=row["other"], columns=columns
        )
        against = (
            [] if row["changes"] else [_("no row of {other} was changed so far").format(other=row["other"])]
        )
        words = operands(row["table"], *row["columns"])
        line = _line(row, why, against, typed(site, f"db index create {words}"))
        return {**line, "name": row["table"], "constraint": row["name"], "columns": row["columns"]}
    why = _("read whole {count} times in {age}, {rows} rows each").format(
        count=number(str(row["scans"])),
        age=duration(since["counted_seconds"] or 0.0),
        rows=number(str(round(row["rows_read"] / row["scans"]))),
    )
    line = _line(row, why, [], None)
    return {**line, "rows_read": row["rows_read"], "index_scans": row["index_scans"]}


def _answer(rows: Sequence[look.Row]) -> str:
    if not rows:
        return _("No index is useless, and none is missing")
    counts = Counter(row["class"] for row in rows if row["class"] != "unused" or row["next"])
    unproven = sum(row["class"] == "unused" and row["next"] is None for row in rows)
    words = {each: _(name) for each, name in CLASSES.items() if counts[each]}
    parts = [f"{counts[each]} {name}" for each, name in words.items()]
    if unproven:
        parts.append(
            ngettext(
                "{count} without a scan so far, which proves nothing yet",
                "{count} without a scan so far, which proves nothing yet",
                unproven,
            ).format(count=unproven)
        )
    freed = sum(row["size_bytes"] for row in rows if "db index drop" in (row["next"] or ""))
    text = ", ".join(parts)
    return _("{text}; {size} can be freed").format(text=text, size=size(freed)) if freed else text


def _notes(shown: Sequence[look.Row], seen: Seen) -> Iterator[str]:
    if any(row["class"] == "sequential" for row in shown):
        yield _("db slow and db explain tell which statements read a table whole")
    lost = next((each for each in seen.earlier if each not in usable(seen.earlier, seen.since)), None)
    if any(row["class"] == "unused" for row in shown) and lost is not None:
        text = _("the counters began anew {age} ago: a crash or a reset; what was seen before proves nothing")
        yield text.format(age=duration(seen.since["counted_seconds"] or 0.0))
