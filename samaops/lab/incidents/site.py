"""The lab that is up, as incidents act on it: its parts by name, stopped and started, and what was broken so far."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg
import redis
import requests
from msgspec import Struct

from samaops.errors import UnavailableError
from samaops.i18n import _
from samaops.lab import compose, database, processes
from samaops.lab.compose import CONTAINERS
from samaops.lab.layout import ADDRESSES, Layout, Secrets
from samaops.lab.outside import parts
from samaops.lab.outside.places import Places
from samaops.lab.processes import ProcessSpec, StartError
from samaops.lab.servers import Server, checked_in, of_state, run_in
from samaops.lab.starting import FAULTS as START_FAULTS
from samaops.lab.starting import STOP_SECONDS, PartError, Starter, wait_until
from samaops.lab.state import ProcessRecord, StateFile

# What may go wrong while something is broken or healed; each has words for the user.
FAULTS = (*START_FAULTS, redis.RedisError, requests.RequestException, psycopg.Error)
# Programs that an incident leaves running are told apart by this variable of their environment.
PROGRAM_VARIABLE = "SAMAOPS_INCIDENT"
CONTAINER_STOP_SECONDS = 3
READY_SECONDS = 45.0


class Memory(Struct, frozen=True):
    """What was broken on purpose and not healed yet: ``incidents.json`` in the lab's directory, gone with it."""

    path: Path

    @staticmethod
    def of(layout: Layout) -> Memory:
        """Return the memory of a lab."""
        return Memory(layout.directory / "incidents.json")

    def broken(self) -> tuple[str, ...]:
        """Return what is broken, the oldest first."""
        return tuple(self._read())

    def begin(self, incident: str) -> None:
        """Remember that an incident begins, before it does: a break that is cut short can be healed."""
        content = self._read()
        content.setdefault(incident, {"since": datetime.now(timezone.utc).isoformat(), "notes": []})
        self._write(content)

    def note(self, incident: str, notes: Iterable[str]) -> None:
        """Remember what healing needs, such as the ids of tasks."""
        content = self._read()
        content[incident]["notes"].extend(notes)
        self._write(content)

    def notes(self, incident: str) -> tuple[str, ...]:
        """Return what was noted; empty when the incident is not remembered."""
        return tuple(self._read().get(incident, {}).get("notes", ()))

    def forget(self, incident: str) -> None:
        """Forget an incident that is healed."""
        content = self._read()
        content.pop(incident, None)
        self._write(content)

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return {}

    def _write(self, content: dict[str, Any]) -> None:
        aside = self.path.with_suffix(".tmp")
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        aside.replace(self.path)


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
    def places(self) -> Places:
        """Where the world outside the servers keeps its files."""
        return Places.of(self.layout)

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

    def switch(self, server: str, name: str) -> Path:
        """Return the file by which the application of a server is told to have a fault."""
        there = self.server(server)
        return there.outer(there.opt / "switches" / name)

    def run(self, server: str, argv: Sequence[str], timeout_seconds: float = 60.0) -> str:
        """Run a command inside a server; raise StartError with its last words when it fails."""
        return checked_in(self.server(server), argv, timeout_seconds=timeout_seconds)

    # Parts: daemons, and the services of the compose files, which may be containers or daemons.

    def record(self, part: str) -> ProcessRecord | None:
        """Return a daemon's record when it lives."""
        record = self.states.state.process(part)
        return record if record is not None and processes.is_alive(record) else None

    def is_container(self, part: str) -> bool:
        """Tell whether a part runs in a container of this lab."""
        return self.states.state.container(part) is not None

    def stop(self, part: str, grace_seconds: int = CONTAINER_STOP_SECONDS) -> None:
        """Stop a part on request: it stays stopped. ``grace_seconds`` is a container's."""
        if self.is_container(part):
            self.docker(part, "stop", "-t", str(grace_seconds), part)
        elif (record := self.record(part)) is not None:
            processes.stop([record], STOP_SECONDS)

    def start(self, part: str) -> None:
        """Start a part unless it runs, and wait until it does its work. Raises StartError with the reason."""
        if not self.is_container(part):
            self.starting(lambda starter: starter.process(self.spec(part)))
            return
        server = self.server(server_of(part))
        if run_in(server, ["docker", "start", part]).returncode:
            compose.up(server)
        if not wait_until(compose.ready(self.layout, part), READY_SECONDS):
            reason = compose.last_words(server, part) or _("no answer")
            raise StartError(f"{part}: {reason}")

    def spec(self, part: str) -> ProcessSpec:
        """Return how a daemon is started that incidents stop."""
        if part == "postgresql":
            return database.spec(self.layout, self.server("db"))
        if part == "proxy":
            return parts.proxy_spec(self.places)
        if part == "intercepting_proxy":
            return parts.intercepting_spec(self.places)
        specs = compose.process_specs(self.layout, self.server(server_of(part)))
        return next(spec for spec in specs if spec.name == part)

    def starting(self, work: Callable[[Starter], None]) -> None:
        """Do work that starts parts of the lab. Raises StartError with the reason."""
        starter = Starter(self.layout, self.states, lambda _step: None)
        try:
            work(starter)
        except PartError as error:
            raise StartError(f"{error}: {error.__cause__ or error}") from error

    def stopped(self, part: str) -> str | None:
        """Return how a stopped part looks, None when it runs."""
        if not self.is_container(part):
            record = self.states.state.process(part)
            if record is None or processes.is_alive(record):
                return None
            return _("process {name} has ended").format(name=part)
        state = self.inspect(part)
        if state.get("Status") != "exited":
            return None
        return _("docker inspect {name}: exited, code {code}").format(name=part, code=state["ExitCode"])

    def endpoint(self, part: str) -> tuple[str, int]:
        """Return where a part listens; the port is 0 when it does not."""
        record = self.states.state.container(part) or self.states.state.process(part)
        return (record.address, record.port) if record is not None else ("", 0)

    def docker(self, container: str, *arguments: str) -> str:
        """Run a docker command on the container's server."""
        return self.run(server_of(container), ["docker", *arguments])

    def shell(self, part: str, directory: str, script: str) -> str:
        """Run a script of the shell where a service keeps its files. Raises StartError with its last words."""
        if self.is_container(part):
            return self.docker(part, "exec", "-w", directory, part, "sh", "-c", script)
        return self.run(server_of(part), ["sh", "-c", f"cd {shlex.quote(directory)} && {script}"])

    def recreate(self, container: str) -> None:
        """Make a container anew from its compose file: its engine and the kernel's log know nothing of it."""
        self.docker(container, "rm", "-f", container)
        compose.up(self.server(server_of(container)), container.removeprefix("samaconso_"))
        self.start(container)

    def inspect(self, container: str) -> dict[str, Any]:
        """Return the state that the engine knows of a container; empty when it knows none or does not answer."""
        server = self.server(server_of(container))
        try:
            answer = run_in(server, ["docker", "inspect", container], timeout_seconds=10)
            described = json.loads(answer.stdout)
        except (subprocess.TimeoutExpired, OSError, ValueError):
            return {}
        return dict(described[0]["State"]) if described else {}

    # Programs that an incident leaves running.

    def spawn(self, server: str, argv: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Start a detached program of this incident inside a server; it carries the lab's mark."""
        record = self.states.state.server(server)
        namespace_pid = record.pid if record is not None and processes.is_alive(record) else 0
        spec = ProcessSpec(
            name=self.incident,
            server=server,
            address=ADDRESSES[server],
            port=0,
            argv=tuple(argv),
            ready=lambda: True,
            environment={**(variables or {}), PROGRAM_VARIABLE: self.incident},
        )
        processes.spawn(spec, processes.Surroundings(self.layout, namespace_pid))

    def programs(self, incident: str) -> list[ProcessRecord]:
        """Return the living programs of an incident, by the name in their environment."""
        marked = processes.marked(self.layout.directory)
        return [record for record in marked if program_name(record.pid) == incident]

    def end(self, incident: str) -> None:
        """End the programs of an incident."""
        processes.stop(self.programs(incident), 2.0)


def server_of(container: str) -> str:
    """Return the server that runs a service of the compose files."""
    return next(server for server, names in CONTAINERS.items() if container in names)


def program_name(pid: int) -> str | None:
    """Return which incident's program a process is, if any."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    wanted = f"{PROGRAM_VARIABLE}=".encode()
    return next((os.fsdecode(text[len(wanted) :]) for text in variables if text.startswith(wanted)), None)
