"""Talk to Redis with read-only commands, on one connection, without retries, within one time limit."""

from __future__ import annotations

import inspect
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

from redis.connection import Connection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from samaops.clients import footprint
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.time_limit import TimeLimit
from samaops.config.settings import Redis
from samaops.i18n import _
from samaops.model.failure import FailureKind

Word = str | int | bytes
# What a Redis says when it cannot serve anybody now (the first words of its error).
_UNAVAILABLE = (
    "LOADING",
    "MASTERDOWN",
    "BUSY ",
    "CLUSTERDOWN",
    "DENIED",
    "max number of clients",
    "Redis is busy",
)
_UNAVAILABLE_ANYWHERE = (
    "Link with MASTER is down",
    "protected mode",
    "loading the dataset",
    "max number of clients",
)


class _WatchedConnection(Connection):  # type: ignore[misc, unused-ignore]
    """A connection that ends with its time limit and knows whether TCP ever came about."""

    limit: TimeLimit
    is_open = False

    def _connect(self) -> socket.socket:
        opened: socket.socket = cast(Any, super())._connect()
        self.limit.watch(opened)
        self.is_open = True
        return opened


class RedisClient:
    """One connection to one Redis server, for at most ``settings.timeout`` seconds in all."""

    def __init__(self, host: str, settings: Redis) -> None:
        self._limit = TimeLimit(settings.timeout)
        make: Any = _WatchedConnection  # redis-py writes no types for it
        self._connection: Any = make(
            host=host,
            port=settings.port,
            db=settings.database,
            username=settings.username,
            password=settings.password.reveal() if settings.password else None,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
            protocol=2,
            health_check_interval=0,
            **_WITHOUT_CLIENT_NAME,
        )
        self._connection.limit = self._limit

    def connect(self) -> None:
        """Open the connection, log in and ping. Raises ClientError."""
        self._guard("connect", self._connection.connect)
        footprint.count(connections=1)
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
        stage = " ".join(str(word) for word in commands[0][:2] if isinstance(word, str))
        answers: list[Any] = self._guard(stage, lambda: self._converse(commands))
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
        self._limit.cancel()
        self._connection.disconnect()

    def _converse(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        answers: list[Any] = []
        errors: list[ResponseError] = []
        for _command in commands:
            try:
                answers.append(self._connection.read_response(disable_decoding=True))
            except ResponseError as error:
                answers.append(None)
                errors.append(error)
        footprint.count(commands=len(commands), bytes_read=sum(_size(answer) for answer in answers))
        if errors:
            raise errors[0]
        return answers

    def _guard(self, stage: str, talk: Any) -> Any:
        try:
            return talk()
        except (RedisError, OSError) as error:
            raise self._failed(error, stage) from error
        except (ValueError, IndexError, TypeError) as error:  # the parser met a length that is no number
            raise ClientError(FailureKind.GARBAGE, str(error), stage) from error

    def _failed(self, error: Exception, stage: str) -> ClientError:
        if self._limit.is_expired:
            message = _("no answer within {seconds:.1f} s").format(seconds=self._limit.seconds)
            kind = FailureKind.NO_ANSWER if self._connection.is_open else FailureKind.SILENT
            return ClientError(kind, message, stage)
        return ClientError(self._kind(error), str(error) or type(error).__name__, stage)

    def _kind(self, error: Exception) -> FailureKind:
        text = str(error)
        if text.startswith(_UNAVAILABLE) or any(words in text for words in _UNAVAILABLE_ANYWHERE):
            return FailureKind.UNAVAILABLE
        for type_of_error, kind in _KINDS:
            if isinstance(error, type_of_error):
                return kind
        if isinstance(error, RedisTimeoutError):
            return FailureKind.NO_ANSWER if self._connection.is_open else FailureKind.SILENT
        below = _os_error_below(error)
        if below is not None:
            return kind_of_os_error(below, self._connection.is_open)
        # redis-py's own words for a peer that hung up, without any error of the operating system
        return FailureKind.CLOSED if isinstance(error, RedisConnectionError) else FailureKind.ERROR


_KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (BusyLoadingError, FailureKind.UNAVAILABLE),
    (NoPermissionError, FailureKind.PERMISSION),
    (AuthenticationError, FailureKind.AUTHENTICATION),
    (InvalidResponse, FailureKind.GARBAGE),
)

# CLIENT SETINFO would name the library; a user with few rights gets an error for it in the server's log.
_WITHOUT_CLIENT_NAME: dict[str, Any] = (
    {"driver_info": None}
    if any("driver_info" in inspect.signature(base).parameters for base in Connection.__mro__[:-1])
    else {"lib_name": None, "lib_version": None}
)


def _os_error_below(error: BaseException) -> OSError | None:
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and not isinstance(below, RedisError):
            return below
        below = below.__cause__ or below.__context__
    return None


def _size(answer: object) -> int:
    if isinstance(answer, bytes):
        return len(answer)
    return sum(_size(one) for one in answer) if isinstance(answer, list) else 8


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
