"""A checklist for a screen: the answer, then every item under its heading, with what is to do where it is open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from samaops.model.status import Status
from samaops.model.table import Table
from samaops.render import escape
from samaops.render.layout import CommandLine, Hanging
from samaops.render.words import Symbols
from samaops.site import chosen

_STYLES = {"ok": "green", "signed": "green", "failed": "red", "unknown": "magenta", "to_sign": "yellow"}
_SIGNS = {
    "ok": Status.OK,
    "signed": Status.OK,
    "failed": Status.CRITICAL,
    "unknown": Status.UNKNOWN,
    "to_sign": Status.WARNING,
}


def screen(table: Table, symbols: Symbols) -> Group:
    """Return a checklist for a screen."""
    lines: list[RenderableType] = [Hanging(Text(""), Text(escape.plain(table.answer), "bold"))]
    heading = None
    for row in table.rows:
        if (row["checklist"], row["section"]) != heading:
            heading = (row["checklist"], row["section"])
            title = f"{row['section']} ({row['checklist']})"
            lines += [Text(""), Hanging(Text(""), Text(escape.plain(title), "bold"))]
        lines.extend(_item(row, symbols))
    if table.notes or table.commands:
        lines.append(Text(""))
    lines += [Hanging(Text(""), Text(escape.plain(note), "dim")) for note in table.notes]
    lines += [CommandLine(escape.command(command), indent=2) for command in table.commands]
    return Group(*lines)


def _item(row: Mapping[str, Any], symbols: Symbols) -> Iterator[RenderableType]:
    state = row["state"]
    sign = symbols.status[_SIGNS[state]] if state in _SIGNS else symbols.dash
    body = Text(escape.plain(row["title"]))
    body.append(f"  {row['item']}, {row['word']}", "dim")
    yield Hanging(Text(f"{sign} ", _STYLES.get(state, "dim")), body)
    if row["reason"]:
        yield Hanging(Text("  "), Text(escape.plain(row["reason"]), "dim"))
    if row["command"]:
        yield CommandLine(escape.command(chosen.same(row["command"])), f"{symbols.arrow} ", indent=2)
