"""Look at Redis through redis-py: reading commands on one connection, without retries, within one time limit.

Its own methods are used (``info``, ``config_get``, ``client_list``, ``scan``); every error comes out as a ClientError.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from samaops.clients import footprint, tls
from samaops.clients.errors import HELD, ClientError
from samaops.clients.time_limit import TimeLimit
from samaops.config.settings import Redis, Tls
from samaops.i18n import _
from samaops.model.failure import FailureKind

MOST_ANSWER_BYTES = 64_000_000
# How long a command that only reads may take before we ask whether it is held back on purpose.
HELD_SECONDS = 0.4
_NO_KEY = "samaops:no-such-key"
_PART_BYTES = 256 * 1024
_MOST_LINE_BYTES = 1000
# What an error means, by the word it begins with or by words in it.
_KINDS = (
    (
        r"^(LOADING|MASTERDOWN|BUSY|CLUSTERDOWN|DENIED) |Link with MASTER is down|protected mode"
        r"|loading the dataset|max number of clients",
        FailureKind.UNAVAILABLE,
    ),
    (r"^NOPERM ", FailureKind.PERMISSION),
    (
        r"without any password configured|no password is set",
        FailureKind.NO_AUTHENTICATION,
    ),
    (r"^(NOAUTH|WRONGPASS) |invalid password", FailureKind.AUTHENTICATION),
)


class _Counting(socket.socket):
    """A socket that counts what it receives, and ends an answer that is too large."""

    answer_bytes = 0

    def sendall(self, *arguments: Any) -> None:
        self.answer_bytes = 0
        super().sendall(*arguments)

    def recv(self, *arguments: Any) -> bytes:
        data = super().recv(*arguments)
        self._count(len(data))
        return data

    def recv_into(self, *arguments: Any) -> int:  # what redis-py calls when hiredis is installed
        size = super().recv_into(*arguments)
        self._count(size)
        return size

    def _count(self, size: int) -> None:
        footprint.count(bytes_read=size)
        self.answer_bytes += size
        if self.answer_bytes > MOST_ANSWER_BYTES:
            raise redis.InvalidResponse(
                _("the answer is larger than {size} bytes").format(size=MOST_ANSWER_BYTES)
            )


class _CountingTls(_Counting, ssl.SSLSocket):
    """The same over TLS."""


class _Connection(redis.Connection):
    """A connection that is opened once, and knows which command it was given last."""

    limit: TimeLimit | None = None
    tls: Tls | None = None
    stage = "connect"
    _was_opened = False

    def _connect(self) -> socket.socket:
        if self.limit is None or self._was_opened:  # redis-py would open another after an error
            kind = FailureKind.NO_ANSWER if self.limit and self.limit.is_expired else FailureKind.CLOSED
            raise ClientError(kind, _("not connected"), self.stage)
        self._was_opened = True
        connected = self.limit.connect(self.host, self.port)
        counting: socket.socket
        if self.tls is None:
            with connected:
                counting = _Counting(fileno=connected.detach())
        else:
            context = tls.of(self.tls)
            context.sslsocket_class = _CountingTls
            counting = tls.wrap(context, connected, self.tls.server_name or self.host, self.limit)
        counting.settimeout(self.socket_timeout)
        return counting

    def send_command(self, *arguments: Any, **options: Any) -> None:
        self.stage = str(arguments[0])
        footprint.count(commands=1)
        super().send_command(*arguments, **options)


class _OneConnection(redis.ConnectionPool):
    """A pool of one connection, which is neither replaced nor tested before a command."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_Connection, max_connections=1, **options)
        self.connection = _Connection(**options)

    def get_connection(self, *_arguments: Any, **_options: Any) -> _Connection:
        return self.connection

    def release(self, connection: object) -> None:
        """Keep it: there is only one, and it is closed by the client."""


