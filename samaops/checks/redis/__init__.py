"""The checks of redis: importing this registers them."""

from samaops.checks.redis import keys, memory, service, writes  # noqa: F401 - they register their checks
