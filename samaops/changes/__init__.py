"""Changes: plan, apply, verify, undo. Importing this registers every verb and reading; ``run`` holds the doers."""

from samaops.changes import (  # noqa: F401 - they register their verbs and readings
    backup,
    balancer,
    canary,
    celery,
    checklist,
    configuration,
    disk,
    docker,
    maintenance,
    notify,
    objects,
    pgbouncer,
    postgresql,
    rabbitmq,
    redis,
    release,
    restoring,
    schedule,
)
