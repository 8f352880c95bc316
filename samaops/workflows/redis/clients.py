"""Who is connected to Redis, and what each costs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from samaops.errors import UsageError
from samaops.i18n import _, ngettext
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows.lists import shown_of, table
from samaops.workflows.redis import look

SORTS = ("memory", "idle", "age")
_MUCH_BYTES = 1024 * 1024


def clients(site: Site, sort: str, limit: int) -> Table:
    """Return the clients, who costs most memory first, or who is idle or connected longest."""
    if sort not in SORTS:
        text = _("--sort: {value!r} is none of {values}")
        raise UsageError(text.format(value=sort, values=", ".join(SORTS)))
    with look.connected(site) as client:
        listed: list[dict[str, str]] = client.client_list()
        ours = str(client.client_id())
        most = int(client.info("clients").get("maxclients", 0))
    rows = [_row(each) for each in listed if each.get("id") != ours]
    key = {"memory": "memory_bytes", "idle": "idle_seconds", "age": "age_seconds"}[sort]
    rows.sort(key=lambda row: -(row[key] or 0))
    columns = (
        Column("id", "id", True, is_copied=True),
        Column("address", _("client")),
        Column("name", _("name")),
        Column("memory", _("memory"), True),
        Column("idle", _("idle"), True),
        Column("age", _("open for"), True),
        Column("command", _("command")),
    )
    made = table(
        site, "redis_clients", columns, rows[:limit], _answer(rows, most), shown_of(len(rows), limit)
    )
    figures = {
        "clients": len(rows),
        "maxclients": most,
        "memory_bytes": sum(row["memory_bytes"] or 0 for row in rows),
    }
    return replace(made, commands=tuple(_commands(site, rows)) if sort == "memory" else (), figures=figures)


def _commands(site: Site, rows: list[look.Row]) -> Iterator[str]:
    """Yield how to end who costs most, where that is much."""
    if rows and (rows[0]["memory_bytes"] or 0) >= _MUCH_BYTES:
        yield typed(site, f"redis kill-client {rows[0]['id']} --dry-run")


def _row(of: dict[str, str]) -> look.Row:
    memory = _number(of, "tot-mem")
    if memory is None:  # before Redis 6.2: the buffers alone
        memory = sum(_number(of, name) or 0 for name in ("omem", "qbuf"))
    idle, age = _number(of, "idle"), _number(of, "age")
    return {
        "id": _number(of, "id"),
        "address": of.get("addr", ""),
        "name": of.get("name", ""),
        "user": of.get("user"),
        "database": _number(of, "db"),
        "flags": of.get("flags", ""),
        "memory_bytes": memory,
        "memory": size(memory),
        "output_bytes": _number(of, "omem"),
        "idle_seconds": idle,
        "idle": None if idle is None else duration(idle),
        "age_seconds": age,
        "age": None if age is None else duration(age),
        "command": of.get("cmd", ""),
    }


def _number(of: dict[str, str], name: str) -> int | None:
    text = of.get(name, "")
    return int(text) if text.isdecimal() else None


def _answer(rows: list[look.Row], most: int) -> str:
    if not rows:
        return _("Nobody else is connected to Redis")
    total = sum(row["memory_bytes"] or 0 for row in rows)
    hosts = Counter(row["address"].rpartition(":")[0] for row in rows)
    host, count = hosts.most_common(1)[0]
    text = ngettext(
        "{count} client of at most {most} costs {size}; from {host}: {of_host}",
        "{count} clients of at most {most} cost {size}; most from {host}: {of_host}",
        len(rows),
    )
    return text.format(count=len(rows), most=most or "?", size=size(total), host=host or "?", of_host=count)
