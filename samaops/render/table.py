"""A table for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from samaops.i18n import _, number
from samaops.model.table import Column, Table
from samaops.render import escape
from samaops.render.layout import CommandLine, Hanging

# A task's id has 36 characters: there is room for others beside it.
_LONGEST_COPIED = 40


def document(table: Table) -> dict[str, Any]:
    """Return a table as plain values, for JSON."""
    document = {"schema": f"samaops/{table.kind}/1", table.kind: [dict(row) for row in table.rows]}
    if table.answer:
        document |= {"answer": table.answer, "notes": list(table.notes), "commands": list(table.commands)}
    return {**document, "figures": dict(table.figures)} if table.figures else document


def markdown(table: Table) -> str:
    """Return a table as Markdown, for a ticket."""
    lines = [escape.markdown(table.answer), ""] if table.answer else []
    if table.rows:
        lines += [
            _markdown_row(column.heading for column in table.columns),
            _markdown_row("---:" if column.is_number else "---" for column in table.columns),
        ]
        lines += [
            _markdown_row(escape.markdown(_cell(row, column).plain) for column in table.columns)
            for row in table.rows
        ]
    else:
        lines.append(escape.markdown(table.empty))
    lines += [line for note in table.notes for line in ("", escape.markdown(note))]
    lines += [line for command in table.commands for line in ("", escape.markdown_hint(command))]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def screen(table: Table) -> Group:
    """Return a table for a screen: plain columns, values never shortened."""
    answer: list[RenderableType] = (
        [Hanging(Text(""), Text(escape.plain(table.answer), "bold"))] if table.answer else []
    )
    notes: list[RenderableType] = [Hanging(Text(""), Text(escape.plain(note), "dim")) for note in table.notes]
    notes += [CommandLine(escape.command(command), indent=2) for command in table.commands]
    if not table.rows:
        return Group(*(answer or [Text(table.empty)]), *notes)
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in table.columns:
        justify: JustifyMethod = "right" if column.is_number else "left"
        grid.add_column(column.heading, justify=justify, overflow="fold", no_wrap=_is_whole(column, table))
    for row in table.rows:
        grid.add_row(*(_cell(row, column) for column in table.columns))
    return Group(*answer, grid, *notes)


def _is_whole(column: Column, table: Table) -> bool:
    """Return whether a column stays on one line: what is too long for that is folded as any other."""
    return column.is_copied and all(len(_cell(row, column)) <= _LONGEST_COPIED for row in table.rows)


def text_of(row: Mapping[str, Any], column: Column) -> str:
    """Return what a row says in a column."""
    return _cell(row, column).plain


def _cell(row: Mapping[str, Any], column: Column) -> Text:
    value = row.get(column.key)
    if isinstance(value, bool):
        return Text(_("yes") if value else _("no"))
    if isinstance(value, (list, tuple)):
        return Text(escape.plain(", ".join(map(str, value))) or "-")
    if isinstance(value, float):
        return Text(number(f"{value:g}"))
    return Text("-" if value is None or value == "" else escape.plain(str(value)))
