"""Talk to Redis with read-only commands, on one connection, without retries, within one time limit.

hiredis, the parser that redis-py itself uses, on a bounded socket: redis-py would import its asyncio half and a
telemetry library for it, which takes longer than the whole conversation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from samaops.clients import footprint
from samaops.clients.bounded import BoundedSocket, Deadline, connect, os_error
from samaops.clients.errors import ClientError
from samaops.config.settings import Redis
from samaops.i18n import _
from samaops.model.failure import FailureKind

Word = str | int | bytes
_BLOCK_BYTES = 65536
# What the first word of an error means, or the words somewhere in it.
_KINDS = (
    (("LOADING", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "DENIED"), FailureKind.UNAVAILABLE),
    (("NOPERM",), FailureKind.PERMISSION),
    (("NOAUTH", "WRONGPASS"), FailureKind.AUTHENTICATION),
)
_KINDS_ANYWHERE = (
    ("Link with MASTER is down", FailureKind.UNAVAILABLE),
    ("protected mode", FailureKind.UNAVAILABLE),
    ("loading the dataset", FailureKind.UNAVAILABLE),
    ("max number of clients", FailureKind.UNAVAILABLE),
    ("invalid password", FailureKind.AUTHENTICATION),
    ("without any password configured", FailureKind.AUTHENTICATION),
    ("no password is set", FailureKind.AUTHENTICATION),
)


class RedisClient:
    """One connection to one Redis server, for at most ``settings.timeout`` seconds in all."""

    def __init__(self, host: str, settings: Redis) -> None:
        self._host, self._settings = host, settings
        self._deadline = Deadline(settings.timeout)
        self._reader = hiredis.Reader()
        self._socket: BoundedSocket | None = None

    def connect(self) -> None:
        """Open the connection, log in and ping. Raises ClientError."""
        self._deadline = Deadline(self._settings.timeout)
        self._socket = connect(self._host, self._settings.port, self._deadline)
        if self._settings.password:
            user = [self._settings.username] if self._settings.username else []
            self.command("AUTH", *user, self._settings.password.reveal())
        if self._settings.database:
            self.command("SELECT", self._settings.database)
        self.ping()

    def ping(self) -> float:
        """Ping once and return the milliseconds it took. Raises ClientError."""
        started = time.perf_counter()
        try:
            answer = self.command("PING")
        except ClientError as error:
            # A Redis that cannot save refuses even PING, and answers every reading command all the same.
            if not error.message.startswith("MISCONF"):
                raise
            answer = b"PONG"
        if answer != b"PONG":
            raise ClientError(FailureKind.GARBAGE, _("the answer to PING is not PONG"), "PING")
        return (time.perf_counter() - started) * 1000

    def command(self, *words: Word) -> Any:
        """Run one command and return its answer, strings as bytes. Raises ClientError."""
        return self.pipeline([words])[0]

    def pipeline(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Send commands at once and return their answers; the first error is raised after all were read."""
        if not commands:
            return []
        stage = str(commands[0][0]) if commands[0][0] == "AUTH" else _stage(commands[0])
        if self._socket is None:
            raise ClientError(FailureKind.CLOSED, _("not connected"), stage)
        try:
            self._socket.sendall(b"".join(map(_packed, commands)))
            answers = [self._answer(self._socket) for _command in commands]
        except OSError as error:
            raise os_error(error, stage, connected=True, deadline=self._deadline) from error
        except hiredis.ProtocolError as error:
            raise ClientError(FailureKind.GARBAGE, str(error), stage) from error
        footprint.count(commands=len(commands))
        errors = [answer for answer in answers if isinstance(answer, hiredis.ReplyError)]
        if errors:
            raise _refusal(str(errors[0]), stage)
        return answers

    def text(self, *words: Word) -> str:
        """Run one command that answers with text; bytes that are not UTF-8 become escapes."""
        return decoded(self.command(*words))

    def info(self, section: str = "default") -> dict[str, str]:
        """Return ``INFO`` as names and values, as Redis writes them."""
        return parse_info(self.text("INFO", section))

    def config(self, *names: str) -> dict[str, str]:
        """Return settings of the server. Needs the right to run ``CONFIG GET``."""
        answers = self.pipeline([("CONFIG", "GET", name) for name in names])
        return {decoded(key): decoded(value) for key, value in (answer[:2] for answer in answers if answer)}

    def scan(self, at_most: int, for_seconds: float) -> Iterator[list[bytes]]:
        """Yield batches of keys until enough were seen, none are left, or the time is over."""
        ends_at, seen, cursor = time.monotonic() + for_seconds, 0, b"0"
        while seen < at_most and time.monotonic() < ends_at:
            cursor, keys = self.command("SCAN", cursor, "COUNT", min(500, at_most))
            keys = keys[: at_most - seen]
            seen += len(keys)
            if keys:
                yield keys
            if cursor == b"0":
                return

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.abort()

    def _answer(self, connection: BoundedSocket) -> Any:
        while (answer := self._reader.gets()) is False:
            block = bytearray(_BLOCK_BYTES)
            size = connection.receive_into(memoryview(block))
            if not size:
                raise ConnectionResetError(_("the connection was closed"))
            self._reader.feed(bytes(block[:size]))
        return answer


def _packed(words: Sequence[Word]) -> bytes:
    packed: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type]  # its types allow one word only
    return packed


def _stage(words: Sequence[Word]) -> str:
    return " ".join(str(word) for word in words[:2] if isinstance(word, str))


def _refusal(words: str, stage: str) -> ClientError:
    first = words.partition(" ")[0].lstrip("-")
    for codes, kind in _KINDS:
        if first in codes:
            return ClientError(kind, words, stage)
    for part, kind in _KINDS_ANYWHERE:
        if part in words:
            return ClientError(kind, words.removeprefix("ERR "), stage)
    return ClientError(FailureKind.ERROR, words.removeprefix("ERR "), stage)


def decoded(data: object) -> str:
    """Return bytes from Redis as text; what is not UTF-8 becomes backslash escapes."""
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else str(data)


def parse_info(text: str) -> dict[str, str]:
    """Return the ``name:value`` lines of an ``INFO`` answer."""
    lines = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def parse_client_list(text: str) -> list[dict[str, str]]:
    """Return one dictionary for each line of ``CLIENT LIST``."""
    return [dict(word.split("=", 1) for word in line.split(" ") if "=" in word) for line in text.splitlines()]
