"""An answer that is a list: rows of plain values under named columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from samaops.model.status import Status


class Column(Struct, frozen=True):
    """One column: the key of its values in a row, and its heading in the user's language.

    ``is_copied`` marks names and ids that people copy: they are kept on one line. ``is_command`` marks what people type, where
    a value of it is a command of samaops: it is never shortened.
    """

    key: str
    heading: str
    is_number: bool = False
    is_copied: bool = False
    is_command: bool = False


class Table(Struct, frozen=True):
    """A list of things. ``kind`` names it for programs (``samaops/<kind>/1``); rows are plain JSON values.

    ``answer`` is what the list says, in a sentence that stands above it. It ``is_whole`` when all that was asked for could
    be seen; what could not, and why, stands in ``notes``. ``commands`` are what to type next, ``figures`` numbers about all
    of the list. ``status`` is what the list says where it ``judges``: ok of one that only shows.
    """

    kind: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    empty: str
    notes: tuple[str, ...] = ()
    answer: str = ""
    is_whole: bool = True
    commands: tuple[str, ...] = ()
    figures: Mapping[str, Any] = {}
    status: Status = Status.OK
    judges: bool = False
