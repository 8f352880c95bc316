"""The checks of servers: importing this registers them."""

from samaops.checks.servers import clocks, disks, logs, quotas, service  # noqa: F401 - they register their checks
