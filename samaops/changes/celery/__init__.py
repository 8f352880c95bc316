"""Changes of the Celery workers."""

from samaops.changes.celery import add_queue, draining, revoke, workers  # noqa: F401 - they register their verbs and readings
