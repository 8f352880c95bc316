"""What depends on what: which findings the failure of one part of SamaConso produces elsewhere.

Only effects are listed, never everything of a dependent system: a second, independent fault there must
stay visible as a root of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from samaops.causes.effects import Effect, Effects, OfSite, codes, name_of
from samaops.causes.task_exceptions import log_speaks_of, lost_its_process, may_be_of
from samaops.model.finding import Finding
from samaops.site.site import Service, Site

_API_SUFFERS = (
    "api.health.*",
    "api.latency.*",
    "docker.log.requests",
    "api.members.all_down",
    "loadbalancer.vip.*",
    "loadbalancer.member.down",
)
# Only by an exception that may be of the system: see ``effects_on_dependents``.
_FAILING = "celery.tasks.failing"
BALANCER_SUFFERS = (
    "loadbalancer.vip.*",
    "loadbalancer.member.down",
    "loadbalancer.pool.down",
    "loadbalancer.virtual.down",
)
_STUCK = "celery.task.stuck"
_TASKS_SUFFER = (_FAILING, _STUCK)
# A pool whose connections are all held: its clients wait, and are refused in the end.
POOL_RUNS_DRY = ("pgbouncer.pool.waiting", "pgbouncer.pool.saturated", "pgbouncer.query.failed")
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
        "pgbouncer.write.probe",
        "pgbouncer.pool.oversized",
        *_API_SUFFERS,
        *_TASKS_SUFFER,
    ),
    "pgbouncer": ("pgbouncer.write.probe", *_API_SUFFERS, *_TASKS_SUFFER, NOT_PUBLISHED),
    "redis": ("redis.write.probe", *_API_SUFFERS, *_TASKS_SUFFER, *_QUEUES_SUFFER),
    "rabbitmq": (
        "rabbitmq.publish.probe",
        "celery.service.unreachable",
        "celery.worker.*",
        "celery.queue.*",
        "celery.broker.*",
        *_TASKS_SUFFER,
        "flower.service.unreachable",
        "flower.worker*",
        *_API_SUFFERS,
        "docker.container.unhealthy",
        NOT_PUBLISHED,
    ),
    "proxy": ("firebase.*", *_TASKS_SUFFER, *_QUEUES_SUFFER),
    "firebase": (*_TASKS_SUFFER, *_QUEUES_SUFFER),
    "api": (*BALANCER_SUFFERS, NOT_PUBLISHED),
    "celery": (*QUEUE_WAITS, "celery.*", "flower.worker*"),
}
# The systems whose absence is felt elsewhere when the server they are on is gone.
_PLACED = ("postgresql", "pgbouncer", "redis", "rabbitmq", "minio", "flower", "api", "celery")


def effects_of_system(system: str) -> Effects:
    """Return what follows when a whole system does not serve: its own findings and its dependents'."""
    ways = (*ways_of(system), *(ways_of("firebase") if system == "proxy" else ()))
    return (*codes(f"{system}.*"), *ways, *effects_on_dependents(system))


def ways_of(name: str, key: str = "system") -> Effects:
    """Return the lines of the matrix that begin or end at a system, a member, a worker; with ``key`` server, at a server."""

    def begins_or_ends(finding: Finding) -> bool:
        place = finding.subject.split("/")[1]
        ends = (finding.evidence.get(key), finding.evidence.get("service"))
        return place == name or name in ends

    return codes("network.*", when=begins_or_ends)


def effects_on_dependents(system: str, *, hangs: bool = True) -> Effects:
    """Return what follows elsewhere when a system serves badly; its own other findings stay visible.

    Who is refused at once does not hang: then no task is stuck by it.
    """
    suffering = [code for code in _EFFECTS.get(system, ()) if hangs or code != _STUCK]
    bounds = {_FAILING: may_be_of(system), "pgbouncer.service.unreachable": _is_not_refused}
    logs = codes("docker.log.trouble", "servers.log.trouble", when=log_speaks_of(system))
    return (*(effect for code in suffering for effect in codes(code, when=bounds.get(code))), *logs)


def _is_not_refused(finding: Finding) -> bool:
    """Return whether a pool is there that cannot serve: no database behind it takes its port away."""
    return finding.evidence.get("kind") != "refused"


