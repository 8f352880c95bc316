"""Who has the server's connections: by state, user, client, application, database, against what there may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.pgbouncer import ConsoleClient
from samaops.collect.pgbouncer import read_console
from samaops.errors import UsageError
from samaops.i18n import N_, _, ngettext
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

_HEADINGS = {
    "state": N_("state"),
    "user": N_("user"),
    "client": N_("client"),
    "application": N_("application"),
    "database": N_("database"),
}
BY = tuple(_HEADINGS)
_BY_DEFAULT = ("state", "user", "client", "application")


class _Pool(Struct, frozen=True):
    """How many connections PgBouncer may open; None: not known, for the reason in the note."""

    most: int | None = None
    note: str = ""


def connections(site: Site, by: str, limit: int) -> Table:
    """Return the connections by each of the four, or by ``by`` alone: one of ``BY``, or several with commas together."""
    together = [name.strip() for name in by.split(",")] if by else []
    if unknown := [name for name in together if name not in BY]:
        text = _("--by: {name!r} is none of {names}")
        raise UsageError(text.format(name=unknown[0], names=", ".join(BY)))
    with look.connected(site) as client:
        sessions = client.read("connections")
        limits = client.read_one("connection_limits")
    pool = _pool(site)
    used = sum(row["connections"] for row in sessions)
    usable = max(1, limits["max_connections"] - limits["reserved_for_superusers"] - limits["reserved"])
    groups = [together] if together else [[name] for name in _BY_DEFAULT]
    rows = [row for names in groups for row in _grouped(sessions, names, usable, limits)]
    is_hidden = any(row["is_hidden"] for row in sessions)
    notes = [look.missing_monitor(limits["role"])] if is_hidden else []
    notes += [note for note in (pool.note, _too_large(pool, usable)) if note]
    figures = {
        "used": used,
        "usable": usable,
        "max_connections": limits["max_connections"],
        "reserved_for_superusers": limits["reserved_for_superusers"],
        "reserved": limits["reserved"],
        "percent": round(100 * used / usable, 1),
        "pool_most": pool.most,
    }
    columns = (
        Column("by", _("by")),
        Column("name", _("what")),
        Column("connections", _("all"), is_number=True),
        Column("percent", "%", is_number=True),
        Column("active", _("active"), is_number=True),
        Column("idle", _("idle"), is_number=True),
        Column("in_transaction", _("in tx"), is_number=True),
        Column("oldest", _("oldest tx"), is_number=True),
    )
    shown = [row for names in groups for row in [each for each in rows if each["keys"] == names][:limit]]
    notes += lists.shown_of(len(rows), len(shown)) if len(shown) < len(rows) else []
    is_whole = not is_hidden and not pool.note
    table = lists.table(site, "connections", columns, shown, _answer(figures), notes, is_whole=is_whole)
    return replace(table, figures=figures)


def _grouped(
    sessions: Sequence[look.Row], names: list[str], usable: int, limits: look.Row
) -> Iterator[look.Row]:
    groups: dict[tuple[str, ...], list[look.Row]] = {}
    for row in sessions:
        groups.setdefault(tuple(str(row[name] or "-") for name in names), []).append(row)
    counted = [(sum(row["connections"] for row in rows), key, rows) for key, rows in groups.items()]
    for count, key, rows in sorted(counted, key=lambda each: (-each[0], each[1])):
        oldest = max((row["transaction_seconds"] or 0.0 for row in rows), default=0.0)
        own = limits.get(f"of_{names[0]}", {}).get(key[0]) if len(names) == 1 else None
        yield {
            "keys": names,
            "by": ", ".join(_(_HEADINGS[name]) for name in names),
            "name": "/".join(key) + (_(" (limit {limit})").format(limit=own) if own is not None else ""),
            **dict(zip(names, key, strict=True)),
            "connections": count,
            "limit": own,
            "percent": round(100 * count / usable, 1),
            "active": _in(rows, "active"),
            "idle": _in(rows, "idle"),
            "in_transaction": _in(rows, "idle in transaction"),
            "oldest": duration(max(0.0, oldest)) if oldest else "-",
            "transaction_seconds": oldest or None,
            "idle_seconds": max((row["idle_seconds"] or 0.0 for row in rows), default=0.0) or None,
        }


def _in(rows: Sequence[look.Row], state: str) -> int:
    """Return how many are in a state; ``idle in transaction`` also when the transaction has failed."""
    return sum(row["connections"] for row in rows if row["state"].removesuffix(" (aborted)") == state)


def _pool(site: Site) -> _Pool:
    settings = site.settings.pgbouncer
    if settings is None:
        return _Pool()
    client = ConsoleClient(site.host_of(settings), settings, settings.timeout)
    try:
        client.connect()
        console = read_console(client)
    except ClientError as error:
        text = _("how many connections PgBouncer may open could not be read: {reason}")
        return _Pool(None, text.format(reason=error.message))
    finally:
        client.close()
    return _Pool(sum(console.most_of(database) for database in console.databases))


def _too_large(pool: _Pool, usable: int) -> str:
    if pool.most is None or pool.most <= usable:
        return ""
    return _("the pools may open {most} connections, more than the {usable} that are usable").format(
        most=pool.most, usable=usable
    )


def _answer(figures: look.Row) -> str:
    text = ngettext(
        "{used} of {usable} usable connections is taken ({percent:.1f} %): max_connections {most}, {kept} reserved",
        "{used} of {usable} usable connections are taken ({percent:.1f} %): max_connections {most}, {kept} reserved",
        figures["used"],
    ).format(
        used=figures["used"],
        usable=figures["usable"],
        percent=figures["percent"],
        most=figures["max_connections"],
        kept=figures["reserved_for_superusers"] + figures["reserved"],
    )
    if figures["pool_most"] is None:
        return text
    return _("{text}; the pools may open {pool}").format(text=text, pool=figures["pool_most"])
