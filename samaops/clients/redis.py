"""Talk to Redis with read-only commands."""

from __future__ import annotations

from typing import Any

import redis as driver
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from samaops.clients import footprint
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.config.settings import Redis
from samaops.model.failure import FailureKind


class RedisClient:
    """One connection to one Redis server."""

    def __init__(self, host: str, settings: Redis) -> None:
        self._driver = driver.Redis(
            host=host,
            port=settings.port,
            db=settings.database,
            username=settings.username,
            password=settings.password.reveal() if settings.password else None,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
            single_connection_client=False,
            decode_responses=True,
            encoding_errors="backslashreplace",
            retry=None,
        )
        self._is_connected = False

    def connect(self) -> None:
        """Open the connection and ping. Raises ClientError."""
        self.command("PING")
        self._is_connected = True
        footprint.count(connections=1)

    def command(self, *words: str | int) -> Any:
        """Run one command and return redis-py's parsed answer. Raises ClientError."""
        try:
            answer = self._driver.execute_command(*words)
        except RedisError as error:
            raise ClientError(self._kind(error), str(error), str(words[0])) from error
        footprint.count(commands=1)
        return answer

    def _kind(self, error: RedisError) -> FailureKind:
        by_type: tuple[tuple[type[RedisError], FailureKind], ...] = (
            (BusyLoadingError, FailureKind.UNAVAILABLE),
            (NoPermissionError, FailureKind.PERMISSION),
            (AuthenticationError, FailureKind.AUTHENTICATION),
            (InvalidResponse, FailureKind.GARBAGE),
            (RedisTimeoutError, FailureKind.NO_ANSWER if self._is_connected else FailureKind.SILENT),
        )
        for kind_of_error, kind in by_type:
            if isinstance(error, kind_of_error):
                return kind
        if isinstance(error, RedisConnectionError) and error.__cause__ is not None:
            return kind_of_os_error(error.__cause__, self._is_connected)
        return FailureKind.ERROR

    def close(self) -> None:
        """Close the connection."""
        self._driver.close()
