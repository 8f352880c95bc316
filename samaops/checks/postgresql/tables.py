"""Judge what PostgreSQL's tables are like: cache, dead rows, statistics, age of transaction ids, indexes."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.postgresql.sessions import holders
from samaops.checks.postgresql.units import whole
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.postgresql import Database, Holder, PostgresFacts, Setting, Table, Upkeep
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import direct, samaops

SHOWN = 5
_LEAST_DEAD_PERCENT = 25  # as of postgresql.tables.dead
LEAST_BLOCKS = 1_000_000  # 8 GB of accesses: below that a cold start alone decides the ratio
MEGABYTE = 1024**2
# An estimate: below this much nobody would notice, and page headers and alignment alone make up some tenths.
LEAST_WASTE_BYTES, LEAST_FACTOR = 100 * MEGABYTE, 3
LEAST_ROWS = 10_000  # smaller tables are read in a moment, whatever their state
WRAPAROUND = 2**31
DAY = 86_400.0


def _ours(facts: PostgresFacts) -> Database | None:
    return next((database for database in facts.databases or () if database.is_ours), None)


@check(
    "postgresql.cache.low",
    PostgresFacts,
    needs=("databases",),
    warning=99,  # the guide: must be above 99 %
    unit="%",
    less_is_worse=True,
)
def cache(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    ours = _ours(facts)
    total = ours.blocks_hit + ours.blocks_read if ours else 0
    evidence = {
        "blocks_hit": ours.blocks_hit if ours else 0,
        "blocks_read": ours.blocks_read if ours else 0,
        "counted_seconds": ours.counted_seconds if ours else None,
    }
    if ours is None or total < LEAST_BLOCKS:
        yield context.ok(
            _("Only {count} blocks were read yet: too few to judge the cache").format(count=total),
            evidence=evidence,
        )
        return
    percent = round(100 * ours.blocks_hit / total, 2)
    yield context.below(
        percent, _("{percent} % of the reads come from the cache").format(percent=percent), evidence=evidence
    )


@check("postgresql.deadlocks.seen", PostgresFacts, needs=("databases",), warning=1, unit="per day")
def deadlocks(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    databases = [database for database in facts.databases or () if database.deadlocks]
    count = sum(database.deadlocks for database in databases)
    per_day = sum(
        database.deadlocks / max(1.0, (database.counted_seconds or 0) / DAY) for database in databases
    )
    title = ngettext(
        "{count} deadlock was seen, {per_day:.1f} a day",
        "{count} deadlocks were seen, {per_day:.1f} a day",
        count,
    ).format(count=count, per_day=per_day)
    yield context.above(
        round(per_day, 2),
        title if count else _("No deadlock was seen"),
        evidence={
            "by_database": {database.name: database.deadlocks for database in databases},
            "counted_seconds": {database.name: database.counted_seconds for database in databases},
        },
    )


@check(
    "postgresql.xid.age",
    PostgresFacts,
    needs=("databases", "settings"),
    # In % of autovacuum_freeze_max_age. At 100 % a forced vacuum starts, which is normal; well above it that
    # vacuum does not get through. Critical also from half of the way to wraparound on.
    warning=120,
    critical=500,
    unit="%",
)
def xid_age(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.databases is not None
    assert facts.settings is not None
    limit = whole(facts.settings, "autovacuum_freeze_max_age")
    if not limit or not facts.databases:
        yield context.not_given("databases" if limit else "autovacuum_freeze_max_age")
        return
    oldest = max(facts.databases, key=lambda database: database.xid_age)
    percent = round(100 * oldest.xid_age / limit, 1)
    to_wraparound = round(100 * oldest.xid_age / WRAPAROUND, 1)
    yield context.finding(
        Status.CRITICAL if to_wraparound >= 50 else context.status_above(percent),
        _(
            "The oldest transaction id of {database} is {age} old, {percent} % of the way to wraparound"
        ).format(database=oldest.name, age=oldest.xid_age, percent=to_wraparound),
        value=percent,
        evidence={
            "database": oldest.name,
            "xid_age": oldest.xid_age,
            "autovacuum_freeze_max_age": limit,
            "percent_to_wraparound": to_wraparound,
            "multixact_age": max(database.multixact_age for database in facts.databases),
            "wraparound_vacuums": list(facts.activity.wraparound_vacuums) if facts.activity else None,
        },
    )


def _table(table: Table) -> Evidence:
    return {
        "relation": table.relation,
        "live_rows": table.live_rows,
        "dead_rows": table.dead_rows,
        "modified_rows": table.modified_rows,
        "size_bytes": table.size_bytes,
        "vacuumed_seconds": table.vacuumed_seconds,
        "analyzed_seconds": table.analyzed_seconds,
    }


def _tables(tables: list[Table]) -> Evidence:
    return {**_table(tables[0]), "tables": [_table(table) for table in tables[:SHOWN]]}


def _dead_percent(table: Table) -> float:
    return round(100 * table.dead_rows / max(1, table.dead_rows + table.live_rows), 1)


@check(
    "postgresql.tables.dead",
    PostgresFacts,
    needs=("tables",),
    # autovacuum starts at 20 % of the live rows (autovacuum_vacuum_scale_factor): well above it does not keep up.
    warning=25,
    critical=60,
    unit="%",
)
def dead_rows(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.worst(
        (table for table in facts.tables or () if table.dead_rows >= LEAST_ROWS),
        by=_dead_percent,
        title=lambda table: _("{percent} % of the rows of {relation} are dead").format(
            percent=_dead_percent(table), relation=table.relation
        ),
        evidence=_tables,
        none=_("No table has many dead rows"),
    )


@check("postgresql.vacuum.held", PostgresFacts, needs=("tables", "activity", "prepared", "slots", "standbys"))
def held_vacuum(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    """Dead rows that a vacuum has met and left: somebody may still want to see them."""
    least = _LEAST_DEAD_PERCENT
    left = [
        table
        for table in facts.tables or ()
        if table.dead_rows >= LEAST_ROWS
        and _dead_percent(table) >= least
        and table.vacuumed_seconds is not None
        and _holder(table, facts) is not None
    ]
    if not left:
        yield context.ok(_("Vacuum removes what is dead"))
        return
    worst = max(left, key=_dead_percent)
    holder = _holder(worst, facts)
    assert holder is not None
    title = _("Vacuum leaves the dead rows of {relation} ({percent} %): {kind} {name} still sees them")
    yield context.warn(
        title.format(
            relation=worst.relation, percent=_dead_percent(worst), kind=holder.kind, name=holder.name
        ),
        value=_dead_percent(worst),
        evidence={
            **_tables(left),
            "kind": holder.kind,
            "name": holder.name,
            "pid": holder.pid,
            "state": holder.state,
            "holder_seconds": holder.seconds,
            "xmin_age": holder.xmin_age,
        },
        hint=samaops(context.site, "db xmin"),
    )


def _holder(table: Table, facts: PostgresFacts) -> Holder | None:
    """Return who holds the oldest rows, of those that were there when the table was vacuumed; a slot may have been."""
    there = [
        holder
        for holder in holders(facts)
        if holder.seconds is None or holder.seconds > (table.vacuumed_seconds or 0)
    ]
    return max(there, key=lambda holder: holder.xmin_age, default=None)


def _waste(table: Upkeep) -> float:
    """Return how many bytes of a table hold no row, as far as its statistics tell; 0 where they do not."""
    if table.live_rows is None or table.row_bytes is None:
        return 0.0
    needed = table.live_rows * table.row_bytes * 100 / table.fill_percent
    return max(0.0, table.size_bytes - needed) if table.size_bytes >= LEAST_FACTOR * needed else 0.0


@check("postgresql.tables.bloated", PostgresFacts, needs=("upkeep",), warning=100, unit="MB")
def bloat(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    large = [table for table in facts.upkeep or () if table.size_bytes >= LEAST_WASTE_BYTES]
    wasteful = [table for table in large if _waste(table) >= LEAST_WASTE_BYTES]
    untold = [table.relation for table in large if table.row_bytes is None or table.live_rows is None]
    if untold and not wasteful:
        text = _(
            "What the rows of {names} need is not known: our role may not read them, or they were never analysed"
        )
        yield context.unknown(text.format(names=", ".join(untold[:3])), evidence={"tables": untold[:SHOWN]})
        return
    yield context.worst(
        wasteful,
        by=lambda table: round(_waste(table) / MEGABYTE),
        title=lambda table: _(
            "{relation} takes {size} MB and most of it, about {waste} MB, holds no row (an estimate)"
        ).format(
            relation=table.relation,
            size=round(table.size_bytes / MEGABYTE),
            waste=round(_waste(table) / MEGABYTE),
        ),
        evidence=lambda tables: {
            "relation": tables[0].relation,
            "size_bytes": tables[0].size_bytes,
            "waste_bytes": round(_waste(tables[0])),
            "live_rows": tables[0].live_rows,
            "tables": [table.relation for table in tables[:SHOWN]],
        },
        none=_("No large table is mostly empty"),
    )


@check("postgresql.autovacuum.off", PostgresFacts, needs=("upkeep", "settings"))
def autovacuum_off(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    """Nobody cleans: for all tables, or for large ones."""
    setting = (facts.settings or {}).get("autovacuum")
    alone = [table.relation for table in facts.upkeep or () if table.is_left_alone]
    evidence = {"autovacuum": setting.shown if setting else None, "tables": alone[:SHOWN]}
    if setting is not None and setting.shown == "off":
        yield context.warn(
            _("autovacuum is off: nothing cleans the tables or tells the planner what is in them"),
            evidence={**evidence, "setting": "autovacuum"},
            hint=samaops(context.site, "db settings autovacuum"),
        )
    elif alone:
        yield context.warn(
            _("autovacuum leaves {relation} alone: its own option says so").format(
                relation=", ".join(alone[:3])
            ),
            evidence={**evidence, "relation": alone[0]},
            hint=direct(
                context.site, "SELECT oid::regclass, reloptions FROM pg_class WHERE reloptions IS NOT NULL"
            ),
        )
    else:
        yield context.ok(_("autovacuum cares for the large tables"), evidence=evidence)


@check("postgresql.autovacuum.busy", PostgresFacts, needs=("activity", "tables", "settings"), unit="workers")
def autovacuum_busy(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    """Every worker is on some table, and another one waits for its turn."""
    assert facts.activity is not None
    busy, most = facts.activity.vacuum_workers, whole(facts.settings or {}, "autovacuum_max_workers")
    if busy is None:  # a saved look: every look now counts them
        yield context.skipped(_("the version that took this look did not count autovacuum's workers"))
        return
    if most is None:
        yield context.not_given("autovacuum_max_workers")
        return
    waiting = [
        table
        for table in facts.tables or ()
        if table.dead_rows >= LEAST_ROWS and _dead_percent(table) >= _LEAST_DEAD_PERCENT
    ]
    evidence = {
        "workers": busy,
        "autovacuum_max_workers": most,
        "vacuum_cost_limit": _cost_limit(facts.settings or {}),
    }
    if busy < most or not waiting:
        title = _("{count} of {most} autovacuum workers are at work").format(count=busy, most=most)
        yield context.ok(title, value=busy, evidence=evidence)
        return
    worst = max(waiting, key=_dead_percent)
    title = _(
        "All {most} autovacuum workers are busy, and {relation} waits ({percent} % of its rows are dead)"
    )
    yield context.warn(
        title.format(most=most, relation=worst.relation, percent=_dead_percent(worst)),
        value=busy,
        evidence={
            **evidence,
            **_tables(waiting),
            "wraparound_vacuums": list(facts.activity.wraparound_vacuums),
        },
        hint=samaops(context.site, "db progress"),
    )


def _cost_limit(settings: dict[str, Setting]) -> int | None:
    """Return what all workers together may do before they pause; where autovacuum has none of its own, vacuum's."""
    limits = (whole(settings, name) for name in ("autovacuum_vacuum_cost_limit", "vacuum_cost_limit"))
    return next((limit for limit in limits if limit is not None and limit > 0), None)


