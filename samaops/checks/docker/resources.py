"""Judge what the containers take of their server: disk, logs, memory; and whether the members run one image."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.docker.subjects import about_container
from samaops.checks.registry import Context, check
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import size
from samaops.site.shell_words import operands

GIGABYTE = 10**9
MEBIBYTE = 1024**2
# What docker.log_size_limit_mb is where nothing is set.
_LOG_LIMIT_MB = 1024
VOLUMES = "Local Volumes"
_LOGS_IN_EVIDENCE = 3


# A tenth of the 100 GB disk that the production guide gives to the servers with containers.
@check("docker.disk.reclaimable", DockerFacts, needs=("disk",), warning=10, unit="GB")
def reclaimable(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    if docker.disk is None:
        return
    total = sum(use.reclaimable_bytes for use in docker.disk if use.type != VOLUMES)
    yield context.above(
        round(total / GIGABYTE, 1),
        _("Docker could give back {size} of images, containers and build cache").format(size=size(total)),
        evidence={
            use.type: {
                "size_bytes": use.size_bytes,
                "reclaimable_bytes": use.reclaimable_bytes,
                "count": use.count,
            }
            for use in docker.disk
        },
        hint=context.on_server("docker system df -v"),
    )


@check("docker.log.large", DockerFacts, needs=("logs",), warning=_LOG_LIMIT_MB, unit="MB")
def logs(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    limit = context.warning or _LOG_LIMIT_MB
    if limit == _LOG_LIMIT_MB and context.site.settings.docker:  # no threshold of its own is set
        limit = context.site.settings.docker.log_size_limit_mb
    limited = context.about(warning=limit)
    sizes = {container.name: container.log_bytes or 0 for container in docker.containers}
    large = [container for container in docker.containers if sizes[container.name] >= limit * MEBIBYTE]
    for container in large:
        size_bytes = sizes[container.name]
        name = docker.known_as(container)
        yield about_container(name, limited).warn(
            _("The log of container {name} has {size}").format(name=name, size=size(size_bytes)),
            value=round(size_bytes / MEBIBYTE, 1),
            evidence={
                "path": container.log_path,
                "log_bytes": size_bytes,
                "max_size": container.log_max_size,
            },
            hint=context.on_server(f"ls -lh {operands(container.log_path)}"),
        )
    if not large:
        largest = max(sizes.values(), default=0)
        title = _("The largest container log has {size}").format(size=size(largest))
        ranked = sorted(docker.containers, key=lambda container: -sizes[container.name])[:_LOGS_IN_EVIDENCE]
        evidence = [
            {"container": docker.known_as(each), "path": each.log_path, "log_bytes": sizes[each.name]}
            for each in ranked
            if sizes[each.name]
        ]
        yield limited.ok(title, value=round(largest / MEBIBYTE, 1), evidence={"largest": evidence})


# What the limits promise must be there. The guide's third server breaks this: 8.5 GB of limits on 8 GB.
@check("docker.memory.overcommitted", DockerFacts, warning=100, unit="%")
def memory(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    states = ("running", "paused", "restarting")
    running = [container for container in docker.containers if container.state in states]
    limits = {container.name: container.memory_limit for container in running if container.memory_limit}
    total = sum(limits.values())
    if not docker.memory_total:
        yield context.not_given("memory_total")
        return
    percent = round(100 * total / docker.memory_total, 1)
    yield context.above(
        percent,
        _("Memory limits of the containers: {total} of the server's {memory} ({percent} %)").format(
            total=size(total), memory=size(docker.memory_total), percent=percent
        ),
        evidence={
            "memory_total": docker.memory_total,
            "limits": limits,
            "without_limit": [container.name for container in running if not container.memory_limit],
        },
        hint=context.on_server("docker stats --no-stream"),
    )


@check("docker.image.differs", Snapshot)
def images(snapshot: Snapshot, context: Context) -> Iterator[Finding]:
    engines = {observation.server: docker for observation, docker in snapshot.facts_of(DockerFacts)}
    members: dict[str, Container] = {}
    for member in context.site.members():
        docker = engines.get(member.server)
        container = docker.named(member.container) if docker and member.container else None
        if container is not None:
            members[member.name] = container
    if len(members) < 2:
        return  # the checks of the engine and of its containers tell what is missing
    about = context.about("docker/api-members")
    evidence = {
        name: {"image": container.image, "image_id": container.image_id}
        for name, container in members.items()
    }
    ids = {name: container.image_id.removeprefix("sha256:")[:12] for name, container in members.items()}
    if len({container.image_id for container in members.values()}) == 1:
        yield about.ok(_("The API members run the same image"), evidence=evidence)
    else:
        listed = ", ".join(f"{name}: {image}" for name, image in ids.items())
        title = _("The API members run different images ({members})").format(members=listed)
        yield about.warn(title, evidence=evidence)
