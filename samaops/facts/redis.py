"""What is observed of Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samaops.config.settings import Redis, Settings
from samaops.facts.engine import Collector, Probe


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One reading of ``INFO`` and what goes with it. Sizes in bytes."""

    version: str
    used_memory: int
    maxmemory: int
    maxmemory_policy: str
    keys: int
    keys_with_expiry: int


def collectors(settings: Settings) -> list[Collector]:
    """Return the collector of the configured Redis, if any."""
    redis = settings.redis
    if redis is None:
        return []
    host = settings.host_of(redis)

    def collect(probe: Probe) -> RedisFacts:
        return observe(host, redis, probe)

    return [Collector("redis", f"redis/{redis.server}", RedisFacts, collect, redis.server, timeout=redis.timeout + 1)]


def observe(host: str, settings: Redis, probe: Probe) -> RedisFacts:
    """Read one Redis server."""
    from samaops.clients.redis import RedisClient

    client = RedisClient(host, settings)
    try:
        probe.stage("connect")
        client.connect()
        probe.stage("INFO")
        info: Mapping[str, object] = client.command("INFO")
    finally:
        client.close()
    return RedisFacts(
        version=str(info["redis_version"]),
        used_memory=int(str(info["used_memory"])),
        maxmemory=int(str(info["maxmemory"])),
        maxmemory_policy=str(info["maxmemory_policy"]),
        keys=0,
        keys_with_expiry=0,
    )
