"""Changes of the Celery workers: importing this registers their readings."""

from samaops.changes.celery import add_queue, revoke, workers  # noqa: F401 - they register their readings