def effects_of_server(site: Site, server: str | None) -> Effects:
    """Return what follows when a server is gone: everything on it, and what its systems' dependents show."""
    here = {service.system for service in site.services() if service.server == server}
    return _of_server(server, [system for system in _PLACED if system in here])


def _of_server(server: str | None, systems: Iterable[str]) -> Effects:
    of_systems = [effect for system in systems for effect in effects_of_system(system)]
    ways = ways_of(server, "server") if server else ()
    return (*codes("*", server=server), *ways, *codes("release.rollback.impossible"), *of_systems)


def effects_of_container(site: Site, container: str) -> Effects:
    """Return what follows when one container does not run: its service, its own docker findings, dependents."""
    of_services = [effect for service in site.services_in(container) for effect in _of_service(site, service)]
    return (*_of_container(container), *of_services)


def _of_container(container: str) -> Effects:
    return codes("docker.container.*", "docker.log.*", "docker.evidence.*", subject=f"docker/{container}")


def _of_service(site: Site, service: Service) -> Effects:
    if service.system == "api":
        return effects_of_api_member(site, service.name)
    if service.system == "celery":
        return effects_of_worker(site, service.name)
    return effects_of_system(service.system)


def effects_of_api_member(site: Site, name: str) -> Effects:
    """Return what follows when one API member is gone; the balancer may notice, the other member does not."""
    member = site.member(name)
    return _of_api_member(name, member.container if member else None)


def _of_api_member(name: str, container: str | None) -> Effects:
    effects = (
        *codes("api.*", subject=f"api/{name}"),
        *ways_of(name),
        *codes(*BALANCER_SUFFERS, "api.members.all_down"),
    )
    if not container:
        return effects
    unwell = ("docker.container.unhealthy", "docker.container.restarting", "docker.evidence.backlog")
    return (*effects, *codes(*unwell, subject=f"docker/{container}"))


def effects_of_worker(site: Site, name: str) -> Effects:
    """Return what follows when one worker is gone: itself, its queues, and Flower's view of it."""
    worker = site.worker(name)
    return _of_worker(name, worker.queues if worker else ())


def _of_worker(name: str, queues: Iterable[str]) -> Effects:
    waiting: list[Effect] = []
    for queue in queues:
        waiting += codes(*QUEUE_WAITS, subject=f"rabbitmq/{queue}")
        waiting += codes("celery.queue.*", subject=f"celery/{queue}")
    return (
        *codes("celery.worker.*", "celery.task.*", subject=f"celery/{name}"),
        *codes(_FAILING, when=lost_its_process),
        *codes("celery.broker.*"),
        *ways_of(name),
        *codes("flower.worker*", when=_of_missing(name)),
        *waiting,
    )


def _of_missing(worker: str) -> Callable[[Finding], bool]:
    """Return what tells whether Flower misses this worker; it may miss others besides, each for a reason of its own."""
    return lambda finding: worker in (finding.evidence.get("missing") or (worker,))


def _everything_in_containers() -> Effects:
    systems = ("redis", "rabbitmq", "flower")
    return (
        *_of_container("CONTAINER"),
        *_of_api_member("MEMBER", "CONTAINER"),
        *_of_worker("WORKER", ("QUEUE",)),
        *(effect for system in systems for effect in effects_of_system(system)),
    )


def _of_finding_s_server(finding: Finding, site: Site) -> Effects:
    return effects_of_server(site, finding.server)


# The same for declarations: of the server, container, member or worker of the finding that decides.
SERVER_GONE = OfSite(_of_finding_s_server, _of_server("SERVER", _PLACED))
CONTAINER_GONE = OfSite(
    lambda finding, site: effects_of_container(site, name_of(finding)), _everything_in_containers()
)
MEMBER_GONE = OfSite(
    lambda finding, site: effects_of_api_member(site, name_of(finding)),
    _of_api_member("MEMBER", "CONTAINER"),
)
WORKER_GONE = OfSite(
    lambda finding, site: effects_of_worker(site, name_of(finding)), _of_worker("WORKER", ("QUEUE",))
)
