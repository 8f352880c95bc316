"""The checks of pgbouncer: importing this registers them."""

from samaops.checks.pgbouncer import pools, service, session  # noqa: F401 - they register their checks
