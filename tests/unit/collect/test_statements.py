"""What clients wrote into a statement is not shown, whatever form of literal it has; its structure is."""

from __future__ import annotations

import pytest

from samaops.collect import statements
from samaops.site import chosen


@pytest.mark.parametrize(
    ("statement", "masked"),
    [
        ("SELECT * FROM t1 WHERE phone = '+221771234567'", "SELECT * FROM t1 WHERE phone = '***'"),
        (
            "UPDATE a SET x = 'it''s', y=42 WHERE id IN (1,2.5,-3e10)",
            "UPDATE a SET x = '***', y=? WHERE id IN (?,?,-?)",
        ),
        (r"SELECT E'it\'s secret', 'b'", "SELECT '***', '***'"),
        (r"SELECT e'ends with \\' , 'b'", "SELECT '***' , '***'"),
        ("SELECT U&'d\\0061t' , B'101', x'1F', N'n'", "SELECT '***' , '***', '***', '***'"),
        ("DO $$ begin perform secret(1); end $$", "DO '***'"),
        ("SELECT $tag$ a $$ b $tag$, $1, $2::int", "SELECT '***', $1, $2::int"),
        ('SELECT "a 1\'b", t."x" FROM "s3"."t 2"', 'SELECT "a 1\'b", t."x" FROM "s3"."t 2"'),
        ("SELECT 1 -- for customer 4711", "SELECT ? -- …"),
        ("/* user='x' */ SELECT 0x1F, 1_000, .5, col1, utf8_t2", "/* … */ SELECT ?, ?, ?, col1, utf8_t2"),
        ("COPY t FROM PROGRAM 'curl https://u:secret@h/x'", "COPY t FROM PROGRAM '***'"),
        ("SELECT 'cut by the server with a secr", "SELECT '***'"),
        ("SELECT $$cut by the server", "SELECT '***'"),
        ("/* cut by the server", "/* … */"),
        (
            "autovacuum: VACUUM public.t1 (to prevent wraparound)",
            "autovacuum: VACUUM public.t1 (to prevent wraparound)",
        ),
        ("ALTER TABLE t2 ADD COLUMN c3 numeric(10,2)", "ALTER TABLE t2 ADD COLUMN c3 numeric(?,?)"),
    ],
)
def test_literals_and_comments_are_masked(statement: str, masked: str) -> None:
    assert statements.without_literals(statement) == masked


def test_everything_is_shown_where_it_is_asked_for_and_no_password_even_then() -> None:
    statement = "SELECT 'https://u:secret@h', 7"
    chosen.remember(None, lab=False)
    assert statements.shown(statement) == "SELECT '***', ?"
    try:
        chosen.show_everything(True)
        assert statements.shown(statement) == statement
        assert "hidden" not in statements.shown("ALTER ROLE a PASSWORD 'hidden'")
    finally:
        chosen.remember(None, lab=False)


def test_a_long_statement_is_masked_before_it_is_cut() -> None:
    shown = statements.shown("SELECT '" + "x" * 1000 + "', secret FROM t")
    assert shown == "SELECT '***', secret FROM t"
    assert len(statements.shown("SELECT a, " * 100)) == statements.QUERY_LENGTH