def _modified_percent(table: Table) -> float:
    return round(100 * table.modified_rows / max(1, table.live_rows), 1)


@check(
    "postgresql.tables.not_analyzed",
    PostgresFacts,
    needs=("tables",),
    # autovacuum analyses at 10 % (autovacuum_analyze_scale_factor); half changed since then means it did not.
    warning=50,
    unit="%",
)
def not_analyzed(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    yield context.worst(
        (table for table in facts.tables or () if table.modified_rows >= LEAST_ROWS),
        by=_modified_percent,
        title=_changed,
        evidence=_tables,
        none=_("Statistics of all tables are up to date"),
    )


def _changed(table: Table) -> str:
    if table.analyzed_seconds is None:
        title = _("{relation} was never analysed: {rows} rows are new")
        return title.format(relation=table.relation, rows=table.modified_rows)
    title = _("{percent} % of {relation} changed since it was analysed")
    return title.format(percent=_modified_percent(table), relation=table.relation)


@check("postgresql.index.invalid", PostgresFacts, needs=("invalid_indexes",), unit="indexes")
def invalid_indexes(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.invalid_indexes is not None
    if not facts.invalid_indexes:
        yield context.ok(_("All indexes are valid"), value=0)
        return
    indexes = [
        {"index": index.name, "relation": index.relation, "size_bytes": index.size_bytes}
        for index in facts.invalid_indexes
    ]
    yield context.warn(
        _("{count} invalid indexes, such as {name} on {relation}").format(
            count=len(indexes), name=facts.invalid_indexes[0].name, relation=facts.invalid_indexes[0].relation
        ),
        value=len(indexes),
        evidence={"indexes": indexes},
        hint=samaops(context.site, "db indexes"),
    )
