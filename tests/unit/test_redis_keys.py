"""What Redis answers about many keys at once, whatever their names hold and wherever its answer is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samaops.clients import redis_keys
from samaops.clients.errors import ClientError
from samaops.clients.redis_keys import EXPIRY, SIZE, ask, names, pattern_of
from samaops.model.failure import FailureKind
from samaops.workflows.redis.memory import Sample, Sampled


class Cut:
    """A connection that gives its answer byte by byte."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []

    def exchange(
        self, packed: bytes, _stage: str, _commands: int, is_whole: Callable[[bytearray], bool]
    ) -> bytearray:
        self.sent.append(packed)
        answer, got = self.answers.pop(0), bytearray()
        for byte in answer:
            assert not is_whole(got), "it would have stopped in the middle"
            got.append(byte)
        assert is_whole(got)
        return got

    def refused(self, words: str) -> ClientError:
        return ClientError(FailureKind.PERMISSION, words, "x")


def scanned(cursor: bytes, *found: bytes) -> bytes:
    listed = b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in found)
    return b"*2\r\n$%d\r\n%b\r\n*%d\r\n" % (len(cursor), cursor, len(found)) + listed


@pytest.mark.parametrize(
    "found",
    [
        (),
        (b"a", b"b:1"),
        (b"", b"\r\n", b"$3\r\nabc\r\n", b"*2\r\n", b"\xff\x00", b"x" * 3000),
    ],
)
def test_names_are_read_whatever_they_hold(found: tuple[bytes, ...]) -> None:
    client: Any = Cut(scanned(b"17", *found), scanned(b"0"))
    assert [list(found), []] == list(names(client))
    assert client.sent[1].startswith(b"*4\r\n$4\r\nSCAN\r\n$2\r\n17\r\n")


def test_a_number_for_each_question_and_none_of_what_is_gone() -> None:
    client: Any = Cut(b":72\r\n:-1\r\n$-1\r\n:-2\r\n")
    assert ask(client, [b"a", b"b\r\n"], SIZE, EXPIRY) == [(72, -1), (None, -2)]
    assert b"$3\r\nb\r\n\r\n" in client.sent[0]


def test_a_refusal_is_an_error_with_the_words_of_redis() -> None:
    client: Any = Cut(b":1\r\n-NOPERM no permissions to run the 'memory|usage' command\r\n")
    with pytest.raises(ClientError, match="NOPERM"):
        ask(client, [b"a", b"b"], SIZE)


@pytest.mark.parametrize(
    ("word", "pattern"),
    [
        (b"cache:*", b"cache:*"),
        (b"*.reply", b"*.reply"),
        (b"a*b[1]?*", b"a\\*b\\[1\\]\\?*"),
        (b"plain", b"plain"),
        (b"*", b"**"),
    ],
)
def test_a_star_acts_only_where_a_word_begins_or_ends(word: bytes, pattern: bytes) -> None:
    assert pattern_of(word) == pattern
    assert redis_keys.is_group(word) == (word != b"plain")


def test_what_a_sample_leaves_open_is_said_and_nothing_is_open_where_all_were_seen() -> None:
    group = Sampled(keys=100, bytes=100_000, squares=100 * 1000.0**2)
    part = Sample(keys=100_000, seen=1000, groups={"a:": group}, is_complete=False)
    assert part.of_all(group.keys) == 10_000
    # a share of 10 % of 1000 is known within 1.86 points, 95 times of 100
    assert part.error(group.keys, group.keys) == pytest.approx(1850, rel=0.02)
    assert part.error(group.bytes, group.squares) == pytest.approx(1_850_000, rel=0.02)
    whole = Sample(keys=1000, seen=1000, groups={"a:": group}, is_complete=True)
    assert (whole.of_all(group.keys), whole.error(group.bytes, group.squares)) == (100, 0.0)
