"""The checks of postgresql: importing this registers them."""

from samaops.checks.postgresql import (  # noqa: F401 - they register their checks
    application,
    locks,
    notifications,
    service,
    sessions,
    standby,
    storage,
    tables,
    units,
    work,
)
