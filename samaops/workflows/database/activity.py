"""The clients' sessions: what each does, for how long, what it waits for."""

from __future__ import annotations

from msgspec import Struct

from samaops.checks.quantities import duration
from samaops.errors import UsageError
from samaops.i18n import _, ngettext
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows.database import look

WAITING = "waiting"
STATES = (
    "active",
    "idle",
    WAITING,
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
)


class Wanted(Struct, frozen=True):
    """Which sessions are wanted: an empty text and 0 stand for all. ``limit`` counts rows."""

    state: str = ""
    older_seconds: float = 0.0
    database: str = ""
    limit: int = 20


def activity(site: Site, wanted: Wanted) -> Table:
    """Return the clients' sessions, the longest transaction first, then the longest in its state."""
    if wanted.state and wanted.state not in STATES:
        text = _("--state: {state!r} is none of {states}")
        raise UsageError(text.format(state=wanted.state, states=", ".join(STATES)))
    with look.connected(site) as client:
        sessions = client.read("activity")
        role = client.read_one("server")["role"]
    rows = [
        _row(row)
        for row in sessions
        if row["backend_type"] in ("client backend", None) and not row["is_ours"]
    ]
    chosen = sorted((row for row in rows if _is_wanted(row, wanted)), key=_worst_first)
    is_hidden = any(row["query"] == look.HIDDEN for row in sessions)
    columns = (
        Column("pid", _("pid"), True, is_copied=True),
        Column("for", _("since"), True),
        Column("state", _("state")),
        Column("wait", _("waits for")),
        Column("who", _("client")),
        Column("query", _("statement")),
    )
    notes = [look.missing_monitor(role)] if is_hidden else []
    if len(chosen) > wanted.limit:
        text = _("{shown} of {count} are shown; more with --limit {count}")
        notes.append(text.format(shown=wanted.limit, count=len(chosen)))
    shown = chosen[: wanted.limit]
    return look.table(site, "activity", columns, shown, _answer(rows, chosen), notes, is_whole=not is_hidden)


def _row(session: look.Row) -> look.Row:
    seconds = session["transaction_seconds"]
    in_state = session["state_seconds"]
    who = "/".join(str(part) for part in (session["user"], session["application"], session["client"]) if part)
    wait = session["wait_event_type"]
    return {
        "pid": session["pid"],
        "state": session["state"],
        "wait": f"{wait}:{session['wait_event']}" if wait and session["state"] != "idle" else None,
        "for": duration(max(0.0, seconds if seconds is not None else in_state or 0.0)),
        "transaction_seconds": seconds,
        "state_seconds": in_state,
        "query_seconds": session["query_seconds"] if session["state"] == "active" else None,
        "who": who,
        "user": session["user"],
        "application": session["application"],
        "client": session["client"],
        "database": session["database"],
        "query": look.statement(session["query"]),
    }


def _is_wanted(row: look.Row, wanted: Wanted) -> bool:
    is_of_state = not wanted.state or row["state"] == wanted.state
    if wanted.state == WAITING:
        is_of_state = (row["wait"] or "").startswith(("Lock:", "LWLock:", "IO:", "IPC:", "BufferPin:"))
    is_old = not wanted.older_seconds or (row["transaction_seconds"] or 0.0) > wanted.older_seconds
    return is_of_state and is_old and wanted.database in ("", row["database"])


def _worst_first(row: look.Row) -> tuple[float, float]:
    return -(row["transaction_seconds"] or 0.0), -(row["state_seconds"] or 0.0)


def _answer(rows: list[look.Row], chosen: list[look.Row]) -> str:
    active = sum(row["state"] == "active" for row in rows)
    in_transaction = sum(str(row["state"]).startswith("idle in transaction") for row in rows)
    text = ngettext(
        "{count} session of clients: {active} active, {idle} idle in a transaction",
        "{count} sessions of clients: {active} active, {idle} idle in a transaction",
        len(rows),
    ).format(count=len(rows), active=active, idle=in_transaction)
    oldest = chosen[0] if chosen and chosen[0]["transaction_seconds"] else None
    if oldest is None:
        return text
    return _("{text}; the oldest transaction is that of pid {pid}, for {age}").format(
        text=text, pid=oldest["pid"], age=oldest["for"]
    )
