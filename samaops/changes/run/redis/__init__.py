"""What is done to Redis, and to its keys."""

from samaops.changes.run.redis import commands, keys  # noqa: F401 - they register their kinds
