"""Judge the Docker engines and their containers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from samaops.checks.docker.log import RESTARTED_SECONDS, restarted_lately, see_log, why_failing, why_unwell
from samaops.checks.docker.subjects import about_container, kernel_kills
from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.docker import ON_REQUEST, Container, DockerFacts, plain
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import duration, size
from samaops.model.status import Status
from samaops.site.shell_words import operands

NOT_RUNNING = ("exited", "dead", "created", "removing")
# What a crash loop with long pauses shows in one look: the last restart within a day, and so many of them at all, or
# fewer with no longer than this between them in the mean.
DAY_SECONDS = 86400.0
MANY_RESTARTS, LEAST_RESTARTS = 10, 3
MEAN_LIFE_SECONDS = 2 * DAY_SECONDS


def _running(docker: DockerFacts) -> int:
    return sum(container.state == "running" for container in docker.containers)


access(
    "docker.engine.unreachable",
    DockerFacts,
    title=lambda docker: _("The Docker engine answers: {running} of {count} containers run").format(
        running=_running(docker), count=len(docker.containers)
    ),
    evidence=lambda docker: {"containers": len(docker.containers), "running": _running(docker)},
)


def _bad(container: Container, docker: DockerFacts) -> Status:
    """Return how bad trouble with a container is: nothing depends on one that is not expected."""
    return Status.CRITICAL if docker.known_as(container) in docker.expected else Status.WARNING


@check("docker.container.missing", DockerFacts)
def missing(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for name in docker.expected:
        about = about_container(name, context)
        if docker.named(name) is None:
            yield about.crit(
                _("Container {name} does not exist").format(name=name),
                evidence={"name": name, "present": [container.name for container in docker.containers][:50]},
                hint=context.on_server("docker ps -a"),
            )
        else:
            yield about.ok(_("Container {name} exists").format(name=name))


@check("docker.container.renamed", DockerFacts)
def renamed(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    others = {name: container for name, container in docker.working.items() if container.name != name}
    for name, container in others.items():
        about = about_container(name, context)
        in_the_way = next((other for other in docker.containers if other.name == name), None)
        evidence = {
            "name": name,
            "runs_as": container.name,
            "id": container.id[:12],
            "project": container.project,
            "service": container.service,
            "state": container.state,
            "in_the_way": in_the_way.state if in_the_way else None,
        }
        words = {"name": name, "real": container.name, "state": container.state}
        if plain(container.name) == plain(name):
            title = _("Container {name} has the name that version 2 of compose gives it: {real}")
            yield about.ok(title.format(**words), evidence=evidence)
            continue
        title = _("Container {name} runs under another name: {real}")
        if container.state != "running":
            title = _("Container {name} is there under another name, {real}, and is {state}")
        hint = context.on_server("docker ps -a --format '{{.Names}} {{.Status}} {{.Labels}}'")
        yield about.warn(title.format(**words), evidence=evidence, hint=hint)
    if not others:
        yield context.ok(_("Every container that is there has its name"))


@check("docker.container.stopped", DockerFacts)
def stopped(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in _expected(docker):
        if container.state in NOT_RUNNING:
            yield _stopped(container, docker, about_container(docker.known_as(container), context))
        else:
            name = docker.known_as(container)
            title = _("Container {name} is {state}").format(name=name, state=container.state)
            yield about_container(name, context).ok(title)


def _stopped(container: Container, docker: DockerFacts, context: Context) -> Finding:
    ended, name = container.finished_at, docker.known_as(container)
    reason = None if container.exit_code in ON_REQUEST else why_failing(container, context)
    ago = duration(max(0.0, docker.epoch - ended)) if ended is not None else "?"
    title = _("Container {name} is not running: exit code {code}, {ago} ago")
    if container.state == "created":
        title = _("Container {name} was made and never started")
    return context.crit(
        title.format(name=name, code=container.exit_code, ago=ago),
        detail=container.error or (reason.words if reason else ""),
        evidence={
            "state": container.state,
            "exit_code": container.exit_code,
            "oom_killed": container.oom_killed,
            "finished_at": ended,
            "age_seconds": None if ended is None else round(max(0.0, docker.epoch - ended), 1),
            "error": container.error,
            "restart_policy": container.restart_policy,
            "restart_count": container.restart_count,
            **(reason.evidence if reason else {}),
        },
        hint=see_log(container, context),
    )


@check("docker.container.oom_killed", DockerFacts)
def oom_killed(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        kills, name = kernel_kills(container, context), docker.known_as(container)
        about = about_container(name, context)
        if not container.oom_killed and not kills:
            if name in docker.expected:
                yield about.ok(_("Container {name} was not killed for memory").format(name=name))
            continue
        is_down = container.state in NOT_RUNNING and container.oom_killed
        title = _("Container {name} was killed at its memory limit of {limit}").format(
            name=name, limit=size(container.memory_limit) if container.memory_limit else "?"
        )
        yield about.finding(
            _bad(container, docker) if is_down else Status.WARNING,
            title,
            evidence={
                "state": container.state,
                "oom_killed": container.oom_killed,
                "exit_code": container.exit_code,
                "memory_limit": container.memory_limit,
                "finished_at": container.finished_at,
                "kills": [{"at": kill.at, "pid": kill.pid, "command": kill.command} for kill in kills[-10:]],
            },
            hint=context.on_server(f"docker inspect {operands(container.name)} | grep -i oom"),
        )


@check("docker.container.unhealthy", DockerFacts)
def unhealthy(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        if container.health is None or container.state != "running":
            continue
        name = docker.known_as(container)
        about = about_container(name, context)
        evidence: Evidence = {"health": container.health, "health_log": container.health_log}
        if container.health != "unhealthy":
            title = _("Container {name} says that it is {health}").format(name=name, health=container.health)
            yield about.ok(title, evidence=evidence)
            continue
        reason = why_unwell(container, docker, context)
        yield about.finding(
            _bad(container, docker),
            _("Container {name} runs, but its health check fails").format(name=name),
            detail=container.health_log or (reason.words if reason else ""),
            evidence={**evidence, **(reason.evidence_at(docker.epoch) if reason else {})},
            hint=see_log(container, context),
        )


@check("docker.container.restarting", DockerFacts)
def restarting(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        name, reason = docker.known_as(container), None
        up_seconds = None if container.started_at is None else docker.epoch - container.started_at
        if container.state == "restarting":
            status, reason = _bad(container, docker), why_failing(container, context)
            title = _("Container {name} restarts again and again: exit code {code}, {count} restarts").format(
                name=name, code=container.exit_code, count=container.restart_count
            )
        elif restarted_lately(container, docker) and container.state == "running":
            status, reason = Status.WARNING, why_failing(container, context)
            title = _(
                "Container {name} was restarted {count} times, the last time less than {limit} ago"
            ).format(name=name, count=container.restart_count, limit=duration(RESTARTED_SECONDS))
        elif container.state == "running" and _crashes_with_pauses(container, docker.epoch):
            status = Status.WARNING
            title = _(
                "Container {name} crashes again and again: {count} restarts, the last {ago} ago"
            ).format(name=name, count=container.restart_count, ago=duration(up_seconds or 0.0))
        elif name in docker.expected:
            status = Status.OK
            title = _("Container {name} has not restarted lately").format(name=name)
        else:
            continue
        evidence = {
            "state": container.state,
            "restart_count": container.restart_count,
            "exit_code": container.exit_code,
            "started_at": container.started_at,
            "up_seconds": up_seconds,
            **(reason.evidence if reason else {}),
        }
        yield about_container(name, context.about(unit="restarts")).finding(
            status,
            title,
            detail=reason.words if reason else "",
            value=container.restart_count,
            evidence=evidence,
            hint=see_log(container, context),
        )


def _crashes_with_pauses(container: Container, now: float) -> bool:
    """Return whether it ends again and again after hours of running: restarts that are many, or many for its age.

    Docker counts its own restarts only, not those that somebody asks for.
    """
    if container.started_at is None or now - container.started_at >= DAY_SECONDS:
        return False
    age = 0.0 if container.created_at is None else now - container.created_at
    is_often = age <= container.restart_count * MEAN_LIFE_SECONDS
    return container.restart_count >= MANY_RESTARTS or (
        container.restart_count >= LEAST_RESTARTS and is_often
    )


@check("docker.container.paused", DockerFacts)
def paused(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    frozen = [container for container in docker.containers if container.state == "paused"]
    for container in frozen:
        name = docker.known_as(container)
        yield about_container(name, context).finding(
            _bad(container, docker),
            _("Container {name} is paused: it accepts connections and answers nothing").format(name=name),
            evidence={"state": container.state, "pid": container.pid},
            hint=context.on_server("docker ps --filter status=paused"),
        )
    if not frozen:
        yield context.ok(_("No container is paused"))


def _expected(docker: DockerFacts) -> Sequence[Container]:
    return [container for name in docker.expected if (container := docker.named(name)) is not None]
