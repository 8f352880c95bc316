"""Judge the Docker engines and their containers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from samaops.checks.docker import resources as docker_resources  # registered by its import
from samaops.checks.docker.subjects import container_subject, kernel_kills
from samaops.checks.quantities import duration, size
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.docker import Container, DockerFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.site.commands import on_server

__all__ = ["docker_resources"]

NOT_RUNNING = ("exited", "dead", "created", "removing")
# Docker waits longer after each failed start, up to a minute, and forgets after ten seconds of running well.
RESTARTED_SECONDS = 600


@check(
    "docker.engine.unreachable",
    title=N_("The Docker engine answers"),
    facts=DockerFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "The engine does not answer on this server: its containers are down, or cannot be managed."
        ),
        confirm=(
            "docker ps",
            "systemctl status docker",
            "journalctl -u docker --since -1h",
            "df -h /var/lib/docker",
        ),
        fix=N_(
            "Read why it ended (often a full disk); then start it: containers with a restart policy come back."
        ),
        avoid=N_(
            "Do not delete /var/lib/docker, and do not reinstall: volumes hold Redis' and RabbitMQ's data."
        ),
    ),
)
def answers(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    running = sum(one.state == "running" for one in docker.containers)
    title = _("The Docker engine answers: {running} of {count} containers run").format(
        running=running, count=len(docker.containers)
    )
    yield context.ok(title, evidence={"containers": len(docker.containers), "running": running})


@check(
    "docker.container.missing",
    title=N_("The expected containers exist"),
    facts=DockerFacts,
    explain=Explanation(
        meaning=N_("A container that should run does not exist at all: removed, renamed, or never created."),
        confirm=("docker ps -a", "docker-compose config --services", "docker events --since 24h --until 0s"),
        fix=N_("Create it again from its compose file with the image that the other servers run."),
        avoid=N_("Do not run docker-compose down: it stops the neighbours as well."),
    ),
)
def missing(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for name in docker.expected:
        subject = container_subject(name, context)
        container = docker.named(name)
        if container is None:
            yield context.crit(
                _("Container {name} does not exist").format(name=name),
                subject=subject,
                evidence={"name": name, "present": [one.name for one in docker.containers][:50]},
                hint=on_server(context.site, _server(context), "docker ps -a"),
            )
        else:
            yield context.ok(_("Container {name} exists").format(name=name), subject=subject)


@check(
    "docker.container.stopped",
    title=N_("The expected containers run"),
    facts=DockerFacts,
    explain=Explanation(
        meaning=N_("A container that should run has ended. Its exit code says how."),
        confirm=(
            "docker ps -a",
            "docker logs --tail 100 CONTAINER",
            "docker inspect -f '{{json .State}}' CONTAINER",
        ),
        fix=N_("Read the last lines of its log, then start it: docker start CONTAINER."),
        avoid=N_(
            "Do not recreate it with another image only to get it up: the members must run the same release."
        ),
    ),
)
def stopped(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in _expected(docker):
        if container.state in NOT_RUNNING:
            yield _stopped(container, docker, context)
        else:
            title = _("Container {name} is {state}").format(name=container.name, state=container.state)
            yield context.ok(title, subject=container_subject(container.name, context))


def _stopped(container: Container, docker: DockerFacts, context: Context) -> Finding:
    ended = container.finished_at
    ago = duration(max(0.0, docker.epoch - ended)) if ended is not None else _("never started")
    return context.crit(
        _("Container {name} is not running: exit code {code}, {ago} ago").format(
            name=container.name, code=container.exit_code, ago=ago
        ),
        subject=container_subject(container.name, context),
        detail=container.error,
        evidence={
            "state": container.state,
            "exit_code": container.exit_code,
            "oom_killed": container.oom_killed,
            "finished_at": ended,
            "error": container.error,
            "restart_policy": container.restart_policy,
            "restart_count": container.restart_count,
        },
        hint=on_server(
            context.site, _server(context), f"docker logs --tail 100 {shlex.quote(container.name)}"
        ),
    )


@check(
    "docker.container.oom_killed",
    title=N_("Containers stay within their memory limit"),
    facts=DockerFacts,
    explain=Explanation(
        meaning=N_(
            "The kernel killed a process of a container because the container reached its memory limit."
        ),
        confirm=(
            "docker inspect -f '{{.State.OOMKilled}} {{.HostConfig.Memory}}' CONTAINER",
            "dmesg -T | grep -i memcg",
        ),
        fix=N_(
            "Start the one container again; find what grows; raise the limit only if the server has the memory."
        ),
        avoid=N_("Do not remove the limit: without one the kernel picks its victim on the whole server."),
    ),
)
def oom_killed(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        kills = kernel_kills(container, context)
        subject = container_subject(container.name, context)
        if not container.oom_killed and not kills:
            if container.name in docker.expected:
                yield context.ok(
                    _("Container {name} was not killed for memory").format(name=container.name),
                    subject=subject,
                )
            continue
        is_down = container.state in NOT_RUNNING and container.oom_killed
        title = _("Container {name} was killed at its memory limit of {limit}").format(
            name=container.name, limit=size(container.memory_limit) if container.memory_limit else "?"
        )
        fields = {
            "subject": subject,
            "evidence": {
                "state": container.state,
                "oom_killed": container.oom_killed,
                "exit_code": container.exit_code,
                "memory_limit": container.memory_limit,
                "finished_at": container.finished_at,
                "kills": [{"at": one.at, "pid": one.pid, "command": one.command} for one in kills[-10:]],
            },
            "hint": on_server(
                context.site,
                _server(context),
                f"docker inspect {shlex.quote(container.name)} | grep -i oom",
            ),
        }
        yield (
            context.crit(title, **fields)
            if is_down and container.name in docker.expected
            else context.warn(title, **fields)
        )


@check(
    "docker.container.unhealthy",
    title=N_("Health checks of the containers pass"),
    facts=DockerFacts,
    explain=Explanation(
        meaning=N_("The container runs, but its own health check fails: it is up and does not do its work."),
        confirm=("docker inspect -f '{{json .State.Health}}' CONTAINER", "docker logs --tail 100 CONTAINER"),
        fix=N_(
            "Read what the health check says; it is mostly a dependency (database, broker) and not the container."
        ),
        avoid=N_("Do not restart it before its dependencies were looked at: it comes back just as ill."),
    ),
)
def unhealthy(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        if container.health is None or container.state != "running":
            continue
        subject = container_subject(container.name, context)
        evidence = {"health": container.health, "health_log": container.health_log}
        if container.health != "unhealthy":
            title = _("Container {name} says that it is {health}").format(
                name=container.name, health=container.health
            )
            yield context.ok(title, subject=subject, evidence=evidence)
            continue
        title = _("Container {name} runs, but its health check fails").format(name=container.name)
        hint = on_server(
            context.site, _server(context), f"docker logs --tail 100 {shlex.quote(container.name)}"
        )
        judge = context.crit if container.name in docker.expected else context.warn
        yield judge(title, subject=subject, detail=container.health_log, evidence=evidence, hint=hint)


@check(
    "docker.container.restarting",
    title=N_("Containers do not restart again and again"),
    facts=DockerFacts,
    explain=Explanation(
        meaning=N_(
            "The container starts, ends at once, and Docker starts it again: mostly its configuration or image."
        ),
        confirm=("docker ps -a", "docker inspect -f '{{.RestartCount}} {{.State.ExitCode}}' CONTAINER"),
        fix=N_("Read the traceback in its log; go back to the last release or configuration that worked."),
        avoid=N_(
            "Do not raise limits or timeouts blindly: a loop with exit code 1 is an error of the program."
        ),
    ),
)
def restarting(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        is_young = (
            container.started_at is not None and docker.epoch - container.started_at < RESTARTED_SECONDS
        )
        fields = {
            "subject": container_subject(container.name, context),
            "value": container.restart_count,
            "unit": "restarts",
            "evidence": {
                "state": container.state,
                "restart_count": container.restart_count,
                "exit_code": container.exit_code,
                "started_at": container.started_at,
            },
            "hint": on_server(
                context.site, _server(context), f"docker logs --tail 100 {shlex.quote(container.name)}"
            ),
        }
        if container.state == "restarting":
            title = _("Container {name} restarts again and again: exit code {code}, {count} restarts").format(
                name=container.name, code=container.exit_code, count=container.restart_count
            )
            yield (
                context.crit(title, **fields)
                if container.name in docker.expected
                else context.warn(title, **fields)
            )
        elif container.restart_count and is_young and container.state == "running":
            title = _(
                "Container {name} was restarted {count} times, the last time less than {limit} ago"
            ).format(name=container.name, count=container.restart_count, limit=duration(RESTARTED_SECONDS))
            yield context.warn(title, **fields)
        elif container.name in docker.expected:
            title = _("Container {name} has not restarted lately").format(name=container.name)
            yield context.ok(title, **fields)


@check(
    "docker.container.paused",
    title=N_("No container is paused"),
    facts=DockerFacts,
    explain=Explanation(
        meaning=N_(
            "Somebody has frozen the container (docker pause): it keeps its connections and answers nothing."
        ),
        confirm=("docker ps --filter status=paused",),
        fix=N_("Ask who paused it and why, then: docker unpause CONTAINER."),
        avoid=N_("Do not restart it: what it was doing would be lost, while unpause goes on where it stood."),
    ),
)
def paused(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    found = [one for one in docker.containers if one.state == "paused"]
    for container in found:
        judge = context.crit if container.name in docker.expected else context.warn
        yield judge(
            _("Container {name} is paused: it accepts connections and answers nothing").format(
                name=container.name
            ),
            subject=container_subject(container.name, context),
            evidence={"state": container.state, "pid": container.pid},
            hint=on_server(context.site, _server(context), "docker ps --filter status=paused"),
        )
    if not found:
        yield context.ok(_("No container is paused"))


def _expected(docker: DockerFacts) -> Sequence[Container]:
    return [one for one in docker.containers if one.name in docker.expected]


def _server(context: Context) -> str | None:
    return context.observation.server if context.observation else None