class RedisClient(redis.Redis):
    """One connection to one Redis server, for at most ``settings.timeout`` seconds in all, or so many as are given.

    No single answer is waited for longer than ``settings.timeout``.
    """

    def __init__(self, host: str, settings: Redis, seconds: float | None = None) -> None:
        pool = _OneConnection(
            host=host,
            port=settings.port,
            db=settings.database,
            username=settings.username if settings.password else None,
            password=settings.password.reveal() if settings.password else None,
            socket_timeout=settings.timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,  # no CLIENT SETINFO: it is refused, and logged there, when our user may only read
        )
        super().__init__(connection_pool=pool)
        self._host, self._settings = host, settings
        self._seconds = settings.timeout if seconds is None else seconds
        self._only = pool.connection
        self._only.tls = settings.tls

    def connect(self) -> None:
        """Open the connection, log in and ping. Raises ClientError; of the stage HELD where clients are paused."""
        self._only.limit = TimeLimit(self._seconds)
        try:
            with self._sorting_errors():
                self._only.connect()
            self.ping_ms()
        except ClientError as error:
            if error.kind is FailureKind.NO_ANSWER and self._refuses_nonsense():
                words = _("its clients are paused (CLIENT PAUSE ALL): every command waits")
                raise ClientError(error.kind, words, HELD) from error
            raise

    def _refuses_nonsense(self) -> bool:
        """Return whether a new connection is told that GET lacks its key.

        Redis says so before it looks at log-in, rights and pauses; a process that is stopped or busy says nothing.
        """
        with self._sibling(HELD_SECONDS, database=0, password=None) as other:
            try:
                other.execute_command("GET")
            except ClientError as error:
                return "wrong number of arguments" in error.message
        return False

    def holds_writes(self) -> bool:
        """Return whether commands that write are held (CLIENT PAUSE WRITE), which no list tells before Valkey 8.1.

        PFCOUNT of a key that is not there reads and is held like a write (redis.io, CLIENT PAUSE). When it waits, it is
        asked again beside a PING that does not. The last command of a connection. Raises ClientError.
        """
        if self._answers_count():
            return False
        with self._sibling(3 * HELD_SECONDS) as other:
            other.connect()
            return not other._answers_count()

    def _answers_count(self) -> bool:
        if self._only._sock is not None:
            self._only._sock.settimeout(HELD_SECONDS)
        try:
            self.execute_command("PFCOUNT", _NO_KEY)
        except ClientError as error:
            if error.kind in (FailureKind.NO_ANSWER, FailureKind.SILENT):
                return False
            if error.kind in (FailureKind.PERMISSION, FailureKind.CLOSED):
                raise
        return True  # any other error is an answer too

    @contextmanager
    def _sibling(self, seconds: float, **changes: Any) -> Iterator[RedisClient]:
        other = RedisClient(self._host, self._settings.model_copy(update={"timeout": seconds, **changes}))
        other._only.limit = TimeLimit(seconds)
        try:
            yield other
        finally:
            other.close()

    def ping_ms(self) -> float:
        """Ping once and return the milliseconds it took. Raises ClientError."""
        started = time.perf_counter()
        try:
            is_pong = self.ping()
        except ClientError as error:
            # A Redis that cannot save refuses even PING, and answers every reading command all the same.
            is_pong = error.message.startswith("MISCONF")
            if not is_pong:
                raise
        if not is_pong:
            raise ClientError(FailureKind.GARBAGE, _("the answer to PING is not PONG"), "PING")
        return (time.perf_counter() - started) * 1000

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run one command and return its answer as redis-py reads it, keys and values as bytes. Raises ClientError."""
        with self._sorting_errors():
            return super().execute_command(*arguments, **options)

    def exchange(
        self, packed: bytes, stage: str, commands: int, is_whole: Callable[[bytearray], bool]
    ) -> bytearray:
        """Send commands as they travel, and return their answers as they came, once they are whole.

        ``stage`` names them where it fails. For what is asked of very many keys: redis-py spends more on each command than Redis does. Raises ClientError.
        """
        with self._sorting_errors():
            connection, answer = self._only, bytearray()
            connection.stage = stage
            footprint.count(commands=commands)
            try:
                connection.send_packed_command([packed])
                assert connection._sock is not None  # it was connected, else sending raises
                while not is_whole(answer):
                    part = connection._sock.recv(_PART_BYTES)
                    if not part:
                        raise redis.ConnectionError(_("the connection was closed"))
                    answer += part
            except OSError as error:
                raise redis.ConnectionError(str(error)) from error
            return answer

    def refused(self, words: str) -> ClientError:
        """Return an error that Redis answered, sorted as all others."""
        return _client_error(redis.ResponseError(words), self._only)

    def snapshot(self, most_bytes: int) -> bytes:
        """Return all that the server holds, as the file that it saves (RDB): it is asked for as a replica asks.

        The server forks for it, and writes its file anew. The last command of a connection. Raises ClientError.
        """
        with self._sorting_errors():
            self._only.send_command("SYNC")
            try:
                return self._replica_file(most_bytes)
            except OSError as error:
                assert self._only.limit is not None
                raise self._only.limit.failure(error, "SYNC", is_connected=True) from error

    def _replica_file(self, most_bytes: int) -> bytes:
        connected = self._only._sock
        assert isinstance(connected, socket.socket)
        head = b""
        while not head.endswith(b"\n") or not head.strip():  # empty lines come while it saves
            byte = connected.recv(1)
            if not byte or len(head) > _MOST_LINE_BYTES:
                raise redis.ConnectionError("Connection closed by server" if not byte else "SYNC")
            head = byte if head.endswith(b"\n") else head + byte
        line = head.strip().decode("utf-8", "replace")
        if line.startswith("-"):
            raise redis.ResponseError(line[1:])
        if not line.startswith("$") or not line[1:].isdigit():
            raise redis.InvalidResponse(line[:40])
        left = int(line[1:])
        if left > most_bytes:
            raise redis.InvalidResponse(_("the answer is larger than {size} bytes").format(size=most_bytes))
        parts = []
        while left:
            part = connected.recv(min(left, 1 << 16))
            if not part:
                raise redis.ConnectionError("Connection closed by server")
            parts.append(part)
            left -= len(part)
        content = b"".join(parts)
        if not content.startswith(b"REDIS"):
            raise redis.InvalidResponse(repr(content[:10]))
        return content

    def close(self) -> None:
        """Close the connection."""
        if self._only.limit is not None:
            self._only.limit.cancel()
        self._only.disconnect()

    @contextmanager
    def _sorting_errors(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise _client_error(error, self._only) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            # redis-py's parsers trust the other side: they stumble over an answer of another form.
            raise ClientError(
                FailureKind.GARBAGE, f"{type(error).__name__}: {error}", self._only.stage
            ) from error


def _client_error(error: redis.RedisError, connection: _Connection) -> ClientError:
    limit, stage = connection.limit, connection.stage
    assert limit is not None
    is_answer = error.status_code is not None or isinstance(error, redis.ResponseError)
    if not is_answer and (limit.is_expired or isinstance(error.__context__, OSError)):
        reason = error.__context__ if isinstance(error.__context__, OSError) else OSError()
        return limit.failure(reason, stage, is_connected=True)
    words = str(error) if error.status_code in (None, "ERR") else f"{error.status_code} {error}"
    if isinstance(error, redis.InvalidResponse):
        return ClientError(FailureKind.GARBAGE, words, stage)
    kind = next((kind for pattern, kind in _KINDS if re.search(pattern, words)), FailureKind.ERROR)
    if kind is FailureKind.ERROR and isinstance(error, redis.ConnectionError):
        kind = FailureKind.CLOSED if "closed" in words else FailureKind.GARBAGE
    return ClientError(kind, words, stage)
