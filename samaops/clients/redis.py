"""Talk to Redis with read-only commands, on one connection, without retries, within one time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from samaops.clients import footprint
from samaops.clients.bounded import BoundedSocket, Deadline, connect, os_error
from samaops.clients.errors import ClientError
from samaops.clients.resp import Answer, Conversation, ErrorReply, Word
from samaops.config.settings import Redis
from samaops.i18n import _
from samaops.model.failure import FailureKind

# How the errors of a Redis begin, as Redis's own source writes them.
_KINDS = (
    (
        ("LOADING", "MASTERDOWN", "BUSY ", "CLUSTERDOWN", "DENIED", "max number of clients", "Redis is busy"),
        FailureKind.UNAVAILABLE,
    ),
    (("NOPERM",), FailureKind.PERMISSION),
    (
        (
            "NOAUTH",
            "WRONGPASS",
            "invalid password",
            "invalid username-password",
            "AUTH <password> called without",
            "Client sent AUTH",
            "wrong number of arguments for 'auth'",
        ),
        FailureKind.AUTHENTICATION,
    ),
)


class RedisClient:
    """One connection to one Redis server, for at most ``settings.timeout`` seconds in all."""

    def __init__(self, host: str, settings: Redis) -> None:
        self._host = host
        self._settings = settings
        self._deadline = Deadline(settings.timeout)
        self._connection: BoundedSocket | None = None
        self._conversation: Conversation | None = None

    def connect(self) -> None:
        """Open the connection, log in and ping. Raises ClientError."""
        self._connection = connect(self._host, self._settings.port, self._deadline)
        self._conversation = Conversation(self._connection)
        for command in self._greeting():
            self.command(*command)
        self.ping()

    def _greeting(self) -> Iterator[tuple[Word, ...]]:
        settings = self._settings
        if settings.password is not None:
            user = (settings.username,) if settings.username else ()
            yield ("AUTH", *user, settings.password.reveal())
        elif settings.username:
            yield ("AUTH", settings.username, "")
        if settings.database:
            yield ("SELECT", settings.database)

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
        stage = " ".join(str(word) for word in commands[0][:2] if isinstance(word, str))
        answers = self._ask(commands, stage)
        refused = next((answer for answer in answers if isinstance(answer, ErrorReply)), None)
        if refused is not None:
            raise ClientError(_kind(refused.text), refused.text, stage)
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
        if self._connection is not None:
            self._connection.abort()

    def _ask(self, commands: Sequence[Sequence[Word]], stage: str) -> list[Answer]:
        if self._conversation is None:
            raise ClientError(FailureKind.CLOSED, _("not connected"), stage)
        try:
            answers = self._conversation.ask(commands)
        except OSError as error:
            raise os_error(error, stage, connected=True, deadline=self._deadline) from error
        except ClientError as error:
            raise ClientError(error.kind, error.message, stage) from error
        footprint.count(commands=len(commands))
        return answers


def _kind(text: str) -> FailureKind:
    """Sort an error that Redis answered, by its own words."""
    return next((kind for beginnings, kind in _KINDS if text.startswith(beginnings)), FailureKind.ERROR)


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
