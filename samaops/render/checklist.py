"""A checklist for a screen, a ticket or a printer: the answer, then every item under its heading, with what is to do."""

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
    for heading, rows in sections(table):
        lines += [Text(""), Hanging(Text(""), Text(escape.plain(heading), "bold"))]
        for row in rows:
            lines.extend(_item(row, symbols))
    if table.notes or table.commands:
        lines.append(Text(""))
    lines += [Hanging(Text(""), Text(escape.plain(note), "dim")) for note in table.notes]
    lines += [CommandLine(escape.command(command), indent=2) for command in table.commands]
    return Group(*lines)


def markdown(table: Table) -> str:
    """Return a checklist as Markdown."""
    lines = [f"**{escape.markdown(table.answer)}**", ""]
    for heading, rows in sections(table):
        lines += [f"## {escape.markdown(heading)}", ""]
        for row in rows:
            box = "x" if row["state"] in ("ok", "signed") else " "
            reason = f": {escape.markdown(row['reason'])}" if row["reason"] else ""
            lines.append(
                f"- [{box}] {escape.markdown(row['title'])}, **{escape.markdown(row['word'])}**{reason}"
            )
            if row["command"]:
                lines.append(f"  {escape.markdown_hint(chosen.same(row['command']))}")
        lines.append("")
    lines += [line for note in table.notes for line in (escape.markdown(note), "")]
    lines += [line for command in table.commands for line in (escape.markdown_hint(command), "")]
    return "\n".join(lines).rstrip("\n") + "\n"


def sections(table: Table) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the items under the heading of each section, in their order."""
    found: list[tuple[str, list[Mapping[str, Any]]]] = []
    for row in table.rows:
        heading = f"{row['section']} ({row['checklist']})"
        if not found or found[-1][0] != heading:
            found.append((heading, []))
        found[-1][1].append(row)
    return found


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
