"""Judge PgBouncer's pools: paused, disabled, waiting, full, stuck, too big for PostgreSQL, too many clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from samaops.checks.postgresql.service import usable_connections
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.pgbouncer import Console, PgBouncerFacts, Pool, PooledDatabase
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import CONSOLE, console


def _console(facts: PgBouncerFacts) -> Console:
    # Part "console" is needed by every rule here; it is None only when none of them was selected.
    return facts.console or Console({}, (), (), (), 0)


def _main_first(names: list[str], context: Context) -> list[str]:
    main = context.site.settings.pgbouncer.database if context.site.settings.pgbouncer else ""
    return sorted(names, key=lambda name: (name != main, name))


def _pool(pool: Pool, size: int | None) -> dict[str, Any]:
    return {
        "database": pool.database,
        "user": pool.user,
        "cl_active": pool.clients_active,
        "cl_waiting": pool.clients_waiting,
        "sv_busy": pool.servers_busy,
        "sv_free": pool.servers_free,
        "sv_login": pool.servers_login,
        "maxwait_seconds": pool.maxwait_seconds,
        "pool_size": size,
    }


def _databases(seen: Console) -> dict[str, PooledDatabase]:
    return {one.name: one for one in seen.databases}


def _size(seen: Console, pool: Pool) -> int | None:
    known = _databases(seen).get(pool.database)
    return known.pool_size if known else None


@check(
    "pgbouncer.pool.paused",
    title=N_("Paused databases"),
    facts=PgBouncerFacts,
    needs=("console",),
    explain=Explanation(
        meaning=N_(
            "Somebody typed PAUSE: clients are let in, but every query waits until RESUME. Nothing is broken."
        ),
        confirm=(CONSOLE.format("SHOW DATABASES"),),
        fix=N_("Ask who paused it and why; then RESUME on the console. Waiting clients continue at once."),
        avoid=N_("No restart: it would cut thousands of clients off that only wait."),
    ),
)
def paused(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    is_named = any(one.is_paused for one in seen.databases)
    is_inferred = not seen.is_held and not is_named and _opens_nothing(seen, context)
    held = [one.name for one in seen.databases if one.is_paused or seen.is_held or is_inferred]
    names = _main_first(held, context)
    if not names:
        yield context.ok(_("No database of the pool is paused"))
        return
    waiting = sum(pool.clients_waiting for pool in seen.pools if pool.database in names)
    if is_inferred:
        title = _(
            "PgBouncer opens no connection though PostgreSQL answers (clients that wait: {count}): "
            "paused as a whole, or its last log-in failed"
        ).format(count=waiting)
    else:
        title = _("PgBouncer is paused for {database}: {count} clients wait until RESUME").format(
            database=", ".join(names), count=waiting
        )
    yield context.crit(
        title,
        evidence={
            "database": names[0],
            "databases": names,
            "cl_waiting": waiting,
            "all": bool(seen.is_held or is_inferred),
            "inferred": is_inferred,
        },
        hint=console(context.site, "SHOW DATABASES"),
    )


def _opens_nothing(seen: Console, context: Context) -> bool:
    """Infer a PAUSE of everything, which PgBouncer before 1.19 shows nowhere.

    Only with a PostgreSQL that is seen to answer: with one that does not, the logins are what is stuck.
    """
    if seen.is_held is not None or not any(one.facts for one in context.snapshot.of_system("postgresql")):
        return False
    stuck = [pool for pool in seen.pools if _is_stuck(pool)]
    return bool(stuck) and not any(
        pool.servers_login or pool.servers_busy or pool.servers_free for pool in seen.pools
    )


@check(
    "pgbouncer.database.disabled",
    title=N_("Disabled databases"),
    facts=PgBouncerFacts,
    needs=("console",),
    explain=Explanation(
        meaning=N_("Somebody typed DISABLE: new clients of this database are refused."),
        confirm=(CONSOLE.format("SHOW DATABASES"),),
        fix=N_("Ask who disabled it and why; then ENABLE it on the console."),
        avoid=N_("No restart: it would cut off the clients that still work."),
    ),
)
def disabled(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    names = _main_first([one.name for one in _console(facts).databases if one.is_disabled], context)
    if not names:
        yield context.ok(_("No database of the pool is disabled"))
        return
    yield context.crit(
        _("PgBouncer refuses new clients of {database}: it is disabled").format(database=", ".join(names)),
        evidence={"database": names[0], "databases": names},
        hint=console(context.site, "SHOW DATABASES"),
    )


@check(
    "pgbouncer.pool.waiting",
    title=N_("Longest wait for a connection of the pool"),
    facts=PgBouncerFacts,
    needs=("console",),
    # PgBouncer's manual on maxwait: when it grows, the servers do not handle requests quickly enough.
    warning=1,
    critical=10,
    unit="s",
    explain=Explanation(
        meaning=N_(
            "Clients wait for a connection. All busy with idle transactions: the application holds them too long; busy "
            "with queries: PostgreSQL is slow or locked; none there: PgBouncer cannot log in."
        ),
        confirm=(CONSOLE.format("SHOW POOLS"),),
        fix=N_(
            "Find who holds the connections (postgresql.transaction.idle, postgresql.locks.chain) and free that one."
        ),
        avoid=N_("Do not just raise the pool's size: PostgreSQL would be slower still."),
    ),
)
def waiting(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    queues = sorted(
        (pool for pool in seen.pools if pool.clients_waiting), key=lambda pool: -pool.maxwait_seconds
    )
    count = sum(pool.clients_waiting for pool in queues)
    together = {"clients_waiting": count, "servers_busy": sum(pool.servers_busy for pool in seen.pools)}
    if not queues:
        yield context.ok(_("No client waits for a connection of the pool"), value=0, evidence=together)
        return
    worst = queues[0]
    traffic = {one.database: one.wait_ms for one in seen.traffic}
    yield context.above(
        worst.maxwait_seconds,
        ngettext(
            "{count} client waits for a connection of the pool, for {seconds:.1f} s",
            "{count} clients wait for a connection of the pool, the first for {seconds:.1f} s",
            count,
        ).format(count=count, seconds=worst.maxwait_seconds),
        evidence={
            **_pool(worst, _size(seen, worst)),
            **together,
            "mean_wait_ms": traffic.get(worst.database),
            "pools": [_pool(pool, _size(seen, pool)) for pool in queues[:5]],
        },
        **_hint_when(context, worst.maxwait_seconds),
    )


def _hint_when(context: Context, value: float) -> dict[str, str]:
    is_bad = context.warning is not None and value >= context.warning
    return {"hint": console(context.site, "SHOW POOLS")} if is_bad else {}


@check(
    "pgbouncer.pool.saturated",
    title=N_("Use of the pools"),
    facts=PgBouncerFacts,
    needs=("console",),
    warning=90,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "All connections of a pool work for a client; the next client waits. Critical when clients do wait."
        ),
        confirm=(CONSOLE.format("SHOW POOLS"), CONSOLE.format("SHOW DATABASES")),
        fix=N_(
            "See what the connections do on PostgreSQL. When all is well there and it is steady load, raise pool_size."
        ),
        avoid=N_("Never above what max_connections leaves: see pgbouncer.pool.oversized."),
    ),
)
def saturated(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    sized = [(pool, size) for pool in seen.pools if (size := _size(seen, pool))]
    if not sized:
        yield context.ok(_("No pool is in use"), value=0)
        return
    pool, size = max(sized, key=lambda one: (one[0].servers_busy / one[1], one[0].clients_waiting))
    percent = round(100 * pool.servers_busy / size, 1)
    title = _("{busy} of {size} connections of pool {database}/{user} are busy").format(
        busy=pool.servers_busy, size=size, database=pool.database, user=pool.user
    )
    evidence = _pool(pool, size)
    if percent >= 100 and pool.clients_waiting and pool.maxwait_seconds >= 1:
        yield context.crit(title, value=percent, evidence=evidence, hint=console(context.site, "SHOW POOLS"))
    else:
        yield context.above(percent, title, evidence=evidence, **_hint_when(context, percent))


@check(
    "pgbouncer.login.stuck",
    title=N_("PgBouncer's logins to PostgreSQL"),
    facts=PgBouncerFacts,
    needs=("console",),
    explain=Explanation(
        meaning=N_(
            "Clients wait and PgBouncer has no connection at all: it cannot log in to PostgreSQL, which is down, hangs, "
            "or refuses PgBouncer's password."
        ),
        confirm=(CONSOLE.format("SHOW SERVERS"), "pg_isready -h <serveur db> -p 5432"),
        fix=N_("Test the login that PgBouncer uses with psql on 5432; its own log names the refusal."),
        avoid=N_(
            "Do not restart PgBouncer before PostgreSQL answers: the clients would be gone and nothing won."
        ),
    ),
)
def login_stuck(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    is_held = seen.is_held or _opens_nothing(seen, context)
    held = {one.name for one in seen.databases if one.is_paused or one.is_disabled or is_held}
    stuck = [pool for pool in seen.pools if _is_stuck(pool) and pool.database not in held]
    if not stuck:
        yield context.ok(_("PgBouncer logs in to PostgreSQL without waiting"))
        return
    worst = max(stuck, key=lambda pool: pool.maxwait_seconds)
    yield context.crit(
        ngettext(
            "PgBouncer gets no connection to PostgreSQL for {database}: {count} client waits for {seconds:.0f} s",
            "PgBouncer gets no connection to PostgreSQL for {database}: {count} clients wait for {seconds:.0f} s",
            worst.clients_waiting,
        ).format(database=worst.database, count=worst.clients_waiting, seconds=worst.maxwait_seconds),
        value=worst.clients_waiting,
        unit="clients",
        evidence=_pool(worst, _size(seen, worst)),
        hint=console(context.site, "SHOW SERVERS"),
    )


def _is_stuck(pool: Pool) -> bool:
    has_server = pool.servers_busy or pool.servers_free
    return bool(pool.clients_waiting and not has_server and pool.maxwait_seconds >= 1)


@check(
    "pgbouncer.clients.high",
    title=N_("Clients against max_client_conn"),
    facts=PgBouncerFacts,
    needs=("console",),
    warning=80,
    critical=95,
    unit="%",
    explain=Explanation(
        meaning=N_("Nearly as many clients as PgBouncer takes: from then on new ones are refused."),
        confirm=(CONSOLE.format("SHOW LISTS"), CONSOLE.format("SHOW CLIENTS")),
        fix=N_(
            "Find who opens that many (SHOW CLIENTS by address); a leak in one application is the usual reason."
        ),
        avoid=N_("Do not raise max_client_conn above the file descriptors of the process (ulimit -n)."),
    ),
)
def clients(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    limit = int(seen.settings.get("max_client_conn") or 0)
    if not limit:
        return
    percent = round(100 * seen.clients / limit, 1)
    yield context.above(
        percent,
        _("{count} of {limit} clients of PgBouncer are connected").format(count=seen.clients, limit=limit),
        evidence={"clients": seen.clients, "max_client_conn": limit},
    )


@check(
    "pgbouncer.pool.oversized",
    title=N_("Pool sizes against PostgreSQL's max_connections"),
    facts=PgBouncerFacts,
    needs=("console",),
    warning=100,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "All pools together may open more connections than PostgreSQL accepts: under load logins fail."
        ),
        confirm=(CONSOLE.format("SHOW DATABASES"), CONSOLE.format("SHOW POOLS")),
        fix=N_(
            "Lower pool_size and reserve_pool_size (RELOAD), or set max_db_connections as a common limit."
        ),
        avoid=N_("Do not raise max_connections without the memory for it; it needs a restart."),
    ),
)
def oversized(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    settings = next(
        (
            one.facts.settings
            for one in context.snapshot.of_system("postgresql")
            if one.facts and one.facts.settings
        ),
        None,
    )
    if settings is None:
        detail = _("PostgreSQL's max_connections is not known in this run")
        yield context.finding(Status.SKIPPED, _(context.rule.title), detail=detail)
        return
    # Imported only where there is a PostgreSQL to compare with: its many facts take time to make.
    seen = _console(facts)
    by_database = {one.name: _most(one, seen) for one in seen.databases}
    most, limit = sum(by_database.values()), usable_connections(settings)
    yield context.above(
        round(100 * most / (limit + 1), 1),  # exactly as many as there are is still enough
        _("The pools may open {most} connections, PostgreSQL accepts {limit}").format(most=most, limit=limit),
        evidence={"most": most, "limit": limit, "by_database": by_database},
    )


def _most(database: PooledDatabase, seen: Console) -> int:
    """Return how many connections the pools of a database may open: one pool per user seen, at least one."""
    users = max(1, len({pool.user for pool in seen.pools if pool.database == database.name}))
    most = users * (database.pool_size + database.reserve_pool)
    return min(most, database.max_connections) if database.max_connections else most
