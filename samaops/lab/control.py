"""Hold of single parts of a lab that is up: find, stop and start them, run commands beside them. For incidents."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from samaops.errors import UnavailableError, UsageError
from samaops.i18n import _
from samaops.lab import compose, database, engine, pgbouncer, servers, ssh, storage
from samaops.lab.layout import Layout
from samaops.lab.processes import is_alive, stop
from samaops.lab.servers import Server
from samaops.lab.specs import ProcessSpec
from samaops.lab.starting import STOP_SECONDS, Starter, Step
from samaops.lab.state import LabState, ProcessRecord, StateFile, read_state

CONTAINER_SECONDS = 30


class RunningLab(Struct, frozen=True):
    """A lab that has been brought up, and its saved state."""

    layout: Layout
    state: LabState

    @property
    def has_containers(self) -> bool:
        """Tell whether its services run in containers."""
        return self.state.mode == "containers"

    def server(self, name: str) -> Server:
        """Return one of its servers, to run commands in and to translate paths."""
        return servers.of_state(self.layout, self.state, name)

    def process(self, name: str) -> ProcessRecord | None:
        """Return a daemon by its name, dead or alive; None when there is none of that name."""
        return self.state.process(name)


def attach(layout: Layout) -> RunningLab:
    """Return the lab that is up in a directory; raise UnavailableError when none is."""
    layout = Layout(layout.directory.resolve())
    state = read_state(layout.state_file)
    if state is None:
        raise UnavailableError(
            _("No lab is up in {directory}").format(directory=layout.directory), "samaops lab up"
        )
    return RunningLab(layout, state)


def in_server(
    lab: RunningLab, server: str, argv: Sequence[str], user: str | None = None, timeout_seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command inside a server to its end; its failure is the caller's to judge."""
    return servers.run_in(lab.server(server), argv, user, timeout_seconds)


def engine_socket(lab: RunningLab, server: str) -> Path | None:
    """Return the engine's socket of a server as this machine sees it; None when there are no containers."""
    if not lab.has_containers or server not in engine.IMAGES:
        return None
    return lab.server(server).outer(engine.SOCKET)


def stop_part(lab: RunningLab, name: str) -> None:
    """Stop one daemon or container by its name, and wait until it has stopped."""
    container = lab.state.container(name)
    record = lab.process(name)
    if container is not None:
        _docker(lab, container.server, ["stop", "-t", "5", name])
    elif record is not None:
        stop([record], STOP_SECONDS)
    else:
        raise UsageError(_("The lab has no part {name}").format(name=name))


def start_part(lab: RunningLab, name: str) -> None:
    """Start one daemon or container by its name, and wait until it does its work."""
    container = lab.state.container(name)
    if container is not None:
        _docker(lab, container.server, ["start", name])
        return
    record = lab.process(name)
    if record is not None and is_alive(record):
        return
    starter = Starter(lab.layout, StateFile.open(lab.layout.state_file), _ignore)
    starter.process(spec_of(lab, name))


def _ignore(_step: Step) -> None:
    """Tell nobody."""


def _docker(lab: RunningLab, server: str, words: list[str]) -> None:
    servers.checked_in(lab.server(server), ["docker", *words], timeout_seconds=CONTAINER_SECONDS)


def spec_of(lab: RunningLab, name: str) -> ProcessSpec:
    """Return how one daemon is started; raise UsageError when there is none of that name."""
    for spec in _specs(lab):
        if spec.name == name:
            return spec
    raise UsageError(_("The lab has no part {name}").format(name=name))


def _specs(lab: RunningLab) -> list[ProcessSpec]:
    from samaops.lab.outside import specs as outside_specs

    db = lab.server("db")
    specs = [module.spec(lab.layout, db) for module in (database, pgbouncer, storage)]
    specs += [ssh.spec(lab.layout, lab.server(server)) for server in servers.NAMES]
    for server in engine.IMAGES:
        if lab.has_containers:
            specs.append(engine.spec(lab.layout, lab.server(server)))
        else:
            specs += compose.process_specs(lab.layout, lab.server(server))
    return [*specs, *outside_specs(lab.layout)]
