"""The commands that took longest to execute, as Redis noted them. What they carried is not shown: it is customers' data."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from samaops.i18n import _, ngettext
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows.lists import shown_of, table
from samaops.workflows.redis import look

_READ = 1024
_KEY_CHARACTERS = 60
# The commands whose second word is no key but a part of their name.
_WITH_TWO_WORDS = (
    "CONFIG",
    "CLIENT",
    "MEMORY",
    "OBJECT",
    "SCRIPT",
    "ACL",
    "DEBUG",
    "XGROUP",
    "XINFO",
    "CLUSTER",
)


def slowlog(site: Site, limit: int) -> Table:
    """Return the slowest first."""
    with look.connected(site) as client:
        # in two words: redis-py would join those of each command, and their number would be lost
        entries: list[list[Any]] = client.execute_command("SLOWLOG", "GET", _READ)
        limits = client.config_get("slowlog-*")
    now = time.time()
    rows = [_row(entry, now) for entry in entries]
    rows.sort(key=lambda row: -row["milliseconds"])
    columns = (
        Column("milliseconds", "ms", True),
        Column("age", _("ago"), True),
        Column("command", _("command")),
        Column("client", _("client")),
        Column("name", _("name")),
    )
    threshold = int(limits.get("slowlog-log-slower-than") or -1)
    notes = shown_of(len(rows), limit)
    if threshold < 0:
        notes.append(_("Redis notes no slow command: slowlog-log-slower-than is negative"))
    else:
        text = _(
            "noted is what takes {milliseconds:g} ms in Redis itself, at most {most} lines; waiting does not count"
        )
        notes.append(text.format(milliseconds=threshold / 1000, most=limits.get("slowlog-max-len", "?")))
    return table(site, "slowlog", columns, rows[:limit], _answer(rows), notes)


def _row(entry: list[Any], now: float) -> look.Row:
    number, began, microseconds, command, *who = entry
    age = max(0.0, now - float(began))
    address, name = (_words(value) for value in (*who, b"", b"")[:2])  # before Redis 4 it does not say who
    return {
        "id": number,
        "milliseconds": round(microseconds / 1000, 2),
        "age_seconds": round(age),
        "age": duration(age),
        "command": _command([_words(word) for word in command]),
        "client": address,
        "name": name,
    }


def _words(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _command(words: list[str]) -> str:
    """Return the command and its key, and how many words follow."""
    count = 3 if words[0].upper() in _WITH_TWO_WORDS else 2
    shown = " ".join(word[:_KEY_CHARACTERS] for word in words[:count])
    return (
        shown
        if len(words) <= count
        else _("{command} (+{count})").format(command=shown, count=len(words) - count)
    )


def _answer(rows: list[look.Row]) -> str:
    if not rows:
        return _("Redis has noted no slow command")
    by_command = Counter(row["command"].split(" ")[0].upper() for row in rows)
    name, count = by_command.most_common(1)[0]
    text = ngettext(
        "{count} slow command; the slowest took {milliseconds:g} ms: {command}",
        "{count} slow commands; the slowest took {milliseconds:g} ms: {command}; most often {name} ({most})",
        len(rows),
    )
    first = rows[0]
    return text.format(
        count=len(rows), milliseconds=first["milliseconds"], command=first["command"], name=name, most=count
    )
