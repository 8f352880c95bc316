"""How much of what is read is found in shared_buffers, as the difference of two samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from samaops.i18n import N_, _, joined
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

_KINDS = {
    "database": N_("database"),
    "table": N_("table"),
    "index": N_("index"),
    "toast": N_("toast"),
}
_LEAST_PERCENT = 99.0  # the guide's KPI
Sleep = Callable[[float], None]


def cache(site: Site, over: float | None, limit: int, sleep: Sleep = time.sleep) -> Table:
    """Return databases, then relations, what reads most from outside of shared_buffers first.

    Over so many seconds, or where ``over`` is None since the counters began.
    """
    with look.connected(site, look.LOOK_SECONDS + (over or 0.0)) as client:
        conditions = client.read_one("cache_conditions")
        before = client.read("cache") if over else []
        started = time.monotonic()
        if over:
            sleep(over)
        after = client.read("cache")
        seconds = time.monotonic() - started if over else None
    earlier = {(row["of"], row["id"]): row for row in before}
    counted = [_since(row, earlier.get((row["of"], row["id"]), {})) for row in after]
    is_reset = any(row["hit"] < 0 or row["read"] < 0 for row in counted)
    rows = [row for row in counted if row["hit"] + row["read"] > 0 and min(row["hit"], row["read"]) >= 0]
    databases = sorted((row for row in rows if row["of"] == "database"), key=_worst_first)
    relations = sorted((row for row in rows if row["of"] != "database"), key=_worst_first)
    columns = (
        Column("kind", _("of")),
        Column("name", _("name")),
        Column("percent", _("% found"), is_number=True),
        Column("outside", _("read from outside"), is_number=True),
        Column("hit", _("blocks found"), is_number=True),
        Column("read", _("blocks read"), is_number=True),
    )
    notes = [
        _("outside is the cache of the operating system or the disk: PostgreSQL 15 does not tell them apart")
    ]
    if is_reset:
        notes.append(_("counters went back between the samples: what was reset is not shown"))
    if not conditions["is_counted"]:
        notes.append(_("track_counts is off: relations are not counted"))
    notes += lists.shown_of(len(relations), limit)
    totals = _total(databases, conditions, seconds)
    is_whole = bool(conditions["is_counted"]) and not is_reset
    answer = _answer(totals, relations, databases)
    shown = [_row(row, seconds, conditions) for row in (*databases, *relations[:limit])]
    table = lists.table(site, "cache", columns, shown, answer, notes, is_whole=is_whole)
    return replace(table, figures=totals)


def _since(after: look.Row, before: look.Row) -> look.Row:
    return {**after, **{name: after[name] - before.get(name, 0) for name in ("hit", "read")}}


def _row(counted: look.Row, seconds: float | None, conditions: look.Row) -> look.Row:
    hit, read = counted["hit"], counted["read"]
    read_bytes = read * conditions["block_bytes"]
    kind = counted["of"]
    outside = f"{size(read_bytes / seconds)}/s" if seconds else size(read_bytes)
    return {
        "of": kind,
        "kind": _(_KINDS[kind]),
        "name": counted["name"],
        "percent": _percent(hit, read),
        "hit": hit,
        "read": read,
        "read_bytes": read_bytes,
        "outside": outside,
        "counted_seconds": counted["counted_seconds"] if seconds is None else seconds,
    }


def _percent(hit: int, read: int) -> float | None:
    return round(100 * hit / (hit + read), 1) if hit + read > 0 else None


def _worst_first(row: look.Row) -> tuple[int, int, str]:
    return -row["read"], -row["hit"], row["name"]


def _total(databases: Sequence[look.Row], conditions: look.Row, seconds: float | None) -> look.Row:
    hit, read = (sum(row[name] for row in databases) for name in ("hit", "read"))
    return {
        "hit": hit,
        "read": read,
        "percent": _percent(hit, read),
        "read_bytes": read * conditions["block_bytes"],
        "seconds": seconds if seconds is None else round(seconds, 2),
        "since_reset_seconds": conditions["counted_seconds"] if seconds is None else None,
        "shared_buffers": conditions["shared_buffers"],
    }


def _answer(totals: look.Row, relations: Sequence[look.Row], databases: Sequence[look.Row]) -> str:
    return joined(_sentences(totals, relations, databases))


def _sentences(
    totals: look.Row, relations: Sequence[look.Row], databases: Sequence[look.Row]
) -> Iterator[str]:
    if totals["seconds"] is not None:
        span = _("In {seconds}").format(seconds=duration(totals["seconds"]))
    elif any(row["counted_seconds"] is None for row in databases):
        # NULL is "never reset", and also what a crash leaves behind
        span = _("Since the statistics began, at most {seconds} ago").format(
            seconds=duration(totals["since_reset_seconds"] or 0.0)
        )
    else:
        span = _("Since the statistics were reset")
    if totals["percent"] is None:
        yield _("{span} nothing was read").format(span=span)
        return
    text = _("{span}, {percent:.1f} % of {blocks} blocks were found in shared_buffers ({size})")
    yield text.format(
        span=span,
        percent=totals["percent"],
        blocks=totals["hit"] + totals["read"],
        size=totals["shared_buffers"],
    )
    worst = relations[0] if relations and relations[0]["read"] else None
    percent = _percent(worst["hit"], worst["read"]) if worst else None
    if worst and percent is not None and percent < _LEAST_PERCENT:
        text = _("most from outside: {name}, {percent:.1f} % found")
        yield text.format(name=worst["name"], percent=percent)
