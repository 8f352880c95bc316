"""Who holds back cleaning: as long as somebody may still see old rows, no vacuum removes them."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.collect.postgresql.sessions import BACKUPS
from samaops.i18n import N_, _
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site
from samaops.workflows import lists
from samaops.workflows.database import look

_KINDS = {
    "query": N_("query"),
    "idle in transaction": N_("idle in a transaction"),
    "prepared transaction": N_("prepared transaction"),
    "slot": N_("replication slot"),
    "standby": N_("standby"),
    "background": N_("background process"),
}
# A statement that has just begun holds back nothing that matters.
_EVERYDAY_TRANSACTIONS = 1000
_MOST_COMMANDS = 3


def xmin(site: Site, limit: int) -> Table:
    """Return who holds back cleaning, the oldest first, with what to do about each."""
    with look.connected(site) as client:
        rights = client.read_one("rights")
        holders = client.read("xmin")
    rows = [_row(site, holder) for holder in holders]
    columns = (
        Column("age", _("transactions"), is_number=True),
        Column("for", _("since"), is_number=True),
        Column("kind", _("held by")),
        Column("name", _("pid or name")),
        Column("who", _("client")),
        Column("todo", _("what to do")),
    )
    notes = lists.shown_of(len(rows), limit)
    if not rights["sees_sessions"]:
        notes.append(look.missing_monitor(rights["role"]))
    commands = [row["command"] for row in rows if row["command"] and _matters(row)]
    answer = _answer(rows)
    table = lists.table(site, "xmin", columns, rows[:limit], answer, notes, is_whole=rights["sees_sessions"])
    return replace(table, commands=tuple(commands[:_MOST_COMMANDS]))


def _matters(row: look.Row) -> bool:
    return row["age"] > _EVERYDAY_TRANSACTIONS or (row["seconds"] or 0.0) > 60 or row["of"] != "query"


def _row(site: Site, holder: look.Row) -> look.Row:
    todo, command = _remedy(site, holder)
    kind = holder["kind"]
    seconds = holder["seconds"]
    is_session = kind in ("query", "idle in transaction", "background", "standby")
    return {
        "of": kind,
        "kind": _(_KINDS[kind]),
        "age": holder["age"],
        "seconds": seconds,
        "for": "-" if seconds is None else duration(max(0.0, seconds)),
        "name": holder["name"] if holder["name"] is not None else holder["pid"],
        "pid": holder["pid"],
        "database": holder["database"],
        "who": look.who(holder)
        if is_session
        else "/".join(filter(None, (holder["user"], holder["database"]))),
        **{name: holder[name] for name in ("user", "application", "client", "is_active")},
        "query": look.statement(holder["query"]),
        "todo": todo,
        "command": command,
    }


def _remedy(site: Site, holder: look.Row) -> tuple[str, str | None]:
    """Return what to do about a holder, in words, and as a command where there is one."""
    kind, pid = holder["kind"], holder["pid"]
    if kind == "prepared transaction":
        text = _("ask its owner, then roll it back")
        return text, typed(site, f"db terminate --prepared {quoted(holder['name'])}")
    if kind == "slot" and holder["is_active"]:
        return _("its reader (pid {pid}) lags: look there").format(pid=pid), None
    if kind == "slot":
        text = _("nobody reads it: start its reader, or drop it")
        return text, typed(site, f"db slot drop {operands(holder['name'])}")
    if kind == "standby":
        return _("a query on the standby (hot_standby_feedback): end it there"), None
    return _remedy_of_session(site, holder)


def _remedy_of_session(site: Site, holder: look.Row) -> tuple[str, str | None]:
    if holder["kind"] == "background":
        return _("it ends by itself"), None
    if str(holder["application"]).startswith(BACKUPS):
        return _("a backup or maintenance: let it end"), None
    if holder["kind"] == "idle in transaction":
        return _("end the session"), typed(site, f"db terminate {holder['pid']}")
    return _("cancel the statement"), typed(site, f"db cancel {holder['pid']}")


def _answer(rows: list[look.Row]) -> str:
    if not rows:
        return _("Nobody holds back cleaning")
    worst = rows[0]
    name = worst["name"] if worst["pid"] is None else _("pid {pid}").format(pid=worst["pid"])
    text = _("{name} ({kind}) holds back cleaning the most: for {age} transactions")
    answer = text.format(kind=worst["kind"], name=name, age=worst["age"])
    if worst["seconds"] is None:
        return answer
    return _("{text}, {seconds} long").format(text=answer, seconds=worst["for"])
