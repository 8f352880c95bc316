"""The databases that the pool offers: where they lead, how many connections they may have, which are held."""

from __future__ import annotations

from samaops.i18n import _, ngettext
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows.lists import table
from samaops.workflows.pool import look


def databases(site: Site) -> Table:
    """Return the databases: paused and disabled ones first, then the fullest."""
    with look.connected(site) as client:
        shown, state = client.show("databases"), look.state_of(client)
        default = {row["key"]: row["value"] for row in client.show("config")}.get("default_pool_size")
    held, disabled = look.paused(shown, state), look.disabled(shown)
    rows = [_row(row, default, held) for row in shown if row["name"] != look.CONSOLE]
    rows.sort(key=lambda row: (not row["is_paused"], not row["is_disabled"], -(row["connections"] or 0)))
    columns = (
        Column("name", _("database")),
        Column("leads_to", _("leads to")),
        Column("connections", _("connections"), True),
        Column("pool_size", _("size"), True),
        Column("is_paused", _("paused")),
        Column("is_disabled", _("disabled")),
    )
    notes = []
    own = [row["name"] for row in rows if row["has_own_size"]]
    if own:
        text = _("a pool_size of their own have: {names}; default_pool_size, {size}, does not rule for them")
        notes.append(text.format(names=", ".join(own), size=default))
    return table(site, "pool_databases", columns, rows, _answer(rows, held, disabled), notes)


def _row(row: look.Row, default: str | None, held: list[str]) -> look.Row:
    size, limit = look.whole(row, "pool_size"), look.whole(row, "max_connections", "max_server_connections")
    host, port = row.get("host") or _("its socket"), f":{row['port']}" if row.get("port") else ""
    return {
        "name": row["name"],
        "leads_to": f"{host}{port}/{row.get('database') or ''}",
        "host": row.get("host"),
        "port": row.get("port"),
        "database": row.get("database"),
        "user": row.get("force_user"),
        "connections": look.whole(row, "current_connections", "current_server_connections"),
        "pool_size": size,
        "has_own_size": None if size is None or default is None else str(size) != default,
        "reserve": look.whole(row, "reserve_pool_size", "reserve_pool"),
        "limit": limit or None,
        "pool_mode": row.get("pool_mode") or None,
        "is_paused": True if row["name"] in held else None if row.get("paused") is None else False,
        "is_disabled": None if row.get("disabled") is None else bool(row["disabled"]),
    }


def _answer(rows: list[look.Row], held: list[str], disabled: list[str]) -> str:
    count = ngettext("{count} database in the pool", "{count} databases in the pool", len(rows))
    parts = [count.format(count=len(rows))]
    if held:
        parts.append(_("paused: {databases}").format(databases=", ".join(held)))
    if disabled:
        parts.append(_("disabled: {databases}").format(databases=", ".join(disabled)))
    if not held and not disabled:
        parts.append(_("none of them paused or disabled"))
    return ", ".join(parts)
