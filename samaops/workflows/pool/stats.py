"""What goes through the pool now: the difference of two looks at its counters, some seconds apart."""

from __future__ import annotations

import time

from samaops.i18n import _
from samaops.model.quantities import size
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows.lists import table
from samaops.workflows.pool import look

_COUNTERS = (
    "total_xact_count", "total_query_count", "total_received", "total_sent", "total_xact_time", "total_query_time",
    "total_wait_time",
)  # fmt: skip


def stats(site: Site, over_seconds: float) -> Table:
    """Return the rates of each database within these seconds, the longest waits first."""
    with look.connected(site, look.LOOK_SECONDS + over_seconds) as client:
        first, began = client.show("stats"), time.monotonic()
        time.sleep(over_seconds)
        second, seconds = client.show("stats"), time.monotonic() - began
    before = {row["database"]: row for row in first}
    rows = [_row(before.get(row["database"], {}), row, seconds) for row in look.of_databases(second)]
    rows.sort(key=lambda row: (-(row["waiting"] or 0.0), -(row["queries_per_second"] or 0.0)))
    columns = (
        Column("database", _("database")),
        Column("queries_per_second", _("queries/s"), True),
        Column("transactions_per_second", _("tx/s"), True),
        Column("query_ms", _("ms/query"), True),
        Column("transaction_ms", _("ms/tx"), True),
        Column("waiting", _("waiting"), True),
        Column("in", _("in/s"), True),
        Column("out", _("out/s"), True),
    )
    is_whole = all(row["queries_per_second"] is not None for row in rows)
    reset = _(
        "the counters began anew meanwhile, or this version has others: what cannot be told is left out"
    )
    return table(
        site,
        "pool_stats",
        columns,
        rows,
        _answer(rows, seconds),
        () if is_whole else (reset,),
        is_whole=is_whole,
    )


def _row(before: look.Row, after: look.Row, seconds: float) -> look.Row:
    grown = {name: _difference(before, after, name) for name in _COUNTERS}
    is_same_life = all(value is None or value >= 0 for value in grown.values())
    counted = {name: value if is_same_life else None for name, value in grown.items()}
    received, sent = (_rate(counted[name], seconds, 0) for name in ("total_received", "total_sent"))
    wait = counted["total_wait_time"]
    return {
        "database": after["database"],
        "queries_per_second": _rate(counted["total_query_count"], seconds),
        "transactions_per_second": _rate(counted["total_xact_count"], seconds),
        "query_ms": _mean_ms(counted["total_query_time"], counted["total_query_count"]),
        "transaction_ms": _mean_ms(counted["total_xact_time"], counted["total_xact_count"]),
        # How many waited at a time, on an average: seconds of waiting in a second.
        "waiting": None if wait is None else round(wait / 1e6 / seconds, 2),
        "wait_ms": _mean_ms(wait, counted["total_xact_count"]),
        "received_bytes_per_second": received,
        "sent_bytes_per_second": sent,
        "in": None if received is None else size(received),
        "out": None if sent is None else size(sent),
    }


def _difference(before: look.Row, after: look.Row, name: str) -> int | None:
    if after.get(name) is None or (before and before.get(name) is None):
        return None
    return int(after[name]) - int(before.get(name) or 0)  # a database that nobody had used before begins at 0


def _rate(count: int | None, seconds: float, digits: int = 1) -> float | None:
    return None if count is None else round(count / seconds, digits)


def _mean_ms(microseconds: int | None, count: int | None) -> float | None:
    """Return the mean of what was counted; None where nothing was."""
    return round(microseconds / count / 1000, 2) if microseconds is not None and count else None


def _answer(rows: list[look.Row], seconds: float) -> str:
    if not rows:
        return _("Nobody has used a database of the pool yet")
    queries = sum(row["queries_per_second"] or 0.0 for row in rows)
    waiting = sum(row["waiting"] or 0.0 for row in rows)
    worst = rows[0]
    text = _("Within {seconds:.1f} s: {queries:.1f} queries/s, {waiting:.2f} clients waiting on an average")
    answer = text.format(seconds=seconds, queries=queries, waiting=waiting)
    if not worst["waiting"]:
        return answer
    return _("{text}; most of them for {database}").format(text=answer, database=worst["database"])
