"""Customers' consumption kept in Redis for a while; without Redis all works, slower, and the log says so."""

from __future__ import annotations

import json
import logging
from typing import Literal

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .queries import Month

TIMEOUT_SECONDS = 0.5
KEY = "samaconso:consumption:{user_id}"
Outcome = Literal["hit", "miss", "unavailable"]

logger = logging.getLogger(__name__)


class ConsumptionCache:
    """One connection pool to Redis, opened at the first use."""

    def __init__(self, redis_url: str, keep_seconds: int) -> None:
        self._keep_seconds = keep_seconds
        self._redis: Redis = Redis.from_url(
            redis_url,
            decode_responses=True,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    async def get(self, user_id: int) -> tuple[list[Month] | None, Outcome]:
        """Return the months kept for a customer, if any, and what Redis said."""
        try:
            cached = await self._redis.get(KEY.format(user_id=user_id))
        except (RedisError, OSError) as error:
            logger.warning("redis unavailable, consumption is read from PostgreSQL: %s", error)
            return None, "unavailable"
        return (json.loads(cached), "hit") if cached else (None, "miss")

    async def put(self, user_id: int, months: list[Month]) -> None:
        """Keep a customer's months for a while."""
        try:
            await self._redis.set(KEY.format(user_id=user_id), json.dumps(months), ex=self._keep_seconds)
        except (RedisError, OSError) as error:
            logger.warning("redis refused to keep the consumption of user %s: %s", user_id, error)

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
