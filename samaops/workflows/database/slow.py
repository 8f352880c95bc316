"""Which statements the server's time goes to: what pg_stat_statements counted between two moments."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients.postgresql import PostgresClient
from samaops.i18n import _, ngettext, number
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.commands import as_superuser, typed
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

EXTENSION = "pg_stat_statements"
# What has a plan, by its first word.
PLANNED = ("select", "insert", "update", "delete", "values", "with")
# What names itself begins with a comment, of which a text that is shown has the end only.
_COMMENTS = re.compile(r"\A(?:\s+|-- …(?=\s)|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_TEXT_CHARACTERS = 2000
# On a screen a statement has a third of the line.
_SCREEN_CHARACTERS = 100
_TICK_SECONDS = 0.1
_COMMANDS = 2
_LEAST_SHARE = 1.0  # percent: what takes less is not why anything is slow
Key = tuple[int, int, int, bool]  # user, database, statement, not called by another
_COUNTERS = ("calls", "total_ms", "rows", "blocks_hit", "blocks_read", "temp_blocks")


class Wanted(Struct, frozen=True):
    """How long is looked; ``since_reset``: not at all, but at what was counted so far. ``limit`` counts rows.

    ``ends_early``: Ctrl-C ends the wait with what there is.
    """

    over_seconds: float = 30.0
    since_reset: bool = False
    limit: int = 20
    ends_early: bool = True


class Info(Struct, frozen=True):
    """Of pg_stat_statements itself."""

    evictions: int
    reset_at: str
    counted_seconds: float
    entries_at_most: int
    block_size: int
    now: str


class Counted(Struct, frozen=True):
    """What was counted at a moment. ``hidden`` is that of statements which we may not see."""

    info: Info
    statements: Mapping[Key, Mapping[str, float]]
    hidden: Mapping[str, float]


class Waiting:
    """The wait between two looks: how long it still takes, for whoever watches."""

    def __init__(self) -> None:
        self._ends_at = 0.0

    def latest(self) -> str:
        """Return how far the wait has come, "" while there is none."""
        left = self._ends_at - time.monotonic()
        text = _("Counting statements; {seconds:.0f} s more (Ctrl-C ends it with what there is)")
        return text.format(seconds=left) if left > 0 else ""

    def wait(self, seconds: float, *, ends_early: bool) -> bool:
        """Wait; return whether to the end."""
        self._ends_at = time.monotonic() + seconds
        try:
            while (left := self._ends_at - time.monotonic()) > 0:
                time.sleep(min(_TICK_SECONDS, left))
        except KeyboardInterrupt:
            if not ends_early:
                raise
            return False
        finally:
            self._ends_at = 0.0
        return True


def slow(site: Site, wanted: Wanted, waiting: Waiting) -> Table:
    """Return the statements that took the most time, by their share of the time of all."""
    with look.connected(site, wanted.over_seconds + look.LOOK_SECONDS) as client:
        extension = client.read_one("statistics_extension", {"name": EXTENSION})
        if extension["schema"] is None or not extension["is_preloaded"]:
            return missing(site, extension, "slow", _columns())
        names = {
            "function": f"{extension['schema']}.{EXTENSION}",
            "view": f"{extension['schema']}.{EXTENSION}_info",
        }
        before, seconds, is_early = None, 0.0, False
        if not wanted.since_reset:
            before, started = _counted(client, names), time.monotonic()
            is_early = not waiting.wait(wanted.over_seconds, ends_early=wanted.ends_early)
            seconds = time.monotonic() - started
        after = _counted(client, names)
        used = between(before, after)
        chosen = sorted(used.items(), key=lambda item: -item[1]["total_ms"])[: wanted.limit]
        ids = [key[2] for key, _each in chosen]
        texts = client.read(
            "statements_text", {"ids": ids, "characters": _TEXT_CHARACTERS}, {"function": names["function"]}
        )
        role = client.read_one("server")["role"]
    hidden = minus(after.hidden, before.hidden if before else {})
    total_ms = sum(each["total_ms"] for key, each in used.items() if key[3]) + hidden.get("total_ms", 0.0)
    rows = list(_rows(chosen, total_ms, texts, after.info.block_size))
    failed = [look.missing_monitor(role)] if hidden.get("calls") else []
    notes = [*failed, *warnings(before, after), *_remarks(rows, extension, is_early=is_early)]
    notes += lists.shown_of(len(used), wanted.limit)
    span = seconds if before else after.info.counted_seconds
    answer = _answer(rows, total_ms, span, is_since_reset=before is None)
    table = lists.table(site, "slow", _columns(), rows, answer, notes, is_whole=not failed)
    figures = {"seconds": round(span, 3), "total_ms": round(total_ms, 3), "statements": len(used)}
    return replace(table, commands=_commands(site, rows, extension["database"]), figures=figures)


def _columns() -> tuple[Column, ...]:
    return (
        Column("share", _("share"), True),
        Column("calls", _("calls"), True),
        Column("mean", _("mean"), True),
        Column("rows", _("rows"), True),
        Column("hits", _("hits"), True),
        Column("temp", _("temp"), True),
        Column("statement", _("statement")),
    )


def _counted(client: PostgresClient, names: Mapping[str, str]) -> Counted:
    (info,) = client.read("statements_info", names={"view": names["view"]})
    statements: dict[Key, Mapping[str, float]] = {}
    hidden = dict.fromkeys(_COUNTERS, 0.0)
    for row in client.read("statements_counted", names={"function": names["function"]}):
        counters = {name: row[name] for name in _COUNTERS}
        if row["query_id"] is None:
            hidden = {name: hidden[name] + counters[name] for name in _COUNTERS}
        else:
            statements[row["user_id"], row["database_id"], row["query_id"], row["is_top"]] = counters
    return Counted(Info(**info), statements, hidden)


def between(before: Counted | None, after: Counted) -> dict[Key, Mapping[str, float]]:
    """Return what each statement used between two moments, those that ended not once left out.

    After a reset, or where an entry was thrown out and came again, its counters say what was since then.
    """
    was = before.statements if before and before.info.reset_at == after.info.reset_at else {}
    used = {key: minus(counters, was.get(key, {})) for key, counters in after.statements.items()}
    return {key: counters for key, counters in used.items() if counters["calls"] > 0}


def minus(after: Mapping[str, float], before: Mapping[str, float]) -> Mapping[str, float]:
    """Return the difference of counters; what became less began anew."""
    if before and after["calls"] >= before["calls"] and after["total_ms"] >= before["total_ms"]:
        return {name: max(0, after[name] - before[name]) for name in _COUNTERS}
    return after


def _rows(
    chosen: Sequence[tuple[Key, Mapping[str, float]]], total_ms: float, texts: Sequence[look.Row], block: int
) -> Iterator[look.Row]:
    by_key = {(row["user_id"], row["database_id"], row["query_id"]): row for row in texts}
    for key, used in chosen:
        text: Mapping[str, Any] = by_key.get(key[:3], {})
        query = look.statement(text.get("query")) if text.get("query") else None
        blocks = used["blocks_hit"] + used["blocks_read"]
        mean_ms = used["total_ms"] / used["calls"]
        share = 100 * used["total_ms"] / total_ms if total_ms else 0.0
        temp_bytes = int(used["temp_blocks"] * block)
        hits = 100 * used["blocks_hit"] / blocks if blocks else None
        # A number of 64 bits: many programs that read JSON round it.
        queryid = str(key[2])
        words = query or _("(its text is gone)")
        yield {
            "queryid": queryid,
            "share": number(f"{share:.1f}") + " %",
            "share_percent": round(share, 2),
            "calls": int(used["calls"]),
            "total_ms": round(used["total_ms"], 3),
            "mean": milliseconds(mean_ms),
            "mean_ms": round(mean_ms, 3),
            "rows": int(used["rows"]),
            "hits": None if hits is None else f"{hits:.0f} %",
            "hit_percent": None if hits is None else round(hits, 2),
            "temp": size(temp_bytes) if temp_bytes else None,
            "temp_bytes": temp_bytes,
            "is_nested": not key[3],
            "user": text.get("user"),
            "database": text.get("database"),
            "query": query,
            "statement": f"{queryid} {_short(words)}",
        }


def _short(text: str) -> str:
    return text if len(text) <= _SCREEN_CHARACTERS else text[: _SCREEN_CHARACTERS - 1] + "…"


def milliseconds(count: float) -> str:
    """Return a time in milliseconds as people read it: fractions where it is short, seconds where it is long."""
    if count >= 1000:
        return duration(count / 1000)
    return number(f"{count:.0f}" if count >= 100 else f"{count:.3g}") + " ms"


def _answer(rows: Sequence[look.Row], total_ms: float, seconds: float, *, is_since_reset: bool) -> str:
    if is_since_reset:
        span = _("since {age} ago, when they were last reset").format(age=duration(seconds))
    else:
        span = _("in {age}").format(age=duration(seconds))
    if not rows:
        return _("No statement ended {span}").format(span=span)
    text = _("{busy} of work {span}; {share} of it in one statement: {calls} × {mean}")
    first = rows[0]
    return text.format(
        busy=milliseconds(total_ms), span=span, share=first["share"], calls=first["calls"], mean=first["mean"]
    )


def warnings(before: Counted | None, after: Counted) -> Iterator[str]:
    """Yield why the figures may be too low: a reset, or entries that were thrown out for want of room."""
    if before and before.info.reset_at != after.info.reset_at:
        yield _("warning: the statistics were reset while we looked; only what came after is counted")
        return
    evictions = after.info.evictions - (before.info.evictions if before else 0)
    if evictions > 0:
        yield ngettext(
            "warning: pg_stat_statements threw out entries {count} time: some statements are missing here, shares are too high; raise pg_stat_statements.max ({limit})",
            "warning: pg_stat_statements threw out entries {count} times: some statements are missing here, shares are too high; raise pg_stat_statements.max ({limit})",
            evictions,
        ).format(count=evictions, limit=after.info.entries_at_most)


def _remarks(rows: Sequence[look.Row], extension: look.Row, *, is_early: bool) -> Iterator[str]:
    if is_early:
        yield _("ended early by Ctrl-C")
    if extension["track"] == "none":
        yield _("nothing is counted now: pg_stat_statements.track is none")
    if any(row["is_nested"] for row in rows):
        yield _("statements inside of functions are also in the time of those that call them")
    yield _("a statement that still runs is counted when it ends")


def _commands(site: Site, rows: Sequence[look.Row], database: str) -> tuple[str, ...]:
    """Return what shows the plans of the first, where they can have one here and are worth a look."""
    worth = [row for place, row in enumerate(rows) if not place or row["share_percent"] >= _LEAST_SHARE]
    planned = [row for row in worth if row["database"] == database and _has_plan(row["query"] or "")]
    return tuple(typed(site, f"db explain {row['queryid']}") for row in planned[:_COMMANDS])


def _has_plan(query: str) -> bool:
    return _COMMENTS.sub("", query).lower().startswith(PLANNED)


def missing(site: Site, extension: look.Row, kind: str, columns: Sequence[Column]) -> Table:
    """Return the list of a look for which pg_stat_statements is missing: empty, with what would let it be known."""
    words = {"extension": EXTENSION, "database": extension["database"]}
    answer = _("Statements are not known: {extension} is not in the database {database}")
    notes = []
    if extension["schema"] is not None:
        answer = _("Statements are not known: the server did not load {extension} at its start")
    if not extension["is_available"]:
        text = _("the server has no {extension}: its package postgresql-contrib is missing")
        notes.append(text.format(**words))
    if not extension["is_preloaded"]:
        text = _(
            "it must be in shared_preload_libraries, which is read when the server starts: it needs a restart"
        )
        notes.append(text)
    commands = []
    if extension["schema"] is None:
        notes.append(_("a superuser puts it into this database"))
        commands.append(as_superuser(site, f"CREATE EXTENSION {EXTENSION}", extension["database"]))
    table = lists.table(site, kind, columns, (), answer.format(**words), notes, is_whole=False)
    return replace(table, commands=tuple(commands))


def texts_of(client: PostgresClient, extension: look.Row, queryid: int) -> list[look.Row]:
    """Return the whole texts that pg_stat_statements has of one statement, by user and database. Raises ClientError."""
    names = {"function": f"{extension['schema']}.{EXTENSION}"}
    return client.read("statements_text", {"ids": [queryid], "characters": 1_000_000}, names)
