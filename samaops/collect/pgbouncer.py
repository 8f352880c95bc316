"""What is observed of PgBouncer: its admin console, and what the application gets through a pool. Two connections a run."""

from __future__ import annotations

import shlex
from typing import Any

from msgspec.structs import replace

from samaops.clients import footprint
from samaops.clients.errors import WELCOME, ClientError
from samaops.clients.pgbouncer import ConsoleClient, PooledClient
from samaops.clients.pool_watchdog import Watchdog
from samaops.collect import pgbouncer_file
from samaops.collect.engine import Probe
from samaops.collect.latency import least_ms
from samaops.collect.probing import writing
from samaops.collect.registry import collects
from samaops.collect.values import Answer, lacking, needed
from samaops.config.settings import PgBouncer
from samaops.facts.pgbouncer import (
    Console,
    PgBouncerFacts,
    PgBouncerProbe,
    Pool,
    PooledDatabase,
    PooledQuery,
    PooledServer,
    PooledSession,
    PoolFile,
    Sequence,
    Traffic,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

Row = dict[str, Any]


SPARE_SECONDS = 0.3  # so that what was read until then comes back before the engine gives up
# Beside the console nobody waits longer for a connection of the pool: four times what is critical already.
QUERY_SECONDS = 2.0
QUICK_MS = 100.0  # the guide's KPI for the database
# What the application is given: only a query through the pool tells it.
QUERY_CODE = "pgbouncer.query.failed"
QUERY_CODES = (
    QUERY_CODE,
    "pgbouncer.write.refused",
    "pgbouncer.route.different",
    "pgbouncer.sequence.exhausted",
)
CONSOLE_CODES = (
    "pgbouncer.pool.paused",
    "pgbouncer.database.disabled",
    "pgbouncer.pool.waiting",
    "pgbouncer.pool.saturated",
    "pgbouncer.login.stuck",
    "pgbouncer.settings.different",
    "pgbouncer.pool.oversized",
    "pgbouncer.clients.high",
    "pgbouncer.limit.reached",
    "pgbouncer.pool.bypassed",
)
# No checks: what the readings of changes ask for.
SERVERS, FILE, GUARD = CHANGE_CODES = ("pgbouncer.servers", "pgbouncer.file", "pgbouncer.guard")
# A configuration file is a few kilobytes.
MOST_FILE_BYTES = 256 * 1024


@collects("pgbouncer", PgBouncerFacts)
def look(pgbouncer: PgBouncer, site: Site, probe: Probe) -> PgBouncerFacts:
    """Read PgBouncer's console, and ask through its pool."""
    seen = observe(site.host_of(pgbouncer), pgbouncer, probe)
    return _with_server(seen, pgbouncer, site, probe) if probe.counts else seen


@collects("pgbouncer", PgBouncerProbe, feeds=("pgbouncer.write.probe",), writes=True)
def write(pgbouncer: PgBouncer, site: Site, probe: Probe) -> PgBouncerProbe:
    """Write a row as the application does, and roll it back."""
    postgresql = site.settings.postgresql
    if pgbouncer.password is None or postgresql is None or not postgresql.notifications_table:
        text = _("it needs [pgbouncer] password and [postgresql] notifications_table")
        raise ClientError(FailureKind.MISSING, text, "configuration")
    table, column = postgresql.notifications_table, postgresql.notifications_published_column
    client = PooledClient(site.host_of(pgbouncer), pgbouncer, pgbouncer.timeout - SPARE_SECONDS)
    try:
        with writing(probe, pgbouncer.timeout) as milliseconds:
            client.connect()
            footprint.count(writes=1)
            client.write_and_take_back(table, column)
            return PgBouncerProbe(table, milliseconds())
    finally:
        client.close()


def observe(host: str, settings: PgBouncer, probe: Probe) -> PgBouncerFacts:
    """Look through the console where it lets us in, then through the application's pool where its password is known.

    Raises ClientError when PgBouncer does not answer at all.
    """
    if not probe.wants(*CONSOLE_CODES) and not (probe.counts and probe.wants(*CHANGE_CODES)):
        return _through_pool(host, settings, probe)
    if settings.admin_password is None and settings.password is not None:
        missing = ClientError(FailureKind.MISSING, "[pgbouncer] admin_password is not configured", "console")
    else:
        try:
            seen = _through_console(host, settings, probe)
        except ClientError as error:
            refused = error.kind in (FailureKind.AUTHENTICATION, FailureKind.PERMISSION)
            if not refused or settings.password is None:
                raise
            missing = error
        else:
            return _with_query(seen, host, settings, probe)
    probe.missing["console"] = missing.failure()
    return _through_pool(host, settings, probe)


def _with_query(seen: PgBouncerFacts, host: str, settings: PgBouncer, probe: Probe) -> PgBouncerFacts:
    """Add what the application gets; a console that answers has said already that PgBouncer itself does."""
    if settings.password is None or not probe.wants(*QUERY_CODES):
        return seen
    probe.stage("pool")
    try:
        query = _query(host, settings, min(QUERY_SECONDS, _seconds(settings, probe)), probe)
    except ClientError as error:
        query = _refused(error, probe)
    return replace(seen, query=query)


def _seconds(settings: PgBouncer, probe: Probe) -> float:
    return max(0.1, min(settings.timeout + 1, probe.remaining()) - SPARE_SECONDS)


def _through_console(host: str, settings: PgBouncer, probe: Probe) -> PgBouncerFacts:
    client = ConsoleClient(host, settings, _seconds(settings, probe))
    try:
        probe.stage("connect")
        client.connect()
        probe.stage("console")
        seen = PgBouncerFacts("console", client.version(), console=read_console(client))
        if not probe.counts or not probe.wants(SERVERS):
            return seen
        return replace(seen, servers=probe.attempt("servers", lambda: _servers(client)))
    finally:
        client.close()


def _through_pool(host: str, settings: PgBouncer, probe: Probe) -> PgBouncerFacts:
    """Ask like the application; a refusal of PgBouncer itself is raised."""
    try:
        query = _query(host, settings, _seconds(settings, probe), probe)
    except ClientError as error:
        if not _is_about_the_server_behind(error):
            raise
        query = _refused(error, probe)
    return PgBouncerFacts("pool", None, query=query)


def _query(host: str, settings: PgBouncer, seconds: float, probe: Probe) -> PooledQuery:
    """Send SELECT 1, then ask what session that was. Raises ClientError when we are not logged in."""
    client = PooledClient(host, settings, seconds)
    try:
        probe.stage("connect")
        client.connect()
        probe.stage("query")
        try:
            taken = [client.query_ms()]
        except ClientError as error:
            return _refused(error, probe)
        session = probe.attempt("session", lambda: _session(client))
        sequences, not_asked = None, 0
        if probe.wants("pgbouncer.sequence.exhausted"):
            rows = probe.attempt("sequences", lambda: client.read("application_sequences"))
            sequences, not_asked = _sequences(rows)
        # What else is read comes first: the conversation has one time limit for all.
        least = least_ms(lambda: taken.pop() if taken else client.query_ms(), QUICK_MS, probe)
        return PooledQuery(least, session=session, sequences=sequences, sequences_not_asked=not_asked)
    finally:
        client.close()


def _session(client: PooledClient) -> PooledSession:
    row = client.read("application_session")[0]
    return PooledSession(**{**row, "led_past": tuple(row["led_past"])})


def _sequences(rows: list[dict[str, Any]] | None) -> tuple[tuple[Sequence, ...] | None, int]:
    """Return the sequences of an answer, and how many were not asked; a row without a name says this alone."""
    if rows is None:
        return None, 0
    not_asked = [row.pop("not_asked") for row in rows]
    return tuple(Sequence(**row) for row in rows if row["name"] is not None), max(not_asked)


def _refused(error: ClientError, probe: Probe) -> PooledQuery:
    return PooledQuery(None, error.message, error.kind.value, error.stage or probe.current_stage)


def _is_about_the_server_behind(error: ClientError) -> bool:
    """Tell a pool that has no server to give from a pool that does not work itself.

    PgBouncer asks for the password and then keeps the client waiting while it has never reached PostgreSQL;
    it refuses the log-in when the database is disabled.
    """
    return error.stage == WELCOME or error.kind in (FailureKind.DEPENDENCY, FailureKind.UNAVAILABLE)


def read_console(client: ConsoleClient) -> Console:
    config = _shown(client, "config")
    changeable = _columns(config, "changeable")
    lists = Answer({str(row["list"]): _number(row, "items") for row in _shown(client, "lists")})
    return Console(
        settings={str(row["key"]): str(row["value"]) for row in config},
        databases=tuple(_database(row) for row in _shown(client, "databases") if row["name"] != "pgbouncer"),
        pools=tuple(_pool(row) for row in _shown(client, "pools") if row["database"] != "pgbouncer"),
        traffic=tuple(_traffic(row) for row in _shown(client, "stats") if row["database"] != "pgbouncer"),
        clients=lists["used_clients"] + lists["login_clients"],
        is_held=_is_held(client.show("state")) if _knows_state(client.version()) else None,
        changeable=None
        if changeable is None
        else tuple(name for name, answer in changeable.items() if answer == "yes"),
        defaults=_columns(config, "default"),
    )


def _with_server(seen: PgBouncerFacts, settings: PgBouncer, site: Site, probe: Probe) -> PgBouncerFacts:
    """Add what a change needs to know of PgBouncer's server, over its shell."""
    file = guard = None
    if probe.wants(FILE) and seen.console is not None:
        shown = seen.console.settings
        file = probe.attempt("file", lambda: _file(settings.server, shown, probe))
    if probe.wants(GUARD):
        guard = probe.attempt("guard", lambda: _guard(settings, site, probe))
    return replace(seen, file=file, guard=guard)


def _file(server: str, shown: dict[str, str], probe: Probe) -> PoolFile:
    path = needed(shown, "conffile", stage="SHOW CONFIG")
    command = f"head -c {MOST_FILE_BYTES} -- {shlex.quote(path)}"
    done = probe.shell(server).run(command, probe.remaining())
    if done.exit_code:
        words = done.stderr.strip().rpartition(": ")[2] or _("exit code {code}").format(code=done.exit_code)
        raise ClientError(FailureKind.PERMISSION, f"{path}: {words}", "head")
    if len(done.stdout) >= MOST_FILE_BYTES:
        raise ClientError(FailureKind.ERROR, _("{path} is too long").format(path=path), "head")
    return pgbouncer_file.parsed(path, done.stdout, shown)


def _guard(settings: PgBouncer, site: Site, probe: Probe) -> str:
    """Return why no watchdog could work on the server; "" where one can."""
    try:
        shell = probe.shell(settings.server)
        Watchdog(shell, site.host_of(settings), settings).try_out(probe.remaining())
    except ClientError as error:
        return f"{error.stage}: {error.message}"
    return ""


def _servers(client: ConsoleClient) -> tuple[PooledServer, ...]:
    """Return the connections to PostgreSQL; one that is being opened has no process there yet."""
    return tuple(
        PooledServer(
            database=str(row["database"]),
            user=str(row["user"]),
            state=str(row["state"]),
            pid=_number(row, "remote_pid"),
            is_closing=None if row.get("close_needed") is None else bool(row["close_needed"]),
        )
        for row in map(Answer, client.show("servers"))
    )


def _columns(rows: list[Answer], name: str) -> dict[str, str] | None:
    """Return one column of SHOW CONFIG by setting, without what has none; None where the version has no such column."""
    if any(name not in row for row in rows):
        return None
    return {str(row["key"]): str(row[name]) for row in rows if row[name] is not None}


def _shown(client: ConsoleClient, name: str) -> list[Answer]:
    """Return the rows of a SHOW command; each has at least one, of the console itself."""
    rows = [Answer(row) for row in client.show(name)]
    for row in rows:
        if next(iter(row.values()), None) in (None, ""):  # what the row is about comes first
            raise lacking(*list(row)[:1], stage=f"SHOW {name.upper()}")
    if not rows:
        raise lacking(name, stage=f"SHOW {name.upper()}")
    return rows


def _knows_state(version: str) -> bool:
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return numbers >= [1, 19]


def _is_held(rows: list[Row]) -> bool:
    states = {str(row["key"]): str(row["value"]) for row in rows}
    return "yes" in (states.get("paused"), states.get("suspended"))


def _number(row: Row, *names: str) -> int:
    """Return the sum of those of the columns that this version has; the first one all have."""
    if row[names[0]] is None:
        raise lacking(names[0])
    return sum(int(row.get(name) or 0) for name in names)


def _database(row: Row) -> PooledDatabase:
    return PooledDatabase(
        name=str(row["name"]),
        host=str(row.get("host") or ""),
        pool_size=_number(row, "pool_size"),
        reserve_pool=_number(row, "reserve_pool" if "reserve_pool" in row else "reserve_pool_size"),
        pool_mode=row.get("pool_mode") or None,
        max_connections=_number(row, "max_connections") or None,
        current_connections=_number(row, "current_connections"),
        is_paused=bool(_number(row, "paused")),
        is_disabled=bool(_number(row, "disabled")),
        port=_number(row, "port") or None,
        real_name=str(row.get("database") or ""),
        forced_user=str(row.get("force_user") or ""),
        min_pool_size=None if row.get("min_pool_size") is None else _number(row, "min_pool_size"),
    )


def _pool(row: Row) -> Pool:
    return Pool(
        database=str(row["database"]),
        user=str(row["user"]),
        clients_active=_number(row, "cl_active"),
        clients_waiting=_number(row, "cl_waiting"),
        servers_busy=_number(row, "sv_active", "sv_active_cancel", "sv_being_canceled"),
        servers_free=_number(row, "sv_idle", "sv_used", "sv_tested"),
        servers_login=_number(row, "sv_login"),
        maxwait_seconds=round(_number(row, "maxwait") + _number(row, "maxwait_us") / 1e6, 3),
        pool_mode=row.get("pool_mode") or None,
    )


def _traffic(row: Row) -> Traffic:
    return Traffic(
        database=str(row["database"]),
        queries_per_second=_number(row, "avg_query_count"),
        query_ms=_number(row, "avg_query_time") / 1000,
        transaction_ms=_number(row, "avg_xact_time") / 1000,
        wait_ms=_number(row, "avg_wait_time") / 1000,
    )
