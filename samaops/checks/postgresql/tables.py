"""Judge what PostgreSQL's tables are like: cache, dead rows, statistics, age of transaction ids, indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.postgresql import Database, PostgresFacts, Table
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.site.commands import PSQL, direct

SHOWN = 5
LEAST_BLOCKS = 1_000_000  # 8 GB of accesses: below that a cold start alone decides the ratio
LEAST_ROWS = 10_000  # smaller tables are read in a moment, whatever their state
WRAPAROUND = 2**31
DAY = 86_400.0


def _ours(facts: PostgresFacts) -> Database | None:
    return next((one for one in facts.databases or () if one.is_ours), None)


@check(
    "postgresql.cache.low",
    title=N_("Cache hit ratio"),
    facts=PostgresFacts,
    needs=("databases",),
    warning=99,  # the guide: must be above 99 %
    unit="%",
    explain=Explanation(
        meaning=N_("Reads come from the disk too often: memory is short for the data in use, or a query reads too much."),
        confirm=(PSQL.format("SELECT blks_hit, blks_read, stats_reset FROM pg_stat_database WHERE datname = current_database()"),),
        fix=N_("Find the query that reads most (pg_stat_statements, shared_blks_read); an index is better than memory."),
        avoid=N_("Do not restart: the cache would be empty."),
    ),
)  # fmt: skip
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


@check(
    "postgresql.deadlocks.seen",
    title=N_("Deadlocks per day"),
    facts=PostgresFacts,
    needs=("databases",),
    warning=1,
    unit="per day",
    explain=Explanation(
        meaning=N_(
            "Transactions wait for each other in a circle and one is ended: users see an error now and then."
        ),
        confirm=(
            PSQL.format("SELECT datname, deadlocks, stats_reset FROM pg_stat_database WHERE deadlocks > 0"),
            "ssh <serveur db> grep -A5 'deadlock detected' /var/log/postgresql/*.log",
        ),
        fix=N_(
            "The log names both statements: let the application lock rows always in the same order, and retry."
        ),
        avoid=N_("Do not raise deadlock_timeout: it only takes longer then."),
    ),
)
def deadlocks(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    seen = [one for one in facts.databases or () if one.deadlocks]
    per_day = sum(one.deadlocks / max(1.0, (one.counted_seconds or 0) / DAY) for one in seen)
    yield context.above(
        round(per_day, 2),
        ngettext(
            "{count} deadlock was seen, {per_day:.1f} a day",
            "{count} deadlocks were seen, {per_day:.1f} a day",
            sum(one.deadlocks for one in seen),
        ).format(count=sum(one.deadlocks for one in seen), per_day=per_day)
        if seen
        else _("No deadlock was seen"),
        evidence={
            "by_database": {one.name: one.deadlocks for one in seen},
            "counted_seconds": {one.name: one.counted_seconds for one in seen},
        },
    )


@check(
    "postgresql.xid.age",
    title=N_("Age of the oldest transaction id"),
    facts=PostgresFacts,
    needs=("databases", "settings"),
    # In % of autovacuum_freeze_max_age. At 100 % a forced vacuum starts, which is normal; well above it that
    # vacuum does not get through. Critical also from half of the way to wraparound on.
    warning=120,
    critical=500,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "Freezing does not keep up: forced vacuums run and compete for the disk, and at 2 billion transactions the "
            "server refuses all writes."
        ),
        confirm=(
            PSQL.format("SELECT datname, age(datfrozenxid) FROM pg_database ORDER BY 2 DESC"),
            PSQL.format("SELECT pid, query FROM pg_stat_activity WHERE query LIKE '%to prevent wraparound%'"),
        ),
        fix=N_(
            "Let the forced vacuum run; end what holds old rows (postgresql.xmin.pinned); raise its cost limit."
        ),
        avoid=N_("Do not cancel the vacuum 'to prevent wraparound': it starts again from the beginning."),
    ),
)
def xid_age(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.databases is not None
    assert facts.settings is not None
    oldest = max(facts.databases, key=lambda one: one.xid_age)
    limit = int(facts.settings["autovacuum_freeze_max_age"].setting)
    percent = round(100 * oldest.xid_age / limit, 1)
    to_wraparound = round(100 * oldest.xid_age / WRAPAROUND, 1)
    fields: dict[str, Any] = {
        "value": percent,
        "evidence": {
            "database": oldest.name,
            "xid_age": oldest.xid_age,
            "autovacuum_freeze_max_age": limit,
            "percent_to_wraparound": to_wraparound,
            "multixact_age": max(one.multixact_age for one in facts.databases),
            "wraparound_vacuums": list(facts.activity.wraparound_vacuums) if facts.activity else None,
        },
    }
    title = _(
        "The oldest transaction id of {database} is {age} old, {percent} % of the way to wraparound"
    ).format(database=oldest.name, age=oldest.xid_age, percent=to_wraparound)
    if to_wraparound >= 50:
        yield context.crit(title, **fields)
    else:
        yield context.above(fields.pop("value"), title, **fields)


def _table(table: Table) -> dict[str, Any]:
    return {
        "relation": table.relation,
        "live_rows": table.live_rows,
        "dead_rows": table.dead_rows,
        "modified_rows": table.modified_rows,
        "size_bytes": table.size_bytes,
        "vacuumed_seconds": table.vacuumed_seconds,
        "analyzed_seconds": table.analyzed_seconds,
    }


def _dead_percent(table: Table) -> float:
    return round(100 * table.dead_rows / max(1, table.dead_rows + table.live_rows), 1)


@check(
    "postgresql.tables.dead",
    title=N_("Dead rows in tables"),
    facts=PostgresFacts,
    needs=("tables",),
    # autovacuum starts at 20 % of the live rows (autovacuum_vacuum_scale_factor): well above it does not keep up.
    warning=25,
    critical=60,
    unit="%",
    explain=Explanation(
        meaning=N_("Vacuum does not keep up with a table: it grows, and every query on it reads dead rows too."),
        confirm=(
            PSQL.format("SELECT relname, n_live_tup, n_dead_tup, last_autovacuum FROM pg_stat_user_tables ORDER BY n_dead_tup DESC LIMIT 10"),
        ),
        fix=N_("First see postgresql.xmin.pinned. When nothing holds them: VACUUM (VERBOSE) of this one table."),
        avoid=N_("Not VACUUM FULL: it locks the table for as long as it takes and needs its size again on disk."),
    ),
)  # fmt: skip
def dead_rows(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    tables = [one for one in facts.tables or () if one.dead_rows >= LEAST_ROWS]
    if not tables:
        yield context.ok(_("No table has many dead rows"), value=0)
        return
    worst_first = sorted(tables, key=lambda one: -_dead_percent(one))
    worst = worst_first[0]
    percent = _dead_percent(worst)
    title = _("{percent} % of the rows of {relation} are dead").format(
        percent=percent, relation=worst.relation
    )
    tables_shown = [_table(one) for one in worst_first[:SHOWN]]
    yield context.above(percent, title, evidence={**_table(worst), "tables": tables_shown})


def _modified_percent(table: Table) -> float:
    return round(100 * table.modified_rows / max(1, table.live_rows), 1)


@check(
    "postgresql.tables.not_analyzed",
    title=N_("Statistics of tables"),
    facts=PostgresFacts,
    needs=("tables",),
    # autovacuum analyses at 10 % (autovacuum_analyze_scale_factor); half changed since then means it did not.
    warning=50,
    unit="%",
    explain=Explanation(
        meaning=N_("The planner knows a table as it was before a load or a restore: it may choose very slow plans."),
        confirm=(
            PSQL.format("SELECT relname, n_live_tup, n_mod_since_analyze, last_analyze, last_autoanalyze FROM pg_stat_user_tables ORDER BY 3 DESC LIMIT 10"),
        ),
        fix=N_("ANALYZE that table (no lock that hurts, seconds); after a restore, ANALYZE the whole database."),
        avoid=N_("Do not change planner settings to work round missing statistics."),
    ),
)  # fmt: skip
def not_analyzed(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    tables = [one for one in facts.tables or () if one.modified_rows >= LEAST_ROWS]
    if not tables:
        yield context.ok(_("Statistics of all tables are up to date"), value=0)
        return
    worst_first = sorted(tables, key=lambda one: -_modified_percent(one))
    worst = worst_first[0]
    percent = _modified_percent(worst)
    if worst.analyzed_seconds is None:
        title = _("{relation} was never analysed: {rows} rows are new").format(
            relation=worst.relation, rows=worst.modified_rows
        )
    else:
        title = _("{percent} % of {relation} changed since it was analysed").format(
            percent=percent, relation=worst.relation
        )
    tables_shown = [_table(one) for one in worst_first[:SHOWN]]
    yield context.above(percent, title, evidence={**_table(worst), "tables": tables_shown})


@check(
    "postgresql.index.invalid",
    title=N_("Invalid indexes"),
    facts=PostgresFacts,
    needs=("invalid_indexes",),
    unit="indexes",
    explain=Explanation(
        meaning=N_("A CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY failed: its index costs writes and serves nobody."),
        confirm=(PSQL.format("SELECT indexrelid::regclass, indrelid::regclass FROM pg_index WHERE NOT indisvalid"),),
        fix=N_("DROP INDEX CONCURRENTLY the invalid one, then build it again; a name ending in _ccnew is a left-over."),
        avoid=N_("Not while it is still being built: see pg_stat_progress_create_index."),
    ),
)  # fmt: skip
def invalid_indexes(facts: PostgresFacts, context: Context) -> Iterator[Finding]:
    assert facts.invalid_indexes is not None
    if not facts.invalid_indexes:
        yield context.ok(_("All indexes are valid"), value=0)
        return
    indexes = [
        {"index": one.name, "relation": one.relation, "size_bytes": one.size_bytes}
        for one in facts.invalid_indexes
    ]
    yield context.warn(
        _("{count} invalid indexes, such as {name} on {relation}").format(
            count=len(indexes), name=facts.invalid_indexes[0].name, relation=facts.invalid_indexes[0].relation
        ),
        value=len(indexes),
        evidence={"indexes": indexes},
        hint=direct(
            context.site,
            "SELECT indexrelid::regclass, indrelid::regclass FROM pg_index WHERE NOT indisvalid",
        ),
    )
