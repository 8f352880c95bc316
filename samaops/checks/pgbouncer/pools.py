"""Judge PgBouncer's pools: paused, disabled, waiting, full, stuck, too big for PostgreSQL, too many clients."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.log_words import Reason
from samaops.checks.pgbouncer import logins
from samaops.checks.registry import Context, Evidence, check
from samaops.facts.pgbouncer import Console, PgBouncerFacts, Pool, PooledDatabase
from samaops.facts.postgresql import usable_connections
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import samaops


def _console(facts: PgBouncerFacts) -> Console:
    # Part "console" is needed by every rule here; it is None only when none of them was selected.
    return facts.console or Console({}, (), (), (), 0)


def _main_first(names: list[str], context: Context) -> list[str]:
    main = context.site.settings.pgbouncer.database if context.site.settings.pgbouncer else ""
    return sorted(names, key=lambda name: (name != main, name))


def _pool(pool: Pool, size: int | None) -> Evidence:
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
    return {database.name: database for database in seen.databases}


def _size(seen: Console, pool: Pool) -> int | None:
    known = _databases(seen).get(pool.database)
    return known.pool_size if known else None


@check("pgbouncer.pool.paused", PgBouncerFacts, needs=("console",))
def paused(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    is_named = any(database.is_paused for database in seen.databases)
    is_inferred = not seen.is_held and not is_named and _opens_nothing(facts, context)
    is_held = bool(seen.is_held or is_inferred)
    names = _main_first(
        [database.name for database in seen.databases if database.is_paused or is_held], context
    )
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
            "all": is_held,
            "inferred": is_inferred,
        },
        hint=samaops(context.site, "pool databases"),
    )


def _opens_nothing(facts: PgBouncerFacts, context: Context) -> bool:
    """Infer a PAUSE of everything, which PgBouncer before 1.19 shows nowhere.

    Only with a PostgreSQL that is seen to answer, and log-ins to it that do not fail: else these are what is stuck.
    """
    seen = _console(facts)
    if seen.is_held is not None or not any(look.facts for look in context.snapshot.of_system("postgresql")):
        return False
    if logins.is_failing(facts, context) or logins.resumed_seconds(facts, context) is not None:
        return False
    return seen.opens_nothing


@check("pgbouncer.database.disabled", PgBouncerFacts, needs=("console",))
def disabled(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    names = _main_first(
        [database.name for database in _console(facts).databases if database.is_disabled], context
    )
    if not names:
        yield context.ok(_("No database of the pool is disabled"))
        return
    yield context.crit(
        _("PgBouncer refuses new clients of {database}: it is disabled").format(database=", ".join(names)),
        evidence={"database": names[0], "databases": names},
        hint=samaops(context.site, "pool databases"),
    )


@check(
    "pgbouncer.pool.waiting",
    PgBouncerFacts,
    needs=("console",),
    # PgBouncer's manual on maxwait: when it grows, the servers do not handle requests quickly enough.
    warning=1,
    critical=10,
    unit="s",
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
    traffic = {database.database: database.wait_ms for database in seen.traffic}
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
        hint=samaops(context.site, "pool pools"),
    )


def _is_full(seen: Console, database: str) -> bool:
    """Return whether all connections that a pool of a database may have are there and busy."""
    pools = ((pool, _size(seen, pool)) for pool in seen.pools if pool.database == database)
    return any(size and pool.servers_busy >= size for pool, size in pools)


@check("pgbouncer.pool.saturated", PgBouncerFacts, needs=("console",), warning=90, unit="%")
def saturated(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    sized = [(pool, size) for pool in seen.pools if (size := _size(seen, pool))]
    if not sized:
        yield context.ok(_("No pool is in use"), value=0)
        return
    pool, size = max(sized, key=lambda pair: (pair[0].servers_busy / pair[1], pair[0].clients_waiting))
    percent = round(100 * pool.servers_busy / size, 1)
    title = _("{busy} of {size} connections of pool {database}/{user} are busy").format(
        busy=pool.servers_busy, size=size, database=pool.database, user=pool.user
    )
    is_short = percent >= 100 and pool.clients_waiting and pool.maxwait_seconds >= 1
    status = Status.CRITICAL if is_short else context.status_above(percent)
    hint = samaops(context.site, "pool pools")
    yield context.finding(status, title, value=percent, evidence=_pool(pool, size), hint=hint)


@check("pgbouncer.login.stuck", PgBouncerFacts, needs=("console",))
def login_stuck(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    is_held = seen.is_held or _opens_nothing(facts, context)
    held = {
        database.name for database in seen.databases if database.is_paused or database.is_disabled or is_held
    }
    stuck = [pool for pool in seen.stuck if pool.database not in held]
    worst = max(stuck, key=lambda pool: pool.maxwait_seconds, default=None)
    main = context.site.settings.pgbouncer.database if context.site.settings.pgbouncer else ""
    # A full pool asks for no log-in: it is why nobody gets a session, whatever the log has of an earlier minute.
    is_open = main not in held and not _is_full(seen, main)
    if worst is not None or (logins.is_asked_in_vain(facts) and is_open):
        reason = logins.failure(facts, context)
        if reason is not None:
            yield _refused(facts, worst, reason, context)
            return
        resumed = logins.resumed_seconds(facts, context)
        if resumed is not None:
            yield _resumed(facts, worst, resumed, context)
            return
    if worst is None:
        yield context.ok(_("PgBouncer logs in to PostgreSQL without waiting"))
        return
    yield context.about(unit="clients").crit(
        ngettext(
            "PgBouncer gets no connection to PostgreSQL for {database}: {count} client waits for {seconds:.0f} s",
            "PgBouncer gets no connection to PostgreSQL for {database}: {count} clients wait for {seconds:.0f} s",
            worst.clients_waiting,
        ).format(database=worst.database, count=worst.clients_waiting, seconds=worst.maxwait_seconds),
        value=worst.clients_waiting,
        evidence=_pool(worst, _size(seen, worst)),
        hint=samaops(context.site, "pool servers"),
    )


def _resumed(facts: PgBouncerFacts, worst: Pool | None, seconds: float, context: Context) -> Finding:
    """Say that this passes by itself: the log-ins that the pause cut count as failed, and none is tried for a while."""
    retry = logins.retry_seconds(facts)
    title = _(
        "PgBouncer was resumed {seconds:.0f} s ago and tries no log-in yet: it does within {retry:.0f} s (server_login_retry)"
    )
    return context.warn(
        title.format(seconds=seconds, retry=retry),
        evidence={
            **(_pool(worst, _size(_console(facts), worst)) if worst else {}),
            "resumed_seconds": seconds,
            "server_login_retry": retry,
        },
        hint=samaops(context.site, "pool pools"),
    )


def _refused(facts: PgBouncerFacts, worst: Pool | None, reason: Reason, context: Context) -> Finding:
    """Say why the log-ins fail; SELECT 1 may be the only client."""
    section = context.site.settings.pgbouncer
    name = worst.database if worst else section.database if section else ""
    where = logins.address(_databases(_console(facts)).get(name))
    if logins.is_answered(reason):
        title = _("PostgreSQL ({address}) refuses PgBouncer's log-in for {database}: {words}")
    else:
        title = _("PgBouncer does not reach PostgreSQL ({address}) for {database}: {words}")
    return context.crit(
        title.format(address=where or _("its socket"), database=name, words=reason.words),
        evidence={
            **(_pool(worst, _size(_console(facts), worst)) if worst else {"database": name}),
            **reason.evidence,
            "address": where,
        },
        hint=samaops(context.site, "pool servers"),
    )


@check("pgbouncer.clients.high", PgBouncerFacts, needs=("console",), warning=80, critical=95, unit="%")
def clients(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    seen = _console(facts)
    configured = seen.settings.get("max_client_conn", "")
    if not configured.isdecimal():
        yield context.not_given("max_client_conn")
        return
    limit = int(configured)
    if not limit:
        return
    percent = round(100 * seen.clients / limit, 1)
    yield context.above(
        percent,
        _("{count} of {limit} clients of PgBouncer are connected").format(count=seen.clients, limit=limit),
        evidence={"clients": seen.clients, "max_client_conn": limit},
    )


@check("pgbouncer.limit.reached", PgBouncerFacts, needs=("console",))
def limit(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    """Connections of one database (max_db_connections) or of one user (max_user_connections): no pool may open more."""
    seen = _console(facts)
    limits = [
        (f"max_db_connections ({database.name})", database.current_connections, database.max_connections)
        for database in seen.databases
    ]
    of_users = seen.settings.get("max_user_connections", "")
    of_user = int(of_users) if of_users.isdecimal() else 0
    for user in sorted({pool.user for pool in seen.pools}):
        used = sum(_open(pool) for pool in seen.pools if pool.user == user)
        limits.append((f"max_user_connections ({user})", used, of_user))
    reached = {name: {"used": used, "limit": most} for name, used, most in limits if most and used >= most}
    waiting = sum(pool.clients_waiting for pool in seen.pools)
    evidence = {"reached": reached, "cl_waiting": waiting}
    if not reached:
        yield context.ok(_("PgBouncer may open more connections"), evidence=evidence)
        return
    title = _("PgBouncer may open no more connections: {names} is reached, {count} clients wait")
    status = Status.CRITICAL if waiting else Status.WARNING
    words = title.format(names=", ".join(reached), count=waiting)
    yield context.finding(status, words, evidence=evidence, hint=samaops(context.site, "pool databases"))


def _open(pool: Pool) -> int:
    return pool.servers_busy + pool.servers_free + pool.servers_login


@check(
    "pgbouncer.pool.bypassed",
    PgBouncerFacts,
    needs=("console",),
    # Two looks at the same moment: some connections may open or close between them.
    warning=10,
    unit="sessions",
)
def bypassed(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    """Sessions of the application's user that PostgreSQL has and the pool does not know."""
    servers = [look.facts for look in context.snapshot.of_system("postgresql") if look.facts]
    server = next((server for server in servers if server.application and server.connections), None)
    if server is None:
        yield context.skipped(_("PostgreSQL's sessions are not known in this run"))
        return
    user, sessions = server.application.user, server.application.role_sessions
    pooled = sum(_open(pool) for pool in _console(facts).pools if pool.user == user)
    past = max(0, sessions - pooled)
    clients = {
        client: count
        for client, count in server.connections.by_client.items()
        if client.startswith(f"{user}/")
    }
    yield context.above(
        past,
        ngettext(
            "{count} session of {user} in PostgreSQL is none of the pool's",
            "{count} sessions of {user} in PostgreSQL are none of the pool's",
            past,
        ).format(count=past, user=user)
        if past
        else _("The application's sessions in PostgreSQL are those of the pool"),
        detail=", ".join(f"{client} {count}" for client, count in list(clients.items())[:3]),
        evidence={"sessions": sessions, "pooled": pooled, "by_client": clients},
        hint=samaops(context.site, "db connections"),
    )


@check("pgbouncer.pool.oversized", PgBouncerFacts, needs=("console",), warning=100, unit="%")
def oversized(facts: PgBouncerFacts, context: Context) -> Iterator[Finding]:
    servers = (look.facts for look in context.snapshot.of_system("postgresql") if look.facts)
    settings = next((server.settings for server in servers if server.settings), None)
    limit = usable_connections(settings or {})
    if limit is None:
        yield context.skipped(_("PostgreSQL's max_connections is not known in this run"))
        return
    seen = _console(facts)
    by_database = {database.name: seen.most_of(database) for database in seen.databases}
    most = sum(by_database.values())
    yield context.above(
        round(100 * most / (limit + 1), 1),  # exactly as many as there are is still enough
        _("The pools may open {most} connections, PostgreSQL accepts {limit}").format(most=most, limit=limit),
        evidence={"most": most, "limit": limit, "by_database": by_database},
    )
