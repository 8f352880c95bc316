"""What is observed of a Docker engine: its containers, through the ``docker`` command on the server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.collect.docker import reading
from samaops.collect.docker.reading import COMMAND_SECONDS
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.collect.sections import script_of
from samaops.facts.docker import DockerFacts
from samaops.facts.systems import ALSO_FEEDS
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

# Of the whole script; of one docker command, COMMAND_SECONDS, which counts when the engine hangs.
SCRIPT_SECONDS = 9.0
# What needs a look into the containers: their logs, their environments, and what they reach.
INSIDE_CODES = (
    "docker.container.environment",
    "docker.container.reach",
    "docker.container.restarting",
    "docker.container.stopped",
    "docker.container.unhealthy",
    "docker.log.trouble",
)


def engines(site: Site) -> Iterator[Target]:
    """Yield the engine of each server that must run containers, with their names."""
    if site.settings.docker is not None:
        for server, names in site.containers().items():
            yield Target(server, names, server, site.shell_seconds(server, SCRIPT_SECONDS))


@collects(
    "docker",
    DockerFacts,
    targets=engines,
    # which release runs, a container says
    feeds=("docker", *ALSO_FEEDS["docker"]),
)
def look(names: tuple[str, ...], site: Site, probe: Probe) -> DockerFacts:
    """Read one engine."""
    require_engine(site)
    assert probe.server is not None
    return observe(probe.server, names, probe)


def require_engine(site: Site) -> None:
    """Raise ClientError (ABSENT) where the configuration says that there is no engine."""
    if site.settings.docker is not None and site.settings.docker.engine == "none":
        raise ClientError(FailureKind.ABSENT, why_absent(site.settings.docker.engine_reason))


def why_absent(reason: str) -> str:
    """Say that the configuration has no engine, and why: ``docker.engine_reason``."""
    words = _("the services run without containers")
    return f"{words}: {reason}" if reason else words


def observe(server: str, expected: tuple[str, ...], probe: Probe) -> DockerFacts:
    """Run one script on the server and read its answer."""
    shell = probe.shell(server)
    probe.stage("docker ps")
    token = secrets.token_hex(8)
    command = f"sh -s -- {token} {_costly_parts(probe)} {COMMAND_SECONDS}"
    done = shell.run(command, min(SCRIPT_SECONDS, probe.remaining()), script())
    return reading.read(done, token, expected, probe)


def _costly_parts(probe: Probe) -> str:
    parts = (
        ("disk", ("docker.disk.reclaimable",)),
        ("logs", ("docker.log.large",)),
        ("files", ("docker.engine.unreachable",)),
        ("inside", INSIDE_CODES),
    )
    return ",".join(part for part, codes in parts if probe.wants(*codes)) or "-"


@cache
def script() -> bytes:
    """Return the script that reads an engine."""
    return engine_script(Path(__file__).with_suffix(".sh"))


def engine_script(file: Path) -> bytes:
    """Return a script that asks an engine, behind what all of these have in common."""
    return script_of(Path(__file__).with_name("engine.sh"), file)
