"""What a fault is: where it was reported, how it is broken and healed, who notices, and what a right answer says.

The declarations are data, in ``faults/*.yaml``. Their commands are run by bash after ``prelude.sh``.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from msgspec import Struct, convert

DIRECTORY = Path(__file__).parent
FAULTS = DIRECTORY / "faults"


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """A right answer, in regular expressions that ignore case.

    ``names``: all of them stand in one cause, or in one of the first findings: the fault is named. ``area``: one of
    them stands in a cause or in any finding that is not well: it is narrowed down. ``honest``: causes
    (``id@subject``) that may be named besides, for they are true: what the fault does, in other words.
    """

    names: tuple[str, ...]
    area: tuple[str, ...]
    honest: tuple[str, ...] = ()


class Declaration(Struct, frozen=True, forbid_unknown_fields=True, rename={"break_": "break"}):
    """One fault. ``source`` is the project and thread in which people told of it."""

    id: str
    source: str
    does: str
    notices: str
    answer: str
    break_: str
    evidence: str
    heal: str
    expected: Expected


def read_all() -> list[Declaration]:
    """Read every declaration. Raises ValueError for one that is not complete."""
    found = [one for path in sorted(FAULTS.glob("*.yaml")) for one in _read(path)]
    names = [one.id for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"declared twice: {', '.join(twice)}")
    return found


def _read(path: Path) -> list[Declaration]:
    found = convert(yaml.safe_load(path.read_text(encoding="utf-8")), list[Declaration])
    for one in found:
        for pattern in (*one.expected.names, *one.expected.area, *one.expected.honest):
            re.compile(pattern)
    return found
