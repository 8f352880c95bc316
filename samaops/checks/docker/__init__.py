"""The checks of docker: importing this registers them."""

from samaops.checks.docker import environment, evidence, log, reach, requests, resources, service, subjects  # noqa: F401 - they register their checks
