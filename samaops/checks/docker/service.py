"""Judge the Docker engines and their containers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from samaops.checks.docker.log import RESTARTED_SECONDS, restarted_lately, see_log, why_failing, why_unwell
from samaops.checks.docker.subjects import about_container, kernel_kills
from samaops.checks.quantities import duration, size
from samaops.checks.registry import Context, Evidence, access, check
from samaops.facts.docker import Container, DockerFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status

# Ended by itself well, or stopped by somebody: its last words are no reason.
ON_REQUEST = (0, 137, 143)
NOT_RUNNING = ("exited", "dead", "created", "removing")


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
    return Status.CRITICAL if container.name in docker.expected else Status.WARNING


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


@check("docker.container.stopped", DockerFacts)
def stopped(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in _expected(docker):
        if container.state in NOT_RUNNING:
            yield _stopped(container, docker, about_container(container.name, context))
        else:
            title = _("Container {name} is {state}").format(name=container.name, state=container.state)
            yield about_container(container.name, context).ok(title)


def _stopped(container: Container, docker: DockerFacts, context: Context) -> Finding:
    ended = container.finished_at
    reason = None if container.exit_code in ON_REQUEST else why_failing(container, context)
    ago = duration(max(0.0, docker.epoch - ended)) if ended is not None else _("never started")
    return context.crit(
        _("Container {name} is not running: exit code {code}, {ago} ago").format(
            name=container.name, code=container.exit_code, ago=ago
        ),
        detail=container.error or (reason.words if reason else ""),
        evidence={
            "state": container.state,
            "exit_code": container.exit_code,
            "oom_killed": container.oom_killed,
            "finished_at": ended,
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
        kills = kernel_kills(container, context)
        about = about_container(container.name, context)
        if not container.oom_killed and not kills:
            if container.name in docker.expected:
                yield about.ok(_("Container {name} was not killed for memory").format(name=container.name))
            continue
        is_down = container.state in NOT_RUNNING and container.oom_killed
        title = _("Container {name} was killed at its memory limit of {limit}").format(
            name=container.name, limit=size(container.memory_limit) if container.memory_limit else "?"
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
            hint=context.on_server(f"docker inspect {shlex.quote(container.name)} | grep -i oom"),
        )


@check("docker.container.unhealthy", DockerFacts)
def unhealthy(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        if container.health is None or container.state != "running":
            continue
        about = about_container(container.name, context)
        evidence: Evidence = {"health": container.health, "health_log": container.health_log}
        if container.health != "unhealthy":
            title = _("Container {name} says that it is {health}").format(
                name=container.name, health=container.health
            )
            yield about.ok(title, evidence=evidence)
            continue
        reason = why_unwell(container, docker, context)
        yield about.finding(
            _bad(container, docker),
            _("Container {name} runs, but its health check fails").format(name=container.name),
            detail=container.health_log or (reason.words if reason else ""),
            evidence={**evidence, **(reason.evidence_at(docker.epoch) if reason else {})},
            hint=see_log(container, context),
        )


@check("docker.container.restarting", DockerFacts)
def restarting(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        reason = None
        if container.state == "restarting":
            status, reason = _bad(container, docker), why_failing(container, context)
            title = _("Container {name} restarts again and again: exit code {code}, {count} restarts").format(
                name=container.name, code=container.exit_code, count=container.restart_count
            )
        elif restarted_lately(container, docker) and container.state == "running":
            status, reason = Status.WARNING, why_failing(container, context)
            title = _(
                "Container {name} was restarted {count} times, the last time less than {limit} ago"
            ).format(name=container.name, count=container.restart_count, limit=duration(RESTARTED_SECONDS))
        elif container.name in docker.expected:
            status = Status.OK
            title = _("Container {name} has not restarted lately").format(name=container.name)
        else:
            continue
        evidence = {
            "state": container.state,
            "restart_count": container.restart_count,
            "exit_code": container.exit_code,
            "started_at": container.started_at,
            **(reason.evidence if reason else {}),
        }
        yield about_container(container.name, context.about(unit="restarts")).finding(
            status,
            title,
            detail=reason.words if reason else "",
            value=container.restart_count,
            evidence=evidence,
            hint=see_log(container, context),
        )


@check("docker.container.paused", DockerFacts)
def paused(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    frozen = [container for container in docker.containers if container.state == "paused"]
    for container in frozen:
        yield about_container(container.name, context).finding(
            _bad(container, docker),
            _("Container {name} is paused: it accepts connections and answers nothing").format(
                name=container.name
            ),
            evidence={"state": container.state, "pid": container.pid},
            hint=context.on_server("docker ps --filter status=paused"),
        )
    if not frozen:
        yield context.ok(_("No container is paused"))


def _expected(docker: DockerFacts) -> Sequence[Container]:
    return [container for container in docker.containers if container.name in docker.expected]
