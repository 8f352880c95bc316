"""Both sides of the pool: its clients, and its connections to PostgreSQL; who has which."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from samaops.errors import UsageError
from samaops.i18n import _, ngettext
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.lists import table
from samaops.workflows.pool import look


class Wanted(Struct, frozen=True):
    """Which rows are wanted: an empty text stands for all."""

    state: str = ""
    database: str = ""
    limit: int = 20


def clients(site: Site, wanted: Wanted) -> Table:
    """Return the clients, who waits longest first, then who has had a connection longest."""
    rows, _servers = _both(site)
    rows.sort(
        key=lambda row: (
            -(row["wait_seconds"] or 0.0),
            row["server_pid"] is None,
            -(row["request_seconds"] or 0.0),
        )
    )
    columns = (
        Column("for", _("since"), True),
        Column("state", _("state")),
        Column("address", _("client")),
        Column("who", _("user")),
        Column("application", _("application")),
        Column("server_pid", _("pid"), True, is_copied=True),
    )
    chosen_rows = _chosen(rows, wanted)
    answer = _answer_of_clients(rows)
    notes = _notes(site, chosen_rows, wanted, "server_pid")
    return table(site, "pool_clients", columns, chosen_rows[: wanted.limit], answer, notes)


def servers(site: Site, wanted: Wanted) -> Table:
    """Return the connections to PostgreSQL, those that work first, the longest of them first."""
    _clients, rows = _both(site)
    rows.sort(key=lambda row: (row["state"] != "active", -(row["request_seconds"] or 0.0)))
    columns = (
        Column("pid", _("pid"), True, is_copied=True),
        Column("for", _("since"), True),
        Column("state", _("state")),
        Column("who", _("user")),
        Column("client", _("works for")),
        Column("age", _("open for"), True),
    )
    chosen_rows = _chosen(rows, wanted)
    return table(
        site,
        "pool_servers",
        columns,
        chosen_rows[: wanted.limit],
        _answer_of_servers(rows),
        _notes(site, chosen_rows, wanted, "pid"),
    )


def _both(site: Site) -> tuple[list[look.Row], list[look.Row]]:
    with look.connected(site) as console:
        client_rows, server_rows = console.show("clients"), console.show("servers")
    now = look.now_of(client_rows)
    of_link = {row.get("ptr"): row for row in client_rows if row.get("ptr")}
    pids = {row.get("ptr"): look.whole(row, "remote_pid") for row in server_rows if row.get("ptr")}
    return (
        [_client(row, now, pids.get(row.get("link"))) for row in look.of_databases(client_rows)],
        [_server(row, now, of_link.get(row.get("link"))) for row in look.of_databases(server_rows)],
    )


def _client(row: look.Row, now: datetime | None, pid: int | None) -> look.Row:
    wait = look.seconds(row, "wait")
    request = look.since(row.get("request_time"), now)
    shown = wait or request
    return {
        "state": row["state"],
        "for": None if shown is None else duration(shown),
        "wait_seconds": wait,
        "request_seconds": request,
        "connected_seconds": look.since(row.get("connect_time"), now),
        "address": _address(row),
        "who": f"{row['user']}@{row['database']}",
        "user": row["user"],
        "database": row["database"],
        "application": row.get("application_name"),
        "tls": row.get("tls"),
        "server_pid": pid or None,
    }


def _server(row: look.Row, now: datetime | None, client: look.Row | None) -> look.Row:
    request, age = (look.since(row.get(name), now) for name in ("request_time", "connect_time"))
    who = " ".join(filter(None, (_address(client), client.get("application_name")))) if client else None
    return {
        "pid": look.whole(row, "remote_pid") or None,
        "state": row["state"],
        "for": None if request is None else duration(request),
        "request_seconds": request,
        "age": None if age is None else duration(age),
        "connected_seconds": age,
        "who": f"{row['user']}@{row['database']}",
        "user": row["user"],
        "database": row["database"],
        "client": who,
        "is_closing": None if row.get("close_needed") is None else bool(row["close_needed"]),
        "tls": row.get("tls"),
        "server": _address(row),
    }


def _address(row: look.Row) -> str:
    """Return where somebody is connected from; a port of 0 is a Unix socket."""
    return f"{row.get('addr') or ''}:{row['port']}" if row.get("port") else str(row.get("addr") or "")


def _chosen(rows: list[look.Row], wanted: Wanted) -> list[look.Row]:
    states = sorted({str(row["state"]) for row in rows})
    if (
        wanted.state
        and rows
        and wanted.state not in {*states, "active", "idle", "used", "waiting", "login", "new", "tested"}
    ):
        text = _("--state: {state!r} is none of {states}")
        raise UsageError(text.format(state=wanted.state, states=", ".join(states)))
    return [
        row for row in rows if wanted.state in ("", row["state"]) and wanted.database in ("", row["database"])
    ]


def _notes(site: Site, rows: list[look.Row], wanted: Wanted, pid: str) -> list[str]:
    notes = []
    if len(rows) > wanted.limit:
        text = _("{shown} of {count} are shown; more with --limit {count}")
        notes.append(text.format(shown=wanted.limit, count=len(rows)))
    worst = next((row[pid] for row in rows if row["state"] == "active" and row[pid]), None)
    if worst:
        command = typed(site, f"db cancel {worst}")
        look_first = typed(site, "db activity")
        text = _("a pid is that of PostgreSQL: {look} shows what it does, {command} ends that")
        notes.append(text.format(look=look_first, command=command))
    return notes


def _answer_of_clients(rows: list[look.Row]) -> str:
    waiting = [row for row in rows if row["state"] == "waiting"]
    linked = sum(row["server_pid"] is not None for row in rows)
    text = ngettext(
        "{count} client of the pool: {waiting} waiting, {linked} with a connection",
        "{count} clients of the pool: {waiting} waiting, {linked} with a connection",
        len(rows),
    ).format(count=len(rows), waiting=len(waiting), linked=linked)
    if not waiting:
        return text
    longest = max(waiting, key=lambda row: row["wait_seconds"] or 0.0)
    if longest["wait_seconds"] is None:
        return text
    return _("{text}; {client} has waited longest, {seconds:.1f} s").format(
        text=text, client=longest["address"], seconds=longest["wait_seconds"]
    )


def _answer_of_servers(rows: list[look.Row]) -> str:
    busy = [row for row in rows if row["state"] == "active"]
    text = ngettext(
        "{count} connection to PostgreSQL, {busy} in use",
        "{count} connections to PostgreSQL, {busy} in use",
        len(rows),
    ).format(count=len(rows), busy=len(busy))
    if not busy or busy[0]["request_seconds"] is None:
        return text
    return _("{text}; longest without a new request is pid {pid}, for {age}").format(
        text=text, pid=busy[0]["pid"], age=busy[0]["for"]
    )
