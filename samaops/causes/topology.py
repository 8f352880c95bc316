"""What depends on what: which findings the failure of one part of SamaConso produces elsewhere.

Only effects are listed, never everything of a dependent system: a second, independent fault there must
stay visible as a root of its own.
"""

from __future__ import annotations

from samaops.causes.candidate import NOTHING, Matcher, any_of, codes
from samaops.config.settings import ApiInstance
from samaops.site.site import Service, Site

_API_SUFFERS = (
    "api.health.*",
    "api.latency.*",
    "api.members.all_down",
    "loadbalancer.vip.*",
    "loadbalancer.member.down",
)
_TASKS_SUFFER = ("celery.tasks.failing", "celery.task.stuck")
# Who publishes needs the database, the pool and the broker, and may itself be a part of the API.
NOT_PUBLISHED = "postgresql.notifications.late"
# What a queue shows whose consumer is gone or stuck; its settings are a fault of their own.
QUEUE_WAITS = (
    "rabbitmq.queue.missing",
    "rabbitmq.queue.no_consumer",
    "rabbitmq.queue.backlog",
    "rabbitmq.queue.stuck",
    "rabbitmq.queue.redelivering",
)
_QUEUES_SUFFER = ("rabbitmq.queue.backlog", "rabbitmq.queue.stuck", "rabbitmq.memory.high")

# What else breaks when a system does not serve, beside everything of the system itself.
_EFFECTS: dict[str, tuple[str, ...]] = {
    "postgresql": (
        "pgbouncer.service.unreachable",
        "pgbouncer.pool.waiting",
        "pgbouncer.pool.saturated",
        "pgbouncer.login.stuck",
        "pgbouncer.query.failed",
        "pgbouncer.pool.oversized",
        *_API_SUFFERS,
        *_TASKS_SUFFER,
    ),
    "pgbouncer": (*_API_SUFFERS, *_TASKS_SUFFER, NOT_PUBLISHED),
    "redis": (*_API_SUFFERS, *_TASKS_SUFFER, *_QUEUES_SUFFER, "flower.tasks.*"),
    "rabbitmq": (
        "celery.*",
        "flower.service.unreachable",
        "flower.worker*",
        *_API_SUFFERS,
        "docker.container.unhealthy",
        NOT_PUBLISHED,
    ),
    "proxy": ("firebase.*", *_TASKS_SUFFER, *_QUEUES_SUFFER),
    "firebase": (*_TASKS_SUFFER, *_QUEUES_SUFFER),
    "api": ("loadbalancer.*", NOT_PUBLISHED),
    "celery": (*QUEUE_WAITS, "celery.*", "flower.worker*"),
}


def effects_of_system(system: str) -> Matcher:
    """Return what follows when a whole system does not serve: its own findings and its dependents'."""
    return codes(f"{system}.*", *_EFFECTS.get(system, ()))


def effects_on_dependents(system: str) -> Matcher:
    """Return what follows elsewhere when a system serves badly; its own other findings stay visible."""
    return codes(*_EFFECTS.get(system, ()))


def effects_of_container(site: Site, container: str) -> Matcher:
    """Return what follows when one container does not run: its service, its own docker findings, dependents."""
    own = codes("docker.container.*", "docker.log.*", subject=f"docker/{container}")
    return any_of(
        own,
        *(_effects_of_service(site, service) for service in site.services_in(container)),
    )


def _effects_of_service(site: Site, service: Service) -> Matcher:
    if service.system == "api":
        return effects_of_api_member(site, service.name)
    if service.system == "celery":
        return effects_of_worker(site, service.name)
    return effects_of_system(service.system)


def effects_of_api_member(site: Site, name: str) -> Matcher:
    """Return what follows when one API member is gone; the balancer may notice, the other member does not."""
    container = next((one.container for one in _members(site) if one.name == name), None)
    return any_of(
        codes("api.*", subject=f"api/{name}"),
        codes("loadbalancer.*", "api.members.all_down"),
        codes("docker.container.unhealthy", "docker.container.restarting", subject=f"docker/{container}")
        if container
        else NOTHING,
    )


def effects_of_worker(site: Site, name: str) -> Matcher:
    """Return what follows when one worker is gone: itself, its queues, and Flower's view of it."""
    worker = site.settings.celery.workers.get(name) if site.settings.celery else None
    queues = worker.queues if worker else ()
    return any_of(
        codes("celery.worker.*", "celery.task.*", subject=f"celery/{name}"),
        codes("celery.queue.uncovered", "celery.tasks.*", "celery.broker.*", "flower.worker*"),
        *(
            codes(*QUEUE_WAITS, "celery.*", subject=f"{system}/{queue}")
            for queue in queues
            for system in ("rabbitmq", "celery")
        ),
    )


def _members(site: Site) -> tuple[ApiInstance, ...]:
    return site.settings.api.instances if site.settings.api else ()
