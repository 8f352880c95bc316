"""Lines of logs as they may be kept and shown: without secrets, and never cut before their decisive words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from samaops.collect import statements
from samaops.config.masking import MASK
from samaops.site import chosen

# The beginning says who speaks, the end what of: between them stands what is left out of a very long line.
_HEAD_CHARACTERS, _TAIL_CHARACTERS = 160, 340
_GAP = " […] "
_KEPT_BACK = (
    (re.compile(r"://[^/\s@]+@"), "://***@"),
    # an address of a customer, not user@10.0.0.1
    (re.compile(r"[\w.+-]+@[\w.-]+\.[A-Za-z]{2,}\b"), "<email>"),
    (
        re.compile(
            r"(?i)\b(\w*(?:password|passwd|pwd|secret|token|api_?key|authorization))"
            r"([\"']?\s*[=:]\s*(?:bearer\s+|basic\s+)?)[^\s,;]+"
        ),
        r"\1\2***",
    ),
    (re.compile(r"(?i)\b(bearer)\s+\S+"), r"\1 ***"),
)
# What clients wrote into the database stands in what it complains of: a key that is there twice, a row that it refuses,
# parameters (also those that SQLAlchemy adds), the value that is no number. In French too.
_OF_CUSTOMERS = (
    (re.compile(r"\)=\((?:[^()]|\([^()]*\))*\)"), ")=(***)"),
    (re.compile(r"(?i)(failing row contains|la ligne en échec contient) \(.*\)"), r"\1 (***)"),
    (re.compile(r"(\$\d+ = )'(?:[^']|'')*'"), r"\1'***'"),
    (re.compile(r"(?i)(\[parameters: ).*?\]"), r"\1***]"),
    (re.compile(r'(?i)((?:invalid input|out of range)[^"]*)"[^"]*"'), r'\1"***"'),
    (re.compile(r"(?i)(syntaxe en entrée invalide[^«]*)«[^»]*»"), r"\1« *** »"),
)
_STATEMENT = re.compile(
    r"((?:STATEMENT|INSTRUCTION|CONTEXT|CONTEXTE)\s?: |\[SQL: |\b(?:execute|exécute) [^:]*: )(.*)"
)


def without_secrets(text: str, known: Iterable[str] = ()) -> str:
    """Return a line on one line: no password, no token, no customer's address, nothing of what is known as secret.

    What clients wrote into the database is left out too, unless everything is asked for (``-v``).
    """
    for secret in known:
        text = text.replace(secret, MASK)
    for pattern, replacement in _KEPT_BACK:
        text = pattern.sub(replacement, text)
    if not chosen.shows_everything():
        for pattern, replacement in _OF_CUSTOMERS:
            text = pattern.sub(replacement, text)
        text = _STATEMENT.sub(lambda match: match[1] + statements.without_literals(match[2]), text)
    return " ".join(text.replace("\0", " ").split())


def shortened(text: str) -> str:
    """Return a line with its middle left out where it is too long."""
    if len(text) <= _HEAD_CHARACTERS + len(_GAP) + _TAIL_CHARACTERS:
        return text
    return text[:_HEAD_CHARACTERS] + _GAP + text[-_TAIL_CHARACTERS:]
