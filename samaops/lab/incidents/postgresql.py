"""PostgreSQL stopped, its database renamed, sessions that wait for one lock, no connection left, a slot that keeps WAL."""

from __future__ import annotations

from typing import Any

import psycopg
from msgspec.structs import replace

from samaops.i18n import N_, _, joined
from samaops.lab import database
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import (
    LIVE_PERCENT,
    fullness,
    own_disk,
    sql,
    stopped,
    used_percent,
)
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import hold, sessions
from samaops.lab.layout import DATABASE
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

SLOT = "ancien_replica"
WRITTEN_BYTES = 16 * 1024**2
LONGEST_WAL_BYTES = 1024**3
WAITERS = 4
LOCKS, CONNECTIONS = "lock-chain", "postgresql-connections-exhausted"
GONE_SECONDS = 10.0
# Something in the lab asks the database every few seconds.
WAIT_SECONDS = 15.0
PUT_ASIDE = "samaconso_before_restore"


def _write_wal(site: Site) -> None:
    """Write WAL until the disk is nearly full; never until PostgreSQL stops."""
    with sessions.administrator(site) as session:
        for _number in range(LONGEST_WAL_BYTES // WRITTEN_BYTES):
            if used_percent(site, "db") >= LIVE_PERCENT + 1:
                return
            session.execute(sessions.sql("write_wal"))
    raise StartError(_("the WAL does not fill the disk"))


def _slot_keeps_wal(site: Site) -> str | None:
    kept = sessions.run(site, "slot_behind", {"slot": SLOT})
    full = fullness(site, "db")
    if not kept or full is None:
        return None
    text = _("inactive slot {slot} keeps {size} MB of WAL")
    return joined((text.format(slot=SLOT, size=int(kept[0]) // 1024**2), full))


def _remove_wal(site: Site) -> None:
    """Remove the WAL that the slot kept, and forget the checkpoints that filling the disk has forced."""
    with sessions.administrator(site) as session:
        for step in ("checkpoint", "reset_statistics"):
            session.execute(database.sql(step))


def _is_blocking(site: Site) -> str | None:
    blocking = sessions.run(site, "blocked_sessions")
    if not blocking or blocking[1] < WAITERS:
        return None
    return _("session {pid} is idle in its transaction and blocks {count} others").format(
        pid=blocking[0], count=blocking[1]
    )


def _end_lock_chain(site: Site) -> None:
    site.end(LOCKS)
    sessions.end(site, hold.HOLDER_NAME)
    sessions.end(site, hold.WAITER_NAME)


def _no_connection_is_left(site: Site) -> str | None:
    words = sessions.refusal(site)
    is_full = "remaining connection slots" in words or "too many clients" in words
    return words if is_full else None


def _give_connections_back(site: Site) -> None:
    site.end(CONNECTIONS)
    sessions.end(site, hold.GREEDY_NAME)
    if site.record("postgresql") and not wait_until(lambda: not sessions.refusal(site), GONE_SECONDS):
        raise StartError(_("PostgreSQL still admits nobody"))
    sessions.await_pool(site)


def _rename_database(site: Site) -> None:
    with sessions.administrator(site, database.SUPERUSER) as session:
        session.execute(sessions.sql("close_database"))
        if not wait_until(lambda: _is_renamed(session), GONE_SECONDS):
            raise StartError(_("the sessions in the database do not end"))
        session.execute(sessions.sql("open_renamed_database"))
    if not wait_until(lambda: sessions.longest_wait(site) > 0, WAIT_SECONDS):
        raise StartError(_("nobody waits for the database"))


def _is_renamed(session: psycopg.Connection[Any]) -> bool:
    session.execute(sessions.sql("end_database_sessions"))
    try:
        session.execute(sessions.sql("rename_database"))
    except psycopg.errors.ObjectInUse:
        return False
    return True


def _database_is_missing(site: Site) -> str | None:
    return sessions.refusal(site) or None if PUT_ASIDE in _database_names(site) else None


def _database_names(site: Site) -> set[str]:
    """Return the names that the application's database has; none while PostgreSQL does not answer."""
    try:
        with sessions.administrator(site, database.SUPERUSER) as session:
            return {str(name) for (name,) in session.execute(sessions.sql("database_names"))}
    except psycopg.OperationalError:
        return set()


def _rename_back(site: Site) -> None:
    names = _database_names(site)
    if names:
        with sessions.administrator(site, database.SUPERUSER) as session:
            if PUT_ASIDE in names:
                verb = "drop_renamed_database" if DATABASE in names else "rename_database_back"
                session.execute(sessions.sql(verb))
            session.execute(sessions.sql("open_database"))
    sessions.await_pool(site)


INCIDENTS = (
    Incident(
        id="inactive-replication-slot",
        runbook="disk-full",
        title=N_("A forgotten replication slot keeps all WAL"),
        does=N_("The slot of a replica that is gone keeps every WAL file of PostgreSQL; the disk fills."),
        notice=N_("Nothing, until PostgreSQL stops for want of space."),
        root=Root("inactive-replication-slot", "postgresql/db"),
        fault=replace(
            sql("create_slot", "drop_slot", evidence=_slot_keeps_wal, slot=SLOT), refuse=own_disk("db")
        ).then(_write_wal, _remove_wal),
    ),
    Incident(
        id="postgresql-stopped",
        runbook="db-slow",
        title=N_("PostgreSQL is stopped"),
        does=N_("Fast shutdown of PostgreSQL on server db; PgBouncer keeps running before it."),
        notice=N_("/health is fine; everything that reads or writes data fails, notifications too."),
        root=Root("postgresql-down", "postgresql/db"),
        fault=stopped("postgresql").then(heal=sessions.await_pool),
    ),
    Incident(
        id="database-renamed",
        runbook="api-down",
        title=N_("The database has another name"),
        does=N_("samaconso is renamed samaconso_before_restore, and the restore never came."),
        notice=N_("/health is fine; everything that reads or writes data fails, notifications too."),
        root=Root("postgresql-database-missing", "postgresql/db"),
        fault=Fault(break_=_rename_database, evidence=_database_is_missing, heal=_rename_back),
    ),
    Incident(
        id=LOCKS,
        runbook="db-slow",
        title=N_("One session blocks several others"),
        does=N_("A transaction changed a customer's row and sits idle; four sessions wait for that row."),
        notice=N_("Some requests hang for ever, others are as fast as always."),
        root=Root("lock-chain", "postgresql/db"),
        fault=Fault(
            break_=lambda site: sessions.hold(site, "locks", str(WAITERS)),
            evidence=_is_blocking,
            heal=_end_lock_chain,
        ),
    ),
    Incident(
        id=CONNECTIONS,
        runbook="db-slow",
        title=N_("PostgreSQL has no connection left"),
        does=N_("A program opens connections straight to PostgreSQL, past the pool, until none is given."),
        notice=N_("What has a connection in the pool still works; every new one is refused."),
        root=Root("postgresql-connections-exhausted", "postgresql/db"),
        fault=Fault(
            break_=lambda site: sessions.hold(site, "connections"),
            evidence=_no_connection_is_left,
            heal=_give_connections_back,
        ),
    ),
)
