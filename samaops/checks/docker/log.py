"""Judge what the logs of the containers say: why one fails, and the trouble of one that runs."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks import log_words
from samaops.checks.docker.subjects import about_container
from samaops.checks.log_words import Reason
from samaops.checks.registry import Context, check
from samaops.facts.docker import Container, DockerFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.shell_words import operands

# Docker waits longer after each failed start, up to a minute, and forgets after ten seconds of running well.
RESTARTED_SECONDS = 600
# What was written shortly before the end belongs to it.
_BEFORE_END_SECONDS = 120.0


def restarted_lately(container: Container, docker: DockerFacts) -> bool:
    """Return whether Docker started it again a short while ago, because it had ended."""
    started = container.started_at
    return (
        bool(container.restart_count) and started is not None and docker.epoch - started < RESTARTED_SECONDS
    )


def see_log(container: Container, context: Context) -> str:
    """Return the command that shows a container's log."""
    return context.on_server(f"docker logs --tail 100 {operands(container.name)}")


def why_failing(container: Container, context: Context) -> Reason | None:
    """Return the last words of a container that ended."""
    ended = container.finished_at or container.started_at or 0.0
    return log_words.last_words(container.log or (), _system(container, context), ended - _BEFORE_END_SECONDS)


def why_unwell(container: Container, docker: DockerFacts, context: Context) -> Reason | None:
    """Return the trouble that a running container has written of lately."""
    since = docker.epoch - log_words.FRESH_SECONDS
    return log_words.trouble(container.log or (), _system(container, context), since)


def _system(container: Container, context: Context) -> str:
    """Return the system a container is a part of; "" where the configuration does not say."""
    return next((service.system for service in context.site.services_in(container.name)), "")


# Trouble that another check looks at is only the evidence for it: a log cannot tell that it is over.
@check("docker.log.trouble", DockerFacts, needs=("inside",))
def trouble(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        if container.name not in docker.expected or container.state != "running" or container.log is None:
            continue
        if restarted_lately(container, docker):
            continue  # docker.container.restarting has its last words
        about = about_container(container.name, context)
        reason = why_unwell(container, docker, context)
        if reason is None:
            yield about.ok(_("The log of {name} tells of no trouble").format(name=container.name))
            continue
        is_still_so = reason.is_still_so(docker.epoch)
        yield about.finding(
            Status.WARNING if is_still_so else Status.OK,
            reason.title(container.name, is_still_so=is_still_so),
            evidence={"system": _system(container, context), **reason.evidence_at(docker.epoch)},
            hint=see_log(container, context),
        )
