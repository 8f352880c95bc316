"""Every verb and reading: importing this registers them. `verbs` and `readings` do when one is asked for by its name."""

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
