"""A database that serves and is slow: what waits behind a change, dead rows, missing indexes and statistics, storms."""

from __future__ import annotations

from samaops.i18n import N_, _
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import held, sql
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import hold, sessions
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

READERS, DIRECT, HOLDING, REPEATING = 4, 15, 30, 12
LEAST_ROWS = 10_000
CHECKPOINTS = 30
HELD_SECONDS = 20.0
DATABASE = "postgresql/db"


def _is_queueing(site: Site) -> str | None:
    count = sessions.count(site, hold.WAITER_NAME, "Lock")
    if count < READERS or not sessions.count(site, hold.DDL_NAME, "Lock"):
        return None
    return _("{count} sessions wait behind an ALTER TABLE, which waits for a reader").format(count=count)


def _leave_dead_rows(site: Site) -> None:
    if not wait_until(
        lambda: sessions.count(site, hold.SNAPSHOT_NAME, "idle in transaction") > 0, HELD_SECONDS
    ):
        raise StartError(_("the transaction that holds the rows did not begin"))
    for step in ("rewrite_notifications", "vacuum_notifications"):
        sessions.run(site, step)


def _keeps_dead_rows(site: Site) -> str | None:
    dead = int((sessions.run(site, "dead_notifications") or (0,))[0] or 0)
    if dead < LEAST_ROWS or not sessions.count(site, hold.SNAPSHOT_NAME, "idle in transaction"):
        return None
    return _("vacuum leaves {count} dead rows for an idle transaction").format(count=dead)


def _holds(site: Site) -> str | None:
    count = sessions.count(site, hold.HOLDING_NAME, "idle in transaction")
    if count < HOLDING // 2 or sessions.longest_wait(site) < 1:
        return None
    return _("{count} transactions wait for their clients, and the pool is empty").format(count=count)


def _repeats(site: Site) -> str | None:
    count = sessions.count(site, hold.REPEATING_NAME, "active")
    if count < REPEATING // 2 + 2:
        return None
    return _("{count} sessions work on the same statement").format(count=count)


def _is_unindexed(site: Site) -> str | None:
    return None if sessions.has_row(site, "index_exists") else _repeats(site)


def _is_unanalysed(site: Site) -> str | None:
    rows = int((sessions.run(site, "loaded_rows") or (0,))[0])
    return _("{count} rows were loaded and never analysed").format(count=rows) if rows >= LEAST_ROWS else None


def _nobody_cleans(site: Site) -> str | None:
    return _("autovacuum is off") if sessions.run(site, "show_autovacuum") == ("off",) else None


def _are_direct(site: Site) -> str | None:
    count = sessions.count(site, hold.DIRECT_NAME, "idle")
    return _("{count} sessions past the pool").format(count=count) if count >= DIRECT else None


def _ask_for_checkpoints(site: Site) -> None:
    for _number in range(CHECKPOINTS):
        sessions.run(site, "checkpoint_now")


def _are_requested(site: Site) -> str | None:
    requested, timed = sessions.run(site, "requested_checkpoints")
    if requested < CHECKPOINTS or requested <= timed:
        return None
    return _("{count} checkpoints were asked for").format(count=requested)


