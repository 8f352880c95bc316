"""The lab that is up, as incidents act on it: its parts by name, stopped and started, and its secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psycopg
import redis
import requests
from msgspec import Struct

from samaops.errors import UnavailableError
from samaops.i18n import _
from samaops.lab import processes
from samaops.lab.incidents.memory import Memory
from samaops.lab.layout import Layout, Secrets
from samaops.lab.processes import StartError
from samaops.lab.servers import Server, checked_in, of_state
from samaops.lab.specs import ProcessSpec
from samaops.lab.starting import FAULTS as START_FAULTS
from samaops.lab.starting import STOP_SECONDS, PartError, Starter
from samaops.lab.state import ProcessRecord, StateFile

# What may go wrong while something is broken or healed; each has words for the user.
FAULTS = (*START_FAULTS, redis.RedisError, requests.RequestException, psycopg.Error)


class Site(Struct, frozen=True):
    """One lab. Opened anew for every command."""

    layout: Layout
    states: StateFile
    # What this command breaks or heals; its notes are kept under this name.
    incident: str = ""

    @staticmethod
    def open(layout: Layout, incident: str = "") -> Site:
        """Return the lab of a directory. Raises UnavailableError when none is up there."""
        layout = Layout(layout.directory.resolve())
        states = StateFile.open(layout.state_file)
        known = (*states.state.servers, *states.state.processes)
        if not any(processes.is_alive(record) for record in known):
            raise UnavailableError(
                _("No lab is up in {directory}").format(directory=layout.directory),
                hint="samaops lab up",
            )
        return Site(layout, states, incident)

    @property
    def secrets(self) -> Secrets:
        return self.layout.secrets()

    @property
    def has_containers(self) -> bool:
        return self.states.state.mode == "containers"

    @property
    def memory(self) -> Memory:
        return Memory.of(self.layout)

    @property
    def is_alone(self) -> bool:
        """Whether nothing else is broken, so that everything else must work."""
        return not set(self.memory.broken()) - {self.incident}

    def remember(self, notes: Iterable[str]) -> None:
        """Keep what healing this incident needs."""
        self.memory.note(self.incident, notes)

    def remembered(self) -> tuple[str, ...]:
        """Return what was kept when this incident was caused."""
        return self.memory.notes(self.incident)

    def server(self, name: str) -> Server:
        """Return a server as it is now."""
        return of_state(self.layout, self.states.state, name)

    def has_own_disk(self, server: str) -> bool:
        """Tell whether /data of a server is a file system of its own."""
        return self.server(server).namespace is not None

    def run(self, server: str, argv: Sequence[str], timeout_seconds: float = 60.0) -> str:
        """Run a command inside a server; raise StartError with its last words when it fails."""
        return checked_in(self.server(server), argv, timeout_seconds=timeout_seconds)

    def record(self, part: str) -> ProcessRecord | None:
        """Return a daemon's record when it lives."""
        record = self.states.state.process(part)
        return record if record is not None and processes.is_alive(record) else None

    def stop(self, part: str) -> None:
        """Stop one daemon of the lab."""
        record = self.record(part)
        if record is not None:
            processes.stop([record], STOP_SECONDS)

    def start(self, spec: ProcessSpec) -> None:
        """Make sure one daemon runs and answers. Raises StartError with the reason."""
        self.starting(lambda starter: starter.process(spec))

    def starting(self, work: Callable[[Starter], None]) -> None:
        """Do work that starts parts of the lab. Raises StartError with the reason."""
        starter = Starter(self.layout, self.states, lambda _step: None)
        try:
            work(starter)
        except PartError as error:
            raise StartError(f"{error}: {error.__cause__ or error}") from error

    def spawn(self, spec: ProcessSpec) -> ProcessRecord:
        """Start a detached program of an incident inside its server; it carries the lab's mark."""
        server = self.states.state.server(spec.server)
        namespace_pid = server.pid if server is not None and processes.is_alive(server) else 0
        return processes.spawn(spec, processes.Surroundings(self.layout, namespace_pid))

    def end(self, name: str) -> None:
        """End the programs of an incident by the name in their environment, recorded or not."""
        found = [one for one in processes.marked(self.layout.directory) if program_name(one.pid) == name]
        processes.stop(found, 2.0)

    def pid_of(self, name: str) -> int | None:
        """Return the pid of a living program of an incident."""
        found = (one.pid for one in processes.marked(self.layout.directory) if program_name(one.pid) == name)
        return next(found, None)


# Programs that an incident leaves running are told apart by this variable of their environment.
PROGRAM_VARIABLE = "SAMAOPS_INCIDENT"


def program_name(pid: int) -> str | None:
    """Return which incident's program a process is, if any."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    wanted = f"{PROGRAM_VARIABLE}=".encode()
    return next((os.fsdecode(one[len(wanted) :]) for one in variables if one.startswith(wanted)), None)
