"""What is known of a lab that is up, or was: kept in ``state.json`` so that another command can stop it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, to_builtins
from msgspec.structs import replace

Mode = Literal["containers", "processes"]
SCHEMA = "samaops/lab/1"


class ProcessRecord(Struct, frozen=True):
    """A process that the lab started. ``start_time`` is the kernel's, so a recycled pid is told apart."""

    name: str
    server: str
    address: str
    port: int
    pid: int
    start_time: int
    stop_signal: int = 15


class ContainerRecord(Struct, frozen=True):
    """A container of the compose files; the engine of its server knows the rest."""

    name: str
    server: str
    address: str
    port: int


class Problem(Struct, frozen=True):
    """A part that could not be started, and why."""

    part: str
    reason: str


class LabState(Struct, frozen=True):
    """Everything the lab holds: the first process of each server, daemons, containers, problems."""

    mode: Mode = "processes"
    # Why there are no containers; empty in mode "containers".
    mode_reason: str = ""
    # Why servers have no namespaces of their own; empty when they have.
    namespaces_reason: str = ""
    # Directories outside the lab's own that it made.
    extra_directories: tuple[str, ...] = ()
    servers: tuple[ProcessRecord, ...] = ()
    processes: tuple[ProcessRecord, ...] = ()
    containers: tuple[ContainerRecord, ...] = ()
    problems: tuple[Problem, ...] = ()

    def server(self, name: str) -> ProcessRecord | None:
        """Return the first process of a server, when it has namespaces of its own."""
        return next((record for record in self.servers if record.name == name), None)

    def process(self, name: str) -> ProcessRecord | None:
        """Return a daemon's record by its name."""
        return next((record for record in self.processes if record.name == name), None)

    def container(self, name: str) -> ContainerRecord | None:
        """Return a container's record by its name."""
        return next((record for record in self.containers if record.name == name), None)


def read_state(path: Path) -> LabState | None:
    """Return the saved state; None when there is none or it was cut short."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if not isinstance(saved, dict) or saved.pop("schema", None) != SCHEMA:
        return None
    return _revive(saved)


def _revive(saved: dict[str, Any]) -> LabState:
    return LabState(
        mode=saved["mode"],
        mode_reason=saved["mode_reason"],
        namespaces_reason=saved["namespaces_reason"],
        extra_directories=tuple(saved["extra_directories"]),
        servers=tuple(ProcessRecord(**item) for item in saved["servers"]),
        processes=tuple(ProcessRecord(**item) for item in saved["processes"]),
        containers=tuple(ContainerRecord(**item) for item in saved["containers"]),
        problems=tuple(Problem(**item) for item in saved["problems"]),
    )


@dataclass(slots=True)
class StateFile:
    """The one writer of ``state.json``: every change is on the disk before the next step begins."""

    path: Path
    state: LabState = field(default_factory=LabState)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def open(path: Path) -> StateFile:
        """Read what is there, or begin anew."""
        return StateFile(path, read_state(path) or LabState())

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock:
            yield
            content = {"schema": SCHEMA, **to_builtins(self.state)}
            aside = self.path.with_suffix(".tmp")
            aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
            aside.replace(self.path)

    def set(self, **values: Any) -> None:
        """Set simple fields such as ``mode``."""
        with self._change():
            self.state = replace(self.state, **values)

    def record_server(self, record: ProcessRecord) -> None:
        """Remember a server's first process, in place of an older one."""
        with self._change():
            kept = tuple(item for item in self.state.servers if item.name != record.name)
            self.state = replace(self.state, servers=(*kept, record))

    def record_process(self, record: ProcessRecord) -> None:
        """Remember a daemon, in place of an older one of that name."""
        with self._change():
            kept = tuple(item for item in self.state.processes if item.name != record.name)
            self.state = replace(self.state, processes=(*kept, record))

    def record_container(self, record: ContainerRecord) -> None:
        """Remember a container."""
        with self._change():
            kept = tuple(item for item in self.state.containers if item.name != record.name)
            self.state = replace(self.state, containers=(*kept, record))

    def record_problem(self, part: str, reason: str) -> None:
        """Remember that a part could not be started."""
        with self._change():
            kept = tuple(item for item in self.state.problems if item.part != part)
            self.state = replace(self.state, problems=(*kept, Problem(part, reason)))

    def forget(self, parts: Iterable[str]) -> None:
        """Forget daemons and problems by the names of their parts."""
        names = set(parts)
        with self._change():
            self.state = replace(
                self.state,
                processes=tuple(item for item in self.state.processes if item.name not in names),
                problems=tuple(item for item in self.state.problems if item.part not in names),
            )