INCIDENTS = (
    Incident(
        id="ddl-behind-long-read",
        runbook="db-slow",
        title=N_("A migration waits for a long read"),
        does=N_("An ALTER TABLE waits for a session that reads the table; four more readers wait behind it."),
        notice=N_("Everything that reads the consumption hangs, though nobody has locked it."),
        root=Root("ddl-behind-long-read", DATABASE),
        fault=held((hold.WAITER_NAME, hold.DDL_NAME, hold.READER_NAME), _is_queueing, "ddl", str(READERS)),
    ),
    Incident(
        id="idle-in-transaction",
        runbook="db-slow",
        title=N_("A forgotten transaction keeps dead rows"),
        does=N_(
            "A report's transaction sits idle; all notifications are rewritten, and vacuum may remove nothing."
        ),
        notice=N_("Queries become slower from day to day; vacuum runs and does not help."),
        root=Root("idle-in-transaction", DATABASE, "warning"),
        fault=held((hold.SNAPSHOT_NAME,), _keeps_dead_rows, "snapshot").then(
            _leave_dead_rows, lambda site: sessions.run(site, "vacuum_notifications")
        ),
    ),
    Incident(
        id="application-holds-transactions",
        runbook="db-slow",
        title=N_("The application keeps its transactions open while it asks SQL Server"),
        does=N_(
            "Thirty clients of the pool begin a transaction, and ask somebody else for three seconds before it ends."
        ),
        notice=N_("Requests wait for the pool, and the database has nothing to do."),
        root=Root("application-holds-transactions", DATABASE),
        fault=held((hold.HOLDING_NAME,), _holds, "transactions", str(HOLDING), is_pooled=True).then(
            heal=sessions.await_pool
        ),
    ),
    Incident(
        id="query-storm",
        runbook="db-slow",
        title=N_("One statement comes again and again"),
        does=N_("Twelve clients of the pool send the same cheap statement without a pause."),
        notice=N_("Everything is a little slower; the busiest statement was never a slow one."),
        root=Root("query-storm", DATABASE, "warning"),
        fault=held(
            (hold.REPEATING_NAME,), _repeats, "repeated", "read_cheap", str(REPEATING), is_pooled=True
        ),
    ),
    Incident(
        id="index-dropped",
        runbook="db-slow",
        title=N_("An index is gone"),
        does=N_("The index of sessions by user is dropped, and twelve clients ask by it all the time."),
        notice=N_("What was quick yesterday is slow today."),
        root=Root("index-missing", DATABASE, "warning"),
        fault=held(
            (hold.REPEATING_NAME,), _is_unindexed, "repeated", "read_sessions", str(REPEATING), is_pooled=True
        ).then(
            lambda site: sessions.run_as_owner(site, "drop_index"),
            lambda site: sessions.run_as_owner(site, "create_index"),
        ),
    ),
    Incident(
        id="statistics-stale",
        runbook="db-slow",
        title=N_("A load was never analysed"),
        does=N_("A table is loaded with 40,000 rows, and its own option keeps autovacuum from analysing it."),
        notice=N_("Queries of the new table take plans made for an empty one."),
        root=Root("statistics-stale", DATABASE, "warning"),
        fault=Fault(
            break_=lambda site: sessions.run_as_owner(site, "load_table"),
            evidence=_is_unanalysed,
            heal=lambda site: sessions.run_as_owner(site, "drop_table"),
        ),
    ),
    Incident(
        id="autovacuum-off",
        runbook="db-slow",
        title=N_("autovacuum is switched off"),
        does=N_("ALTER SYSTEM SET autovacuum = off, and nobody took it back."),
        notice=N_("Nothing today; in some weeks every table is larger and slower."),
        root=Root("autovacuum-off", DATABASE, "warning"),
        fault=sql("autovacuum_off", "autovacuum_on", _nobody_cleans).then(
            lambda site: sessions.run(site, "reload"), lambda site: sessions.run(site, "reload")
        ),
    ),
    Incident(
        id="connections-bypass-pool",
        runbook="db-slow",
        title=N_("A program goes past the pool"),
        does=N_("A dashboard opens fifteen sessions straight on PostgreSQL, as the application's user."),
        notice=N_("Nothing yet; PostgreSQL's memory and connections go to it."),
        root=Root("connections-bypass-pool", "pgbouncer/db", "warning"),
        fault=held((hold.DIRECT_NAME,), _are_direct, "direct", str(DIRECT)),
    ),
    Incident(
        id="checkpoints-requested",
        runbook="db-slow",
        title=N_("A script asks for checkpoints all the time"),
        does=N_("CHECKPOINT, thirty times; so a load does that writes more than max_wal_size allows."),
        notice=N_("Each checkpoint writes all at once; queries are slow in bursts."),
        root=Root("checkpoints-on-request", DATABASE, "warning"),
        fault=Fault(
            break_=_ask_for_checkpoints,
            evidence=_are_requested,
            heal=lambda site: sessions.run(site, "forget_checkpoints"),
        ),
    ),
)
