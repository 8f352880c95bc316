"""Judge what the containers take of their server: disk, logs, memory; and whether the members run one image."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.checks.docker.subjects import container_subject
from samaops.checks.quantities import size
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.site.commands import on_server

GIGABYTE = 10**9
MEBIBYTE = 1024**2
# What docker.log_size_limit_mb is where nothing is set.
_LOG_LIMIT_MB = 1024
VOLUMES = "Local Volumes"


# A tenth of the 100 GB disk that the production guide gives to the servers with containers.
@check(
    "docker.disk.reclaimable",
    title=N_("Disk that Docker could give back"),
    facts=DockerFacts,
    needs=("disk",),
    warning=10,
    unit="GB",
    explain=Explanation(
        meaning=N_(
            "Old images, ended containers and build caches fill the disk. Volumes are not counted: they are data."
        ),
        confirm=("docker system df -v", "docker images --filter dangling=true"),
        fix=N_(
            "Remove images that no container uses and that are older than the last releases you may go back to."
        ),
        avoid=N_(
            "Never docker system prune --volumes: it deletes Redis' and RabbitMQ's data while they are stopped."
        ),
    ),
)
def reclaimable(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    if docker.disk is None:
        return
    total = sum(one.reclaimable_bytes for one in docker.disk if one.type != VOLUMES)
    yield context.above(
        round(total / GIGABYTE, 1),
        _("Docker could give back {size} of images, containers and build cache").format(size=size(total)),
        evidence={
            one.type: {
                "size_bytes": one.size_bytes,
                "reclaimable_bytes": one.reclaimable_bytes,
                "count": one.count,
            }
            for one in docker.disk
        },
        hint=on_server(context.site, _server(context), "docker system df -v"),
    )


@check(
    "docker.log.large",
    title=N_("Size of the containers' logs"),
    facts=DockerFacts,
    needs=("logs",),
    warning=_LOG_LIMIT_MB,
    unit="MB",
    explain=Explanation(
        meaning=N_("The log of a container has no limit (max-size) and grows until the disk is full."),
        confirm=(
            "docker inspect -f '{{.LogPath}} {{json .HostConfig.LogConfig}}' CONTAINER",
            "ls -lh LOGPATH",
        ),
        fix=N_(
            "Empty the file in place (truncate -s 0), then give the service max-size and max-file in its compose file."
        ),
        avoid=N_("Do not delete the file: the engine holds it open and the space does not come back."),
    ),
)
def logs(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    limit = context.warning or _LOG_LIMIT_MB
    if limit == _LOG_LIMIT_MB and context.site.settings.docker:  # no threshold of its own is set
        limit = context.site.settings.docker.log_size_limit_mb
    seen = [one for one in docker.containers if one.log_bytes is not None]
    large = [one for one in seen if (one.log_bytes or 0) >= limit * MEBIBYTE]
    for one in large:
        yield _large_log(one, limit, context)
    if not large:
        largest = max((one.log_bytes or 0 for one in seen), default=0)
        title = _("The largest container log has {size}").format(size=size(largest))
        yield context.ok(title, value=round(largest / MEBIBYTE, 1), warning=limit)


def _large_log(container: Container, limit: float, context: Context) -> Finding:
    bytes_ = container.log_bytes or 0
    return context.warn(
        _("The log of container {name} has {size}").format(name=container.name, size=size(bytes_)),
        subject=container_subject(container.name, context),
        value=round(bytes_ / MEBIBYTE, 1),
        warning=limit,
        evidence={"path": container.log_path, "log_bytes": bytes_, "max_size": container.log_max_size},
        hint=on_server(context.site, _server(context), f"ls -lh {shlex.quote(container.log_path)}"),
    )


# What the limits promise must be there. The guide's third server breaks this: 8.5 GB of limits on 8 GB.
@check(
    "docker.memory.overcommitted",
    title=N_("The containers' memory limits fit into the server"),
    facts=DockerFacts,
    warning=100,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "The memory limits of the running containers add up to more than the server has: before all reach "
            "theirs, the kernel kills a process of its own choice."
        ),
        confirm=("docker stats --no-stream", "free -m"),
        fix=N_("Lower the limits to what is really used plus a margin, or give the server more memory."),
        avoid=N_("Do not remove limits: an unlimited container makes the same happen without any warning."),
    ),
)
def memory(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    running = [one for one in docker.containers if one.state in ("running", "paused", "restarting")]
    limits = {one.name: one.memory_limit for one in running if one.memory_limit}
    total = sum(limits.values())
    percent = round(100 * total / docker.memory_total, 1)
    yield context.above(
        percent,
        _("Memory limits of the containers: {total} of the server's {memory} ({percent} %)").format(
            total=size(total), memory=size(docker.memory_total), percent=percent
        ),
        evidence={
            "memory_total": docker.memory_total,
            "limits": limits,
            "without_limit": [one.name for one in running if not one.memory_limit],
        },
        hint=on_server(context.site, _server(context), "docker stats --no-stream"),
    )


@check(
    "docker.image.differs",
    title=N_("The API members run the same image"),
    facts=Snapshot,
    explain=Explanation(
        meaning=N_(
            "The members of the pool run different releases: the same request gets different answers."
        ),
        confirm=(
            "docker inspect -f '{{.Name}} {{.Image}} {{.Config.Image}}' samaconso_api_1 samaconso_api_2",
        ),
        fix=N_(
            "Finish the deployment, or take it back: both members must run the release that is known to work."
        ),
        avoid=N_(
            "Do not deploy again over it before you know which of the two is right, and what the schema expects."
        ),
    ),
)
def images(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    api = context.site.settings.api
    engines = {one.server: docker for one, docker in snapshot.facts_of(DockerFacts)}
    found: dict[str, Container] = {}
    for instance in api.instances if api else ():
        docker = engines.get(instance.server)
        container = docker.named(instance.container) if docker and instance.container else None
        if container is not None:
            found[instance.name] = container
    if len(found) < 2:
        return  # what is missing is said by the checks of the engine and of its containers
    evidence = {name: {"image": one.image, "image_id": one.image_id} for name, one in found.items()}
    subject = "docker/api-members"
    if len({one.image_id for one in found.values()}) == 1:
        yield context.ok(_("The API members run the same image"), subject=subject, evidence=evidence)
        return
    members = ", ".join(f"{name}: {one.image_id.removeprefix('sha256:')[:12]}" for name, one in found.items())
    title = _("The API members run different images ({members})").format(members=members)
    yield context.warn(title, subject=subject, evidence=evidence)


def _server(context: Context) -> str | None:
    return context.observation.server if context.observation else None
