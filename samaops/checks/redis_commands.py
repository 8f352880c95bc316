"""``redis-cli`` command lines for hints, with the configured address."""

from __future__ import annotations

from samaops.config.settings import Settings


def redis_cli(settings: Settings, words: str) -> str:
    """Return the command that asks the configured Redis. The password is left to REDISCLI_AUTH."""
    redis = settings.redis
    if redis is None:
        return f"redis-cli {words}"
    user = f" --user {redis.username}" if redis.username else ""
    return f"redis-cli -h {settings.host_of(redis)} -p {redis.port} -n {redis.database}{user} {words}"
