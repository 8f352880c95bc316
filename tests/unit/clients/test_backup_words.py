"""What PostgreSQL's programs and the server answer about backups is read exactly, and names lead nowhere else."""

from __future__ import annotations

import base64
import gzip

import pytest

from samaops.clients import backup_dump
from samaops.clients.backup_store import inside, is_own_id
from samaops.clients.errors import ClientError


def packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


def test_rows_are_counted_by_table_whatever_its_name() -> None:
    text = (
        "3\t2026-01-02 00:00:00+00\tCOPY public.users (id, created_at) FROM stdin;\n"
        '2\t\tCOPY "Odd Schema"."a ""name"" (x" (id) FROM stdin;\n'
        "revision\tb2\nrevision\ta1\n0\t\tCOPY public.empty  FROM stdin;\n"
    )
    seen = backup_dump.read_through(packed(text))
    assert seen.rows == {"public.users": 3, 'Odd Schema.a "name" (x': 2, "public.empty": 0}
    assert seen.newest == {"public.users": "2026-01-02 00:00:00+00"}
    assert seen.revision == "a1,b2"


@pytest.mark.parametrize(
    "answer", [packed("cut\t\tCOPY public.users (id) FROM stdin;\n"), packed("x\n"), "no", ""]
)
def test_data_that_ends_in_the_middle_is_no_count(answer: str) -> None:
    with pytest.raises(ClientError):
        backup_dump.read_through(answer)
    with pytest.raises(ClientError):
        backup_dump.sums_in("AAAA")


def test_a_head_tells_both_versions() -> None:
    head = (
        ";     Dumped from database version: 15.18 (Debian 15.18-0)\n;     Dumped by pg_dump version: 17.2\n"
    )
    assert backup_dump.versions_in(head) == ("15.18", "17.2")
    assert backup_dump.versions_in("") == ("", "")


def test_the_reason_is_the_first_error() -> None:
    errors = "pg_dump: warning: x\npg_dump: error: query failed: ERROR:  nope\npg_dump: detail: Query was: LOCK TABLE public.a\n"
    assert backup_dump.last_words(errors) == "pg_dump: error: query failed: ERROR:  nope"
    assert backup_dump.waited_for(errors) == ""
    assert backup_dump.waited_for(errors.replace("nope", "statement timeout")) == "LOCK TABLE public.a"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\nb", "x" * 501])
def test_a_path_stays_in_its_backup(path: str) -> None:
    with pytest.raises(ClientError):
        inside(path)


def test_an_id_is_a_time_and_four_digits() -> None:
    assert is_own_id("20261128T020000Z-3f2a")
    assert not is_own_id("20261128T020000Z-3f2a/..")
    assert not is_own_id("20261128T020000Z-3F2A\n")


def test_the_first_local_socket_is_used() -> None:
    assert backup_dump.socket_directory_of("@abstract, /run/pg,/tmp") == "/run/pg"
    with pytest.raises(ClientError):
        backup_dump.socket_directory_of("")
