"""A condition on the rows of a table, as a person types it: one expression of SQL, and nothing behind it."""

from __future__ import annotations

import re

from samaops.errors import UsageError
from samaops.i18n import _

_TOKEN = re.compile(
    r"""
    (?P<kept>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<bad>--|/\*|\$\w*\$|[;\\'"\n\r\0]|(?<!:):(?![:=])(?=['"\w]))
    |(?P<bracket>[()])
    |(?P<other>.)
    """,
    re.DOTALL | re.VERBOSE,
)
MOST_CHARACTERS = 4000


def checked(condition: str) -> str:
    """Return a condition that may stand in brackets behind WHERE. Raises UsageError, with what is wrong."""
    depth = 0
    for token in _TOKEN.finditer(condition):
        if token["bad"]:
            raise _wrong(condition, repr(token["bad"])[1:-1])
        depth += {"(": 1, ")": -1}.get(token["bracket"] or "", 0)
        if depth < 0:
            raise _wrong(condition, ")")
    if depth or not condition.strip() or len(condition) > MOST_CHARACTERS:
        raise _wrong(condition, "(" if depth else "-")
    return condition.strip()


def _wrong(condition: str, what: str) -> UsageError:
    text = _(
        "--where {condition!r}: one condition of SQL, without comments, semicolons, line breaks ({what})"
    )
    return UsageError(text.format(condition=condition[:80], what=what))
