"""Stop and start one service of the compose files, whether it runs in a container or as a plain process."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

from samaops.i18n import _
from samaops.lab import compose, processes
from samaops.lab.compose import CONTAINERS, PORTS
from samaops.lab.incidents.site import Site
from samaops.lab.layout import ADDRESSES
from samaops.lab.processes import StartError
from samaops.lab.servers import run_in
from samaops.lab.starting import wait_until

STOP_SECONDS = 3
READY_SECONDS = 45.0


def server_of(container: str) -> str:
    """Return the server that runs a container."""
    return next(server for server, names in CONTAINERS.items() if container in names)


def docker(site: Site, container: str, *arguments: str) -> str:
    """Run a docker command on the container's server."""
    return site.run(server_of(container), ["docker", *arguments])


def shell(site: Site, container: str, directory: str, script: str) -> str:
    """Run a script of the shell where a service keeps its files. Raises StartError with its last words."""
    if site.has_containers:
        return docker(site, container, "exec", "-w", directory, container, "sh", "-c", script)
    return site.run(server_of(container), ["sh", "-c", f"cd {shlex.quote(directory)} && {script}"])


def stop(site: Site, container: str, grace_seconds: int = STOP_SECONDS) -> None:
    """Stop a service on request: it stays stopped."""
    if site.has_containers:
        docker(site, container, "stop", "-t", str(grace_seconds), container)
    else:
        site.stop(container)


def start(site: Site, container: str) -> None:
    """Start a service unless it runs, and wait until it does its work."""
    if not site.has_containers:
        specs = compose.process_specs(site.layout, site.server(server_of(container)))
        site.start(next(spec for spec in specs if spec.name == container))
        return
    server = site.server(server_of(container))
    if run_in(server, ["docker", "start", container]).returncode:
        compose.up(server)
    if not wait_until(compose.ready(site.layout, container), READY_SECONDS):
        reason = compose.last_words(server, container) or _("no answer")
        raise StartError(f"{container}: {reason}")


def recreate(site: Site, container: str) -> None:
    """Make a container anew from its compose file: its engine and the kernel's log know nothing of it."""
    docker(site, container, "rm", "-f", container)
    compose.up(site.server(server_of(container)), container.removeprefix("samaconso_"))
    start(site, container)


def inspect(site: Site, container: str) -> dict[str, Any] | None:
    """Return what the engine knows of a container; None when it knows nothing or does not answer."""
    server = site.server(server_of(container))
    try:
        done = run_in(server, ["docker", "inspect", container], timeout_seconds=10)
        found = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError):
        return None
    return dict(found[0]) if found else None


def is_stopped(site: Site, container: str) -> str | None:
    """Return how a stopped service looks, None when it runs."""
    if not site.has_containers:
        record = site.states.state.process(container)
        if record is None or processes.is_alive(record):
            return None
        return _("process {name} has ended").format(name=container)
    found = inspect(site, container)
    state = found["State"] if found else {}
    if state.get("Status") != "exited":
        return None
    return _("docker inspect {name}: exited, code {code}").format(name=container, code=state["ExitCode"])


def endpoint(container: str) -> tuple[str, int]:
    """Return where a service listens."""
    return ADDRESSES[server_of(container)], PORTS[container]
