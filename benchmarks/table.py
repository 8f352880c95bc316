"""The table that is printed: what was measured, against what, with which bound, and whether it holds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from msgspec import Struct


class Row(Struct, frozen=True):
    """One line. ``bound`` is empty where there is none, and then it always holds."""

    what: str
    reference: str
    samaops: str
    ratio: str = ""
    bound: str = ""
    holds: bool = True


class Part(Struct, frozen=True):
    """What one part of the benchmark found; a note is a sentence below the table."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def ratio(what: str, reference: float, own: float, bound: float | None) -> Row:
    """Return a row of two times in seconds and how often the first goes into the second."""
    times = own / reference
    return Row(
        what,
        milliseconds(reference),
        milliseconds(own),
        f"{times:.2f}",
        f"{bound:.2g}" if bound is not None else "",
        bound is None or times <= bound,
    )


def milliseconds(seconds: float) -> str:
    """Return seconds as the table shows them."""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def show(parts: Sequence[Part]) -> None:
    """Print all rows as one table, and the notes below it."""
    lines: list[tuple[str, ...]] = [("measured", "reference", "samaops", "ratio", "bound", "")]
    for row in (row for part in parts for row in part.rows):
        verdict = ("ok" if row.bound else "") if row.holds else "BROKEN"
        lines.append((row.what, row.reference, row.samaops, row.ratio, row.bound, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, tuple("-" * width for width in widths))
    for line in lines:
        print("| " + " | ".join(map(str.ljust, line, widths)) + " |")
    print()
    for note in (note for part in parts for note in part.notes):
        print(textwrap.fill(note, 80, initial_indent="- ", subsequent_indent="  "))
