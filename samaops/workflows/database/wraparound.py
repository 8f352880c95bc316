"""How near transaction ids, multixacts and sequences are to their end, and when autovacuum will be forced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from samaops.i18n import N_, _, ngettext, number
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

# PostgreSQL 14 and newer assign none any more when there are but three million left of two thousand million.
STOPS_AT = 2**31 - 3_000_000
_KINDS = {
    "database": N_("database"),
    "table": N_("table"),
    "toast": N_("toast"),
    "sequence": N_("sequence"),
}
_COUNTERS = ("xid", "multixact")
_TEN_YEARS = 10 * 365 * 86400
# From half of the age at which autovacuum is forced on, it is told who keeps it from getting younger.
_HOLDING_SHARE = 0.5
Sleep = Callable[[float], None]


class _Rate(Struct, frozen=True):
    """How many are used up in a second, and over how long that was measured."""

    xid: float
    multixact: float
    seconds: float


def wraparound(site: Site, over: float | None, limit: int, sleep: Sleep = time.sleep) -> Table:
    """Return databases, tables of this one and sequences, the nearest to its limit first.

    The rate is that since the last checkpoint, or of the next ``over`` seconds.
    """
    with look.connected(site, look.LOOK_SECONDS + (over or 0.0)) as client:
        rights = client.read_one("rights")
        counters = client.read_one("xid_rate")
        ages = client.read("wraparound")
        counted = client.read("sequences")
        holders = client.read("xmin")
        if over:
            sleep(over)
        rate = _rate(counters, client.read_one("xid_rate") if over else None)
    sequences = [row for row in counted if row["name"] is not None and not row["is_hidden"]]
    rows = [_aged(row, rate) for row in ages] + [_sequence(row) for row in sequences]
    rows.sort(key=lambda row: (-row["percent"], row["of"] != "database", row["name"]))
    columns = (
        Column("percent", _("% of limit"), is_number=True),
        Column("kind", _("of")),
        Column("name", _("name")),
        Column("used", _("used")),
        Column("until", _("limit in"), is_number=True),
        Column("size", _("size"), is_number=True),
    )
    notes = list(_notes(counters, rows, holders, rate))
    if hidden := max(row["hidden"] for row in counted):
        text = _("{count} sequences are hidden from {role}: it needs USAGE or SELECT on them")
        notes.append(text.format(count=hidden, role=rights["role"]))
    if not_asked := max(row["not_asked"] for row in counted):
        text = _("{count} sequences, those of the smallest tables, were not looked at")
        notes.append(text.format(count=not_asked))
    if not rights["sees_sessions"]:
        notes.append(look.missing_monitor(rights["role"]))
    notes += lists.shown_of(len(rows), limit)
    is_whole = not hidden and not not_asked and rights["sees_sessions"]
    answer = _answer(rows, rate)
    table = lists.table(site, "wraparound", columns, rows[:limit], answer, notes, is_whole=is_whole)
    figures = {
        "xids_per_second": round(rate.xid, 3),
        "multixacts_per_second": round(rate.multixact, 3),
        "measured_seconds": round(rate.seconds, 1),
        "stops_at": STOPS_AT,
    }
    is_held = any(_holds(holder, rows) for holder in holders)
    return replace(table, figures=figures, commands=(typed(site, "db xmin"),) if is_held else ())


def _rate(before: look.Row, after: look.Row | None) -> _Rate:
    """Return the rate between two looks, or else since the last checkpoint, which has kept the counters of its time."""
    if after is None:
        used = before["xid"] - before["xid_then"], before["multixact"] - before["multixact_then"]
        seconds = before["seconds"]
    else:
        used = after["xid"] - before["xid"], after["multixact"] - before["multixact"]
        seconds = after["at"] - before["at"]
    seconds = max(seconds, 0.001)
    xids, multixacts = (max(0, number) / seconds for number in used)
    return _Rate(xids, multixacts, seconds)


def _aged(row: look.Row, rate: _Rate) -> look.Row:
    counter = max(("xid", "multixact"), key=lambda name: row[f"{name}_age"] / row[f"{name}_forced_at"])
    age, forced_at = row[f"{counter}_age"], row[f"{counter}_forced_at"]
    forced_in, stops_in = (
        {name: _seconds(bound(name) - row[f"{name}_age"], getattr(rate, name)) for name in _COUNTERS}
        for bound in (lambda name: row[f"{name}_forced_at"], lambda _name: STOPS_AT)
    )
    until = forced_in[counter]
    kind = row["of"]
    return {
        "of": kind,
        "kind": _(_KINDS[kind]),
        "name": row["name"],
        "percent": round(100 * age / forced_at, 1),
        "counter": counter,
        "used": _("{age} of {limit} {counter}").format(
            age=_millions(age), limit=_millions(forced_at), counter=counter
        ),
        "until": _until(until),
        **{name: row[name] for name in ("xid_age", "multixact_age", "xid_forced_at", "multixact_forced_at")},
        "forced_in_seconds": until,
        "stops_in_seconds": min(filter(None, stops_in.values()), default=None),
        "bytes": row["bytes"],
        "size": "-" if row["bytes"] is None else size(row["bytes"]),
    }


def _seconds(left: int, per_second: float) -> float | None:
    """Return when so many are used up; None: never at this rate."""
    if left <= 0:
        return 0.0
    return round(left / per_second, 1) if per_second > 0 else None


def _until(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds == 0:
        return _("now")
    return _("> 10 years") if seconds > _TEN_YEARS else duration(seconds)


def _sequence(row: look.Row) -> look.Row:
    used = _("{value} of {last}").format(value=_millions(row["value"]), last=_millions(row["last"]))
    if row["of_column"]:
        used += _(", for {column}").format(column=row["of_column"])
    return {
        "of": "sequence",
        "kind": _(_KINDS["sequence"]),
        "name": row["name"],
        "percent": row["percent"],
        "used": used,
        "value": row["value"],
        "last": row["last"],
        "of_column": row["of_column"] or None,
        "until": "-",
    }


def _millions(count: int) -> str:
    """Return a large number as people say it."""
    for letter, factor in (("G", 1_000_000_000), ("M", 1_000_000)):
        if abs(count) >= factor:
            return number(f"{count / factor:.3g}") + f" {letter}"
    return str(count)


def _holds(holder: look.Row, rows: Sequence[look.Row]) -> bool:
    limits = [row["xid_forced_at"] for row in rows if row["of"] == "database"]
    return bool(limits) and holder["age"] >= _HOLDING_SHARE * min(limits)


def _notes(
    counters: look.Row, rows: Sequence[look.Row], holders: Sequence[look.Row], rate: _Rate
) -> Iterator[str]:
    if not counters["has_autovacuum"]:
        yield _("autovacuum is off: it runs all the same when it is forced")
    if counters["in_recovery"]:
        yield _("this is a standby: its primary vacuums for it")
    if rate.seconds < 10:
        yield _("the rate was measured over {seconds} only; --over SECONDS measures longer").format(
            seconds=duration(rate.seconds)
        )
    for holder in holders[:1]:
        if _holds(holder, rows):
            text = _("no vacuum makes them younger than {age}: {kind} {name} still sees what is older")
            name = holder["name"] if holder["name"] is not None else f"pid {holder['pid']}"
            yield text.format(age=_millions(holder["age"]), kind=holder["kind"], name=name)
    if any(row["of"] != "sequence" for row in rows):
        yield _(
            "at the limit autovacuum vacuums the table whatever is set; at {stops} no write is accepted"
        ).format(stops=_millions(STOPS_AT))


def _answer(rows: Sequence[look.Row], rate: _Rate) -> str:
    oldest = max((row for row in rows if row["of"] == "database"), key=lambda row: row["percent"])
    text = _("The oldest database, {name}, has used {used} ({percent:.1f} %)").format(
        name=oldest["name"], used=oldest["used"], percent=oldest["percent"]
    )
    speed = _("{rate} transaction ids a second, measured over {seconds}").format(
        rate=number(f"{rate.xid:.3g}"), seconds=duration(rate.seconds)
    )
    answer = f"{text}; {speed}"
    ending = [row for row in rows if row["of"] == "sequence" and row["percent"] >= 50]
    if not ending:
        return answer
    sequences = ngettext(
        "{count} sequence is more than half used up",
        "{count} sequences are more than half used up",
        len(ending),
    ).format(count=len(ending))
    return f"{answer}; {sequences}"
