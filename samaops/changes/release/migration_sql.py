"""What SQL that a migration tool wrote takes away: its statements one by one, judged by their beginning.

What is not understood is never taken for harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

# PostgreSQL's lexical structure, as far as it decides where a statement ends.
_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?\*/)
    |(?P<kept>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    |(?P<end>;)
    |(?P<other>.)
    """,
    re.DOTALL | re.VERBOSE,
)
_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_RELATION = rf"{_NAME}(?:\.{_NAME})?"
_TRANSACTION = re.compile(r"(BEGIN|COMMIT|START TRANSACTION)( WORK| TRANSACTION)?", re.IGNORECASE)
_COLUMN = re.compile(
    rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(?P<relation>{_RELATION}) DROP (?:COLUMN )?(?:IF EXISTS )?"
    rf"(?!CONSTRAINT\b)(?P<column>{_NAME})(?: RESTRICT)?",
    re.IGNORECASE,
)
_TABLE = re.compile(rf"DROP TABLE (?:IF EXISTS )?(?P<relation>{_RELATION})(?: RESTRICT)?", re.IGNORECASE)
# No row is written, and none is lost. What has CASCADE, or several actions, may do more than it says at its beginning.
_HARMLESS = re.compile(
    r"ALTER TABLE (IF EXISTS )?(ONLY )?\S+ (ADD |RENAME |DROP CONSTRAINT |VALIDATE |ALTER (COLUMN )?\S+ (SET|DROP) (DEFAULT|NOT NULL))"
    r"|ALTER (INDEX|SEQUENCE|VIEW|TYPE|SCHEMA) \S+ RENAME |CREATE (?!TABLE\b.*\bAS\b)|COMMENT ON |GRANT |REVOKE "
    r"|DROP (INDEX|VIEW|TYPE|FUNCTION|TRIGGER|SEQUENCE|CONSTRAINT)\b",
    re.IGNORECASE,
)
_MORE = re.compile(r"\bCASCADE\b", re.IGNORECASE)
# psql would take them for its own, or wait for rows.
_NOT_SQL = re.compile(r"\\|COPY\b", re.IGNORECASE)
MOST_CHARACTERS = 256 * 1024


class Takes(Struct, frozen=True):
    """A column, or with "" a whole table, that goes with all that is in it; the names are as PostgreSQL takes them."""

    relation: str
    column: str = ""


class Script(Struct, frozen=True):
    """What is run in one transaction. ``changes`` are the statements that write rows, or that are not understood."""

    statements: tuple[str, ...]
    takes: tuple[Takes, ...]
    changes: tuple[str, ...]


def read(text: str, version_table: str) -> Script:
    """Return what a text holds. Raises ValueError, with the reason, for one that is not run at all."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"> {MOST_CHARACTERS} characters")
    statements, takes, changes = [], [], []
    own = version_table.rpartition(".")[2]
    bookkeeping = re.compile(
        rf'(UPDATE|INSERT INTO|DELETE FROM) (\S+\.)?"?{re.escape(own)}"?(\s|$)', re.IGNORECASE
    )
    for statement in _statements(text):
        flat = " ".join(statement.split())
        if _TRANSACTION.fullmatch(flat):
            continue  # all of it is one transaction
        if _NOT_SQL.match(flat):
            raise ValueError(flat[:80])
        statements.append(statement)
        column, table = _COLUMN.fullmatch(flat), _TABLE.fullmatch(flat)
        if column:
            takes.append(Takes(_plain(column["relation"]), _plain(column["column"])))
        elif table:
            takes.append(Takes(_plain(table["relation"])))
        elif not bookkeeping.match(flat) and (not _HARMLESS.match(flat) or _does_more(flat)):
            changes.append(flat)
    return Script(tuple(statements), tuple(takes), tuple(changes))


def _does_more(flat: str) -> bool:
    bare = re.sub(r"\([^()]*\)", "", re.sub(r"'(?:[^']|'')*'", "", flat))
    has_actions = flat.upper().startswith("ALTER TABLE") and "," in re.sub(r"\([^()]*\)", "", bare)
    return has_actions or bool(_MORE.search(bare) and not re.search(r"\bON (DELETE|UPDATE) CASCADE\b", bare))


def _statements(text: str) -> Iterator[str]:
    words: list[str] = []
    for token in _TOKEN.finditer(text):
        if token["end"]:
            yield from _whole(words)
            words = []
        elif token["comment"]:
            words.append(" ")
        else:
            words.append(token.group())
    yield from _whole(words)


def _whole(words: list[str]) -> Iterator[str]:
    statement = "".join(words).strip()
    if statement:
        yield statement


def _plain(name: str) -> str:
    """Return a name as PostgreSQL takes it: in lower case, but for what is quoted."""
    parts = re.findall(_NAME, name)
    return ".".join(part[1:-1].replace('""', '"') if part.startswith('"') else part.lower() for part in parts)
