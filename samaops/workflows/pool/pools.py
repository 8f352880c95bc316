"""The pools: who waits, for how long, what is saturated or paused."""

from __future__ import annotations

from samaops.i18n import _, joined, ngettext
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows.lists import table
from samaops.workflows.pool import look

_BUSY = ("sv_active", "sv_active_cancel", "sv_being_canceled")
_FREE = ("sv_idle", "sv_used", "sv_tested")


def pools(site: Site, database: str = "") -> Table:
    """Return the pools, whose clients wait longest first, then the fullest."""
    with look.connected(site) as client:
        shown, databases = client.show("pools"), client.show("databases")
        state = look.state_of(client)
    by_name = {row["name"]: row for row in databases}
    rows = [_row(row, by_name.get(row["database"], {})) for row in look.of_databases(shown, database)]
    rows.sort(key=_worst_first)
    columns = (
        Column("pool", _("pool"), is_copied=True),
        Column("clients_waiting", _("waiting"), True),
        Column("wait", _("longest"), True),
        Column("clients_active", _("clients"), True),
        Column("servers_busy", _("busy"), True),
        Column("servers_free", _("free"), True),
        Column("pool_size", _("size"), True),
    )
    held = look.paused(databases, state)
    answer = _answer(rows, [name for name in held if database in ("", name)])
    return table(site, "pools", columns, rows, answer, _notes(rows, look.disabled(databases)))


def _row(row: look.Row, database: look.Row) -> look.Row:
    wait = look.seconds(row, "maxwait")
    return {
        "pool": f"{row['database']}/{row['user']}",
        "database": row["database"],
        "user": row["user"],
        "clients_active": look.whole(row, "cl_active"),
        "clients_waiting": look.whole(row, "cl_waiting"),
        "wait": f"{wait:.1f} s" if wait else None,
        "maxwait_seconds": wait,
        "servers_busy": look.whole(row, *_BUSY),
        "servers_free": look.whole(row, *_FREE),
        "servers_login": look.whole(row, "sv_login"),
        "pool_size": look.whole(database, "pool_size"),
        "reserve": look.whole(database, "reserve_pool_size", "reserve_pool"),
        "pool_mode": row.get("pool_mode") or None,
        "is_paused": None if database.get("paused") is None else bool(database["paused"]),
    }


def _fullness(row: look.Row) -> float:
    return (row["servers_busy"] or 0) / row["pool_size"] if row["pool_size"] else 0.0


def _worst_first(row: look.Row) -> tuple[float, ...]:
    return -(row["maxwait_seconds"] or 0.0), -(row["clients_waiting"] or 0), -_fullness(row)


def _answer(rows: list[look.Row], held: list[str]) -> str:
    parts = []
    if held:
        parts.append(_("paused: {databases}").format(databases=", ".join(held)))
    waiting = sum(row["clients_waiting"] or 0 for row in rows)
    if waiting:
        text = ngettext(
            "{count} client waits for a connection, in {pool} for {seconds:.1f} s",
            "{count} clients wait for a connection, longest in {pool} for {seconds:.1f} s",
            waiting,
        )
        seconds = rows[0]["maxwait_seconds"] or 0.0
        parts.append(text.format(count=waiting, pool=rows[0]["pool"], seconds=seconds))
    elif rows:
        parts.append(_("no client waits for a connection"))
    fullest = max(rows, key=_fullness, default=None)
    if fullest is None:
        parts.append(_("no pool is in use"))
    else:
        is_full = _fullness(fullest) >= 1
        full = _("full: {pool} uses {busy} of {size}")
        text = full if is_full else _("the fullest is {pool}, which uses {busy} of {size}")
        parts.append(
            text.format(pool=fullest["pool"], busy=fullest["servers_busy"], size=fullest["pool_size"])
        )
    return look.sentence(joined(parts))


def _notes(rows: list[look.Row], disabled: list[str]) -> list[str]:
    notes = []
    opening = sum(row["servers_login"] or 0 for row in rows)
    if opening:
        text = ngettext("{count} connection is being opened", "{count} connections are being opened", opening)
        notes.append(text.format(count=opening))
    if disabled:
        notes.append(_("disabled, new clients are refused: {names}").format(names=", ".join(disabled)))
    return notes
