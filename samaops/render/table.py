"""A table for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from samaops.i18n import _, number
from samaops.model.table import Column, Table
from samaops.render import escape
from samaops.render.layout import CommandLine, Hanging

# A task's id has 36 characters: there is room for others beside it.
_LONGEST_COPIED = 40
# Between two columns; one where words would be broken otherwise.
_GAP = 2


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
            _markdown_row(_markdown_cell(row, column) for column in table.columns) for row in table.rows
        ]
    elif table.empty != table.answer:
        lines.append(escape.markdown(table.empty))
    lines += [line for note in table.notes for line in ("", escape.markdown(note))]
    lines += [line for command in table.commands for line in ("", escape.markdown_hint(command))]
    return "\n".join(lines) + "\n"


def _markdown_cell(row: Mapping[str, Any], column: Column) -> str:
    """Return a cell; a command is code, that can be copied, unless a bar in it would end the cell there."""
    text = text_of(row, column)
    if is_command(row, column) and "|" not in text:
        return escape.markdown_hint(text)
    return escape.markdown(text)


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
    return Group(*answer, _Grid(table), *notes)


class _Grid(Struct, frozen=True):
    """The columns of a table, none narrower than its longest word while there is room for the longest words of all."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self.table
        cells = [[_cell(row, column) for column in table.columns] for row in table.rows]
        wanted = [
            [Text(column.heading), *(row[place] for row in cells)]
            for place, column in enumerate(table.columns)
        ]
        whole = [max(map(_width, texts)) for texts in wanted]
        words = [
            width if _is_whole(column, table) else max(map(_longest_word, texts))
            for column, texts, width in zip(table.columns, wanted, whole, strict=True)
        ]
        # A number and its unit stand on one line, where there is room for that.
        numbers = [
            max(width, *map(_width, texts[1:])) if column.is_number else width
            for column, texts, width in zip(table.columns, wanted, words, strict=True)
        ]
        gap, room = _GAP, options.max_width - _GAP * len(whole)
        if sum(words) > room >= sum(words) - len(whole):
            gap, room = 1, room + len(whole)
        widths = _fitted(whole, numbers if sum(numbers) <= room else words, room)
        grid = Grid(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
        for column, width in zip(table.columns, widths, strict=True):
            justify: JustifyMethod = "right" if column.is_number else "left"
            grid.add_column(
                column.heading,
                justify=justify,
                overflow="fold",
                no_wrap=_is_whole(column, table),
                width=width,
            )
        for row in cells:
            grid.add_row(*row)
        yield grid


def _fitted(whole: Sequence[int], least: Sequence[int], room: int) -> Sequence[int | None]:
    """Return how wide each column is; None where that is left to rich: all fits, or not even the longest words do."""
    if sum(whole) <= room or sum(least) > room:
        return [None] * len(whole)
    widths = list(least)
    for _column in range(room - sum(least)):
        # What is left goes to the column that has the smallest part of what it wants.
        narrow = [place for place, width in enumerate(widths) if width < whole[place]]
        widths[min(narrow, key=lambda place: widths[place] / whole[place])] += 1
    return widths


def _width(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")))


def _longest_word(text: Text) -> int:
    return max(map(cell_len, text.plain.split()), default=0)


def _is_whole(column: Column, table: Table) -> bool:
    """Return whether a column stays on one line: what is too long for that is folded as any other."""
    return column.is_copied and all(len(_cell(row, column)) <= _LONGEST_COPIED for row in table.rows)


def text_of(row: Mapping[str, Any], column: Column) -> str:
    """Return what a row says in a column, in one safe line; a command is whole, and means the site that is looked at."""
    return escape.command(str(row[column.key])) if is_command(row, column) else _cell(row, column).plain


def is_command(row: Mapping[str, Any], column: Column) -> bool:
    """Return whether a cell is a command that people type."""
    return column.is_command and str(row.get(column.key)).startswith("samaops ")


def _cell(row: Mapping[str, Any], column: Column) -> Text:
    value = row.get(column.key)
    if isinstance(value, bool):
        return Text(_("yes") if value else _("no"))
    if isinstance(value, (list, tuple)):
        return Text(escape.plain(", ".join(map(str, value))) or "-")
    if isinstance(value, float):
        return Text(number(f"{value:g}"))
    return Text("-" if value is None or value == "" else escape.plain(str(value)))
