"""The checks of loadbalancer: importing this registers them."""

from samaops.checks.loadbalancer import bigip, service  # noqa: F401 - they register their checks
