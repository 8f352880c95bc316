"""The TOML reader: in the standard library since Python 3.11, the same code as ``tomli`` before.

Its time grows with the square of a key's parts, and what it returns may be deeper than Python can follow.
"""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["TooDeepError", "loads", "tomllib"]

# Ours has keys of six parts; a text has few dots in one line.
_MOST_DOTS_IN_A_LINE = 1000
_DEEPEST = 50


class TooDeepError(ValueError):
    """A document is nested deeper than anything that is meant."""


def loads(text: str) -> dict[str, Any]:
    """Return a document. Raises TOMLDecodeError; ValueError or RecursionError where it is too deep or a number too long."""
    if any(line.count(".") > _MOST_DOTS_IN_A_LINE for line in text.split("\n")):
        raise TooDeepError
    document = tomllib.loads(text)
    _require_depth(document)
    return document


def _require_depth(document: dict[str, Any]) -> None:
    level: list[Any] = [document]
    for _depth in range(_DEEPEST):
        inner = [value for table in level for value in (table.values() if isinstance(table, dict) else table)]
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise TooDeepError
