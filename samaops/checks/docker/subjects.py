"""How containers are named in findings, and what the server's kernel says of them."""

from __future__ import annotations

from samaops.checks.registry import Context
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.servers import OomKill, ServerFacts

DAY_SECONDS = 86400.0


def container_subject(name: str, context: Context) -> str:
    """Return ``docker/NAME``, with the server's name in front where the container's name alone is not enough.

    That is when nobody expects it there, or when another server has one of the same name.
    """
    server = context.observation.server if context.observation else None
    expected_on = {
        one.server for one, facts in context.snapshot.facts_of(DockerFacts) if name in facts.expected
    }
    return f"docker/{name}" if expected_on == {server} else f"docker/{server}:{name}"


def kernel_kills(container: Container, context: Context) -> list[OomKill]:
    """Return the kills of this container's processes in the last 24 hours, as the server's kernel log has them.

    Docker forgets them when it restarts a container by itself; the kernel does not. Kills from before a start
    by hand are not returned: whoever started it knew.
    """
    server = context.observation.server if context.observation else None
    return [
        kill
        for observation, facts in context.snapshot.facts_of(ServerFacts)
        if observation.server == server and facts.kernel_log is not None
        for kill in facts.kernel_log.kills
        if kill.container == container.id and _still_matters(kill, container, facts.epoch)
    ]


def _still_matters(kill: OomKill, container: Container, now: float) -> bool:
    if kill.at is None:
        return container.restart_count > 0
    in_this_life = container.started_at is None or kill.at >= container.started_at
    return kill.at >= now - DAY_SECONDS and (in_this_life or container.restart_count > 0)
