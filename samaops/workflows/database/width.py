"""How much room rows take at least, by what ANALYZE knows of their columns: what an estimate of bloat is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

# storage/htup_details.h, itup.h, bufpage.h: of PostgreSQL on machines of 64 bits.
_ROW_HEADER, _ENTRY_HEADER, _POINTER, _PAGE_HEADER, _BTREE_SPECIAL = 23, 8, 4, 24, 16
_ALIGNMENT = {"c": 1, "s": 2, "i": 4, "d": 8}
_MAXIMUM = 8
# Longer values have a header of four bytes, which is aligned.
_LONGEST_SHORT = 127


class ColumnWidth(Struct, frozen=True, array_like=True):
    """A column: its length (negative: each value has its own), alignment, mean width as stored, and share of NULL.

    ``width`` and ``nulls`` are None where ANALYZE has not seen it.
    """

    length: int
    alignment: str
    width: int | None
    nulls: float | None


def is_known(columns: Sequence[ColumnWidth]) -> bool:
    """Return whether ANALYZE has seen every column."""
    return bool(columns) and all(column.width is not None for column in columns)


def table_pages(columns: Sequence[ColumnWidth], rows: float, fill_percent: int, block: int) -> float:
    """Return how many pages a table of so many rows takes when nothing in it is wasted."""
    header = _ROW_HEADER + (math.ceil(len(columns) / 8) if _may_be_null(columns) else 0)
    row = _whole(_aligned(header), columns) + _POINTER
    return _pages(rows, row, (block - _PAGE_HEADER) * fill_percent / 100)


def btree_pages(columns: Sequence[ColumnWidth], rows: float, fill_percent: int, block: int) -> float:
    """Return how many pages a b-tree takes when nothing in it is wasted, and no entries are merged."""
    header = _ENTRY_HEADER + (_MAXIMUM if _may_be_null(columns) else 0)
    entry = _whole(header, columns) + _POINTER
    room = block - _PAGE_HEADER - _BTREE_SPECIAL
    leaves = _pages(rows, entry, room * fill_percent / 100)
    # Above the leaves: an entry for each, and the page that tells where the root is.
    return leaves + math.ceil(leaves * entry / room) + 1


def _pages(rows: float, row: float, room: float) -> float:
    return math.ceil(rows / max(1.0, math.floor(room / row))) if rows > 0 else 0.0


def _may_be_null(columns: Iterable[ColumnWidth]) -> bool:
    return any(column.nulls for column in columns)


def _whole(header: float, columns: Iterable[ColumnWidth]) -> float:
    """Return the mean room of a row with its header, and with what lies between values so that each begins where it may."""
    offset, is_exact = header, True
    for column in columns:
        width = float(column.length if column.length > 0 else column.width or 0)
        is_short = column.length < 0 and width <= _LONGEST_SHORT
        alignment = 1 if is_short else _ALIGNMENT.get(column.alignment, 1)
        # After a value whose length is not known, it may begin anywhere.
        gap = -offset % alignment if is_exact else (alignment - 1) / 2
        offset += (gap + width) * (1 - (column.nulls or 0.0))
        is_exact = is_exact and column.length > 0 and not column.nulls
    # Of rows of many lengths each is rounded up by itself: by more, in the mean, than their mean is.
    return _aligned(offset) if is_exact else max(_aligned(offset), offset + (_MAXIMUM - 1) / 2)


def _aligned(count: float) -> float:
    return math.ceil(count / _MAXIMUM) * _MAXIMUM
