"""Changes: plan, apply, verify, undo. Importing this registers every verb and reading; ``run`` holds the doers."""

from samaops.changes import backup, canary, celery, docker, objects, pgbouncer, postgresql, rabbitmq  # noqa: F401 - they register their verbs and readings
