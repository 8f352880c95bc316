"""How containers are named in findings, and what the server's kernel says of them."""

from __future__ import annotations

from samaops.checks.registry import Context
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.servers import OomKill, ServerFacts

DAY_SECONDS = 86400.0


def about_container(name: str, context: Context) -> Context:
    """Return the context for ``docker/NAME``, with the server's name in front where the name alone is not enough.

    That is when it is not expected there, or when another server has one of the same name.
    """
    server = context.server
    engines = context.snapshot.facts_of(DockerFacts)
    expected_on = {observation.server for observation, docker in engines if name in docker.expected}
    return context.about(f"docker/{name}" if expected_on == {server} else f"docker/{server}:{name}")


def kernel_kills(container: Container, context: Context) -> list[OomKill]:
    """Return the kills of this container's processes in the last 24 hours, as the server's kernel log has them.

    Docker forgets them when it restarts a container by itself; the kernel does not. Kills from before a start
    by hand are not returned: whoever started it knew.
    """
    return [
        kill
        for observation, facts in context.snapshot.facts_of(ServerFacts)
        if observation.server == context.server and facts.kernel_log is not None
        for kill in facts.kernel_log.kills
        if kill.container == container.id and _still_matters(kill, container, facts.epoch)
    ]


def _still_matters(kill: OomKill, container: Container, now: float) -> bool:
    if kill.at is None:
        return container.restart_count > 0
    in_this_life = container.started_at is None or kill.at >= container.started_at
    return kill.at >= now - DAY_SECONDS and (in_this_life or container.restart_count > 0)
