"""The checks of postgresql: importing this registers them."""

from samaops.checks.postgresql import locks, notifications, service, sessions, storage, tables, units  # noqa: F401 - they register their checks
