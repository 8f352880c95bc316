"""The checks of celery: importing this registers them."""

from samaops.checks.celery import service, tasks, workers  # noqa: F401 - they register their checks
