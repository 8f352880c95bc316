"""The clients' sessions: what each does, for how long, what it waits for."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from samaops.errors import UsageError
from samaops.i18n import _, ngettext
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import lists
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
    user: str = ""
    application: str = ""
    limit: int = 20


def activity(site: Site, wanted: Wanted) -> Table:
    """Return the clients' sessions, the longest transaction first, then the longest in its state."""
    if wanted.state and wanted.state not in STATES:
        text = _("--state: {state!r} is none of {states}")
        raise UsageError(text.format(state=wanted.state, states=", ".join(STATES)))
    with look.connected(site) as client:
        rights = client.read_one("rights")
        sessions = client.read("backends")
    rows = [_row(row) for row in sessions if row["type"] in ("client backend", None) and not row["is_ours"]]
    chosen = sorted((row for row in rows if _is_wanted(row, wanted)), key=_worst_first)
    columns = (
        Column("pid", _("pid"), True, is_copied=True),
        Column("for", _("since"), True),
        Column("state", _("state")),
        Column("held", _("waits for")),
        Column("who", _("client")),
        Column("query", _("statement")),
    )
    notes = [] if rights["sees_sessions"] else [look.missing_monitor(rights["role"])]
    notes += lists.shown_of(len(chosen), wanted.limit)
    shown = chosen[: wanted.limit]
    answer = _answer(rows, chosen)
    table = lists.table(site, "activity", columns, shown, answer, notes, is_whole=rights["sees_sessions"])
    is_blocked = any(row["blocked_by"] for row in shown)
    return replace(table, commands=(typed(site, "db locks"),) if is_blocked else ())


def _row(session: look.Row) -> look.Row:
    seconds = session["transaction_seconds"]
    in_state = session["state_seconds"]
    event = f"{session['wait_event_type']}:{session['wait_event']}"
    wait = event if session["wait_event_type"] and session["state"] != "idle" else None
    blocked_by = list(dict.fromkeys(session["blocked_by"]))
    before = [_("pid {pid}").format(pid=pid) if pid else _("a prepared transaction") for pid in blocked_by]
    return {
        "pid": session["pid"],
        "state": session["state"],
        "wait": wait,
        "blocked_by": blocked_by,
        "held": ", ".join(before) or wait,
        "for": duration(max(0.0, seconds if seconds is not None else in_state or 0.0)),
        "transaction_seconds": seconds,
        "state_seconds": in_state,
        "query_seconds": session["query_seconds"] if session["state"] == "active" else None,
        "xmin_age": session["xmin_age"],
        "who": look.who(session),
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
    is_whose = all(
        asked in ("", row[key])
        for key, asked in (
            ("database", wanted.database),
            ("user", wanted.user),
            ("application", wanted.application),
        )
    )
    return is_of_state and is_old and is_whose


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
