"""The text of a statement as it is shown: without what its clients wrote into it, which may be a customer's."""

from __future__ import annotations

import re

from samaops.site import chosen

QUERY_LENGTH = 300
# A password in a statement that sets one: not even shown when everything is.
_PASSWORD = re.compile(
    r"(?i)(password\s*(?:=|to)?\s*)(?:[EU]&?)?('(?:[^']|'')*'?|\$(\w*)\$.*?(?:\$\3\$|$))", re.DOTALL
)
# PostgreSQL's lexical structure. The server cuts long statements: what has no end reaches to the end of the text.
_TOKENS = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|$))
    |(?P<name>(?:\b[uU]&)?"(?:[^"]|"")*(?:"|$))
    |(?P<literal>
        \b[eE]'(?:[^'\\]|\\.|'')*(?:'|\\?$)
        |(?:\b[bBxXnN]|\b[uU]&)?'(?:[^']|'')*(?:'|$)
        |\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|$)
    )
    |(?P<number>(?<![\w$.])\.?\d[\w.]*)
    """,
    re.DOTALL | re.VERBOSE,
)


def shown(text: str | None) -> str:
    """Return a statement, cut to what a report has room for; with its literals only where everything is asked for."""
    statement = text or ""
    return cut(statement if chosen.shows_everything() else without_literals(statement))


def cut(text: str | None) -> str:
    """Return a text cut to what a report has room for, without passwords that it sets."""
    masked = _PASSWORD.sub(r"\1'***'", text or "")
    return masked if len(masked) <= QUERY_LENGTH else masked[: QUERY_LENGTH - 1] + "…"


def without_literals(statement: str) -> str:
    """Return a statement with '***' for each text in it, ? for each number, and … for what its comments say."""
    return _TOKENS.sub(_masked, statement)


def _masked(match: re.Match[str]) -> str:
    if match["comment"]:
        return "/* … */" if match["comment"].startswith("/*") else "-- …"
    if match["number"]:
        return "?"
    return match["name"] or "'***'"
