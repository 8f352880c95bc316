"""Changes: plan, apply, verify, undo. Importing this registers every verb and reading; ``run`` holds the doers."""

from samaops.changes import backup, canary, celery, docker, pgbouncer, postgresql, rabbitmq, restoring  # noqa: F401 - they register their verbs and readings
