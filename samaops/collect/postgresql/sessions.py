"""What rows of pg_stat_activity say: who is connected, who works, waits, holds and is in the way. No connection here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from samaops.collect import statements
from samaops.collect.values import as_read, needed
from samaops.facts.postgresql import Activity, Connections, Crowd, Holder, LockWait, Session
from samaops.facts.postgresql_changes import Backend

Row = dict[str, Any]
TOP = 10
# From so many transactions that wait for their clients for so long it is what an application does (postgresql.transaction.held).
MANY, HELD_SECONDS = 5, 1.0
# Waits that mean work is held up; Client, Activity, Timeout and Extension do not.
_WAITS = ("Lock", "LWLock", "IO", "IPC", "BufferPin")
# Dumps and base backups run long by nature, under these names by default.
BACKUPS = ("pg_dump", "pg_dumpall", "pg_basebackup", "pg_receivewal", "barman", "pgbackrest", "samaops")


def connections(rows: list[Row]) -> Connections:
    """Return how many clients there are, of all sessions."""
    # Without privilege backend_type is hidden: then whoever has a user is taken for a client.
    clients = [row for row in rows if row["backend_type"] in ("client backend", None) and row["user"]]
    return Connections(
        used=len(clients),
        by_state=dict(Counter(row["state"] or "" for row in clients)),
        by_client=dict(Counter(_client_of(row) for row in clients).most_common(TOP)),
        started_within_10_s=sum((row["session_seconds"] or 60) < 10 for row in clients if not row["is_ours"]),
    )


def activity(rows: list[Row]) -> Activity:
    """Return what the others do, of all sessions."""
    others = [row for row in rows if not row["is_ours"]]
    clients = [row for row in others if row["backend_type"] == "client backend"]
    active = [row for row in clients if row["state"] == "active"]
    idle = [row for row in clients if (row["state"] or "").startswith("idle in transaction")]
    queries = [row for row in active if (row["application"] or "").partition(" ")[0] not in BACKUPS]
    return Activity(
        active=len(active),
        longest_queries=_longest(queries, "query_seconds"),
        idle_in_transaction=_longest(idle, "state_seconds"),
        idle_in_transaction_count=len(idle),
        waiting=dict(Counter(_wait_of(row) for row in active if row["wait_event_type"] in _WAITS)),
        wraparound_vacuums=tuple(
            statements.shown(row["query"])
            for row in others
            if "to prevent wraparound" in (row["query"] or "")
        ),
        holders=_holders(others),
        vacuum_workers=sum(row["backend_type"] == "autovacuum worker" for row in others),
        crowd=_crowd(active),
    )


def may_be_held(activity: Activity) -> bool:
    """Return whether many transactions wait for their clients, most of them not yet for long: a second look tells.

    Between two statements each does for a moment; clients that begin together are all in that moment together.
    """
    waiting = activity.idle_in_transaction_count
    held = [
        session for session in activity.idle_in_transaction if (session.state_seconds or 0) >= HELD_SECONDS
    ]
    return waiting >= MANY > len(held) and waiting >= activity.active


def require_state(row: Row) -> None:
    """Raise ClientError where a client's session does not say what it does, or since when."""
    if row["backend_type"] not in (None, "", "client backend") or not row["user"]:
        return  # what works in the background may have no state
    names = ["backend_type", "state", "state_seconds"]
    for name in [*names, "query_seconds"] if row["state"] == "active" else names:
        needed(row, name, stage="pg_stat_activity")


def _longest(rows: list[Row], by: str) -> tuple[Session, ...]:
    return tuple(session(row) for row in sorted(rows, key=lambda row: -(row[by] or 0))[:TOP])


def session(row: Row) -> Session:
    """Return one session as it is shown."""
    return Session(
        pid=row["pid"],
        user=row["user"] or "",
        database=row["database"] or "",
        application=row["application"] or "",
        client=row["client"] or "",
        state=row["state"] or row["backend_type"] or "",
        wait=_wait_of(row),
        transaction_seconds=_rounded(row["transaction_seconds"]),
        query_seconds=_rounded(row["query_seconds"]),
        state_seconds=_rounded(row["state_seconds"]),
        query=statements.shown(row["query"]),
    )


def backend(row: Row) -> Backend:
    """Return one session as a change needs to know it."""
    names = ("pid", "started", "is_ours", "is_superuser", "may_signal", "query_started")
    kept = {name: row[name] for name in names}
    texts = {name: row[name] or "" for name in ("type", "user", "database", "application", "client", "state")}
    seconds = {
        name: _rounded(row[name]) for name in ("transaction_seconds", "query_seconds", "state_seconds")
    }
    blocked_by = tuple(sorted(set(needed(row, "blocked_by", stage="backends"))))
    query = statements.shown(row["query"])
    return as_read(
        {**kept, **texts, **seconds, "wait": _wait_of(row), "blocked_by": blocked_by, "query": query}, Backend
    )


def lock_wait(row: Row, leaders: dict[int, int]) -> LockWait:
    """Return who waits for whom; ``leaders`` are the pids of the leaders of parallel workers."""
    # A parallel worker waits on behalf of its leader; the blockers are named by their leaders already.
    own: int = row["pid"]
    pid = leaders.get(own, own)
    blocked_by = tuple(sorted(set(needed(row, "blocked_by", stage="locks")) - {pid}))
    return LockWait(
        pid, blocked_by, row["locktype"], row["mode"], row["relation"], round(needed(row, "seconds"), 2)
    )


def _holders(rows: list[Row]) -> tuple[Holder, ...]:
    oldest = sorted((row for row in rows if row["xmin_age"]), key=lambda row: -row["xmin_age"])
    return tuple(
        Holder(
            row["backend_type"],
            f"pid {row['pid']} {_client_of(row)}",
            row["xmin_age"],
            _rounded(row["transaction_seconds"]),
            row["pid"],
            row["state"] or "",
        )
        for row in oldest[:3]
    )


def _crowd(active: list[Row]) -> Crowd | None:
    """Return the statement that most sessions work on, but those that wait for a lock: these have another reason."""
    working = [row for row in active if row["query_id"] and row["wait_event_type"] != "Lock"]
    if not working:
        return None
    ((query_id, sessions),) = Counter(row["query_id"] for row in working).most_common(1)
    same = [row for row in working if row["query_id"] == query_id]
    applications = Counter(statements.cut(row["application"]) for row in same)
    return Crowd(query_id, sessions, statements.shown(same[0]["query"]), dict(applications.most_common(TOP)))


def _client_of(row: Row) -> str:
    return "/".join(statements.cut(part) for part in (row["user"], row["application"], row["client"]) if part)


def _wait_of(row: Row) -> str:
    return f"{row['wait_event_type']}:{row['wait_event']}" if row["wait_event_type"] else ""


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(0.0, seconds), 2)
