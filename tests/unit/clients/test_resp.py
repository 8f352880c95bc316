"""Redis's protocol as it is read and written, over a real pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from samaops.clients.bounded import BoundedSocket, Deadline
from samaops.clients.errors import ClientError
from samaops.clients.resp import MAX_DEPTH, Answer, Conversation, ErrorReply, packed
from samaops.model.failure import FailureKind

TIMEOUT = 2.0


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, Conversation]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield theirs, Conversation(BoundedSocket(ours, Deadline(TIMEOUT)))


def ask(sockets: tuple[socket.socket, Conversation], said: bytes, hang_up: bool = False) -> Answer:
    theirs, conversation = sockets
    theirs.sendall(said)
    if hang_up:
        theirs.shutdown(socket.SHUT_WR)
    return conversation.ask([("PING",)])[0]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"+PONG\r\n", b"PONG"),
        (b":-12\r\n", -12),
        (b"$0\r\n\r\n", b""),
        (b"$4\r\na\r\nb\r\n", b"a\r\nb"),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*0\r\n", []),
        (b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n:7\r\n", [b"0", [b"a", 7]]),
    ],
)
def test_each_kind_of_answer_is_read(
    sockets: tuple[socket.socket, Conversation], said: bytes, answer: Answer
) -> None:
    assert ask(sockets, said) == answer


def test_an_error_is_an_answer_and_the_next_one_is_read_after_it(
    sockets: tuple[socket.socket, Conversation],
) -> None:
    theirs, conversation = sockets
    theirs.sendall(b"-ERR no such thing \xff\r\n+OK\r\n")
    error, fine = conversation.ask([("A",), ("B",)])
    assert isinstance(error, ErrorReply)
    assert error.text == "no such thing \\xff"
    assert fine == b"OK"


@pytest.mark.parametrize(
    "said",
    [
        b"?\r\n",
        b"\r\n",
        b"+PONG\n",
        b"$x\r\n",
        b"$3\r\nabcde",
        b"$99999999999\r\n",
        b"*99999999999\r\n",
        b"*1\r\n" * (MAX_DEPTH + 2),
    ],
)
def test_what_redis_would_not_say_is_garbage(
    sockets: tuple[socket.socket, Conversation], said: bytes
) -> None:
    with pytest.raises(ClientError) as caught:
        ask(sockets, said)
    assert caught.value.kind is FailureKind.GARBAGE


@pytest.mark.parametrize("said", [b"", b"+PO", b"$10\r\nabc", b"*2\r\n+a\r\n"])
def test_an_answer_that_ends_too_early_is_a_closed_connection(
    sockets: tuple[socket.socket, Conversation], said: bytes
) -> None:
    with pytest.raises(ClientError) as caught:
        ask(sockets, said, hang_up=True)
    assert caught.value.kind is FailureKind.CLOSED


def test_words_of_any_kind_are_written_with_their_length_in_bytes() -> None:
    assert (
        packed(("SET", "é", 12, b"\r\n"))
        == b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa9\r\n$2\r\n12\r\n$2\r\n\r\n\r\n"
    )
