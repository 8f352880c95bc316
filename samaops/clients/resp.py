"""The protocol of Redis (RESP, version 2), as far as one who only asks needs it.

Written out because importing redis-py, with its clusters and its asyncio side, takes longer than all answers
of a healthy Redis together.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from samaops.clients.bounded import BoundedSocket
from samaops.clients.errors import ClientError
from samaops.i18n import _
from samaops.model.failure import FailureKind

Word = str | int | bytes
MAX_LINE_BYTES = 64 * 1024
MAX_BULK_BYTES = 64 * 1024 * 1024
MAX_ITEMS = 1_000_000
MAX_DEPTH = 8


class ErrorReply:
    """An error that Redis answered instead of a value; ``text`` is without the bare word ERR."""

    def __init__(self, line: bytes) -> None:
        self.text = line.decode("utf-8", "backslashreplace").removeprefix("ERR ")


# Of a list, the items are answers again.
Answer = bytes | int | list[Any] | ErrorReply | None


class Conversation:
    """Commands and answers over one connected socket. Raises OSError or ClientError."""

    def __init__(self, connection: BoundedSocket) -> None:
        self._connection = connection
        self._reader: io.BufferedReader = connection.makefile()

    def ask(self, commands: Sequence[Sequence[Word]]) -> list[Answer]:
        """Send commands at once and return their answers."""
        self._connection.sendall(b"".join(packed(command) for command in commands))
        return [self._answer() for _command in commands]

    def _answer(self, depth: int = 0) -> Answer:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ErrorReply(rest)
        if kind == b":":
            return _number(rest)
        if kind == b"$":
            return self._bulk(_number(rest))
        if kind == b"*" and depth < MAX_DEPTH:
            size = _number(rest, MAX_ITEMS)
            return None if size < 0 else [self._answer(depth + 1) for _item in range(size)]
        raise _garbage(line)

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        if size > MAX_BULK_BYTES:
            raise _garbage(b"$%d" % size)
        data = self._reader.read(size + 2)
        if len(data) < size + 2:
            raise _hung_up()
        if not data.endswith(b"\r\n"):
            raise _garbage(data[-2:])
        return data[:-2]

    def _line(self) -> bytes:
        line = self._reader.readline(MAX_LINE_BYTES)
        if line.endswith(b"\r\n"):
            return line[:-2]
        if line.endswith(b"\n") or len(line) == MAX_LINE_BYTES:
            raise _garbage(line)
        raise _hung_up()


def packed(words: Sequence[Word]) -> bytes:
    """Return one command as Redis reads it."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    parts = [b"*%d\r\n" % len(encoded)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]
    return b"".join(parts)


def _number(digits: bytes, most: int | None = None) -> int:
    try:
        number = int(digits)
    except ValueError:
        raise _garbage(digits) from None
    if most is not None and number > most:
        raise _garbage(digits)
    return number


def _garbage(words: bytes) -> ClientError:
    message = _("the answer is not Redis's: {words}").format(words=repr(words[:60]))
    return ClientError(FailureKind.GARBAGE, message)


def _hung_up() -> ClientError:
    return ClientError(FailureKind.CLOSED, _("the connection was closed"))
