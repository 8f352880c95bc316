"""What the application is told from outside: the environment variables of the guide's compose files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

# The image says which release it is.
VERSION = os.environ.get("SAMACONSO_VERSION", "2.0.0")
NEVER = ("", "0", "none", "never")


class Environment(Struct, frozen=True):
    """One process's settings; times are in seconds."""

    instance_id: str
    database_url: str
    redis_url: str
    broker_url: str
    result_backend: str
    credentials_file: Path
    result_expires: int | None
    cache_seconds: int
    task_time_limit: int | None
    logs_directory: Path | None
    log_level: str

    @staticmethod
    def read(variables: Mapping[str, str] = os.environ) -> Environment:
        """Read the variables; what is absent falls back to local services on their usual ports."""
        redis_url = variables.get("REDIS_URL", "redis://127.0.0.1:6379/0")
        logs = variables.get("SAMACONSO_LOGS")
        return Environment(
            instance_id=variables.get("INSTANCE_ID") or variables.get("WORKER_ID") or "samaconso",
            database_url=variables.get("DATABASE_URL", "postgresql://127.0.0.1:6432/samaconso"),
            redis_url=redis_url,
            broker_url=variables.get("CELERY_BROKER_URL", "amqp://127.0.0.1:5672/"),
            result_backend=variables.get("CELERY_RESULT_BACKEND", redis_url),
            credentials_file=Path(variables.get("GOOGLE_APPLICATION_CREDENTIALS", "firebase-adminsdk.json")),
            result_expires=_seconds_or_never(variables.get("CELERY_RESULT_EXPIRES", "86400")),
            cache_seconds=int(variables.get("CONSUMPTION_CACHE_SECONDS", "300")),
            task_time_limit=_seconds_or_never(variables.get("CELERY_TASK_TIME_LIMIT", "")),
            logs_directory=Path(logs) if logs else None,
            log_level=variables.get("LOG_LEVEL", "INFO").upper(),
        )


def _seconds_or_never(text: str) -> int | None:
    return None if text.strip().lower() in NEVER else int(text)
