"""Bring the lab up, take it down, say how it is. Returns plain data; the screen belongs to the caller."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from samaops.config.places import how_to_add_the_lab
from samaops.errors import ConfigurationError, LockedError, RefusedError, UnavailableError, reason_of
from samaops.i18n import _
from samaops.lab import (
    chains,
    compose,
    configuration,
    engine,
    processes,
    requirements,
    servers,
    shared_memory,
)
from samaops.lab import layout as places
from samaops.lab.compose import CONTAINERS, PORTS
from samaops.lab.incidents.tools import network
from samaops.lab.layout import ADDRESSES, Layout, default_directory
from samaops.lab.outside.places import google_port
from samaops.lab.servers import NAMES
from samaops.lab.starting import STOP_SECONDS, Progress, Starter
from samaops.lab.state import LabState, Problem, ProcessRecord, StateFile, read_state

KILL_SECONDS = 10.0


class UpResult(Struct, frozen=True):
    """What ``up`` did."""

    state: LabState
    changed: bool
    seconds: float

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.state.problems


def up(layout: Layout, progress: Progress) -> UpResult:
    """Start whatever of the lab does not run.

    Raises RefusedError when the ports are held by others or the directory is not a lab's, ConfigurationError when it
    cannot be written.
    """
    began = time.monotonic()
    layout = _absolute(layout)
    _refuse_without_libraries()
    _refuse_foreign_directory(layout)
    _refuse_taken_ports(layout, read_state(layout.state_file) or LabState())
    try:
        layout.directory.mkdir(parents=True, exist_ok=True)
        layout.marker.touch()
    except OSError as error:
        text = _("The lab cannot be made in {directory}: {reason}")
        raise ConfigurationError(
            text.format(directory=layout.directory, reason=reason_of(error)), hint="samaops lab up --dir DIR"
        ) from error
    with locked(layout):
        states = StateFile.open(layout.state_file)
        states.set(problems=())
        layout.secrets()
        starter = Starter(layout, states, progress)
        chains.start_everything(starter)
        write = functools.partial(configuration.write, layout, states.state)
        starter.chain("configuration", lambda: starter.action("configuration", write))
        chains.copy_objects(starter)
    return UpResult(states.state, starter.changed, time.monotonic() - began)


def _refuse_without_libraries() -> None:
    missing = requirements.missing_libraries()
    if missing:
        text = _("the lab needs more libraries ({name} is not installed)")
        raise UnavailableError(text.format(name=", ".join(missing)), hint=how_to_add_the_lab())


def _absolute(layout: Layout) -> Layout:
    return Layout(layout.directory.resolve())


def _refuse_foreign_directory(layout: Layout) -> None:
    """Refuse a directory that holds something else than a lab: `down` would remove it."""
    directory = layout.directory
    if (
        directory.exists()
        and not layout.marker.exists()
        and (not directory.is_dir() or any(directory.iterdir()))
    ):
        raise RefusedError(
            _("{directory} is not a lab's directory and is not empty").format(directory=directory),
            hint=_("Give an empty or a new directory with --dir."),
        )


@contextlib.contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the lab alone; another command that changes the same lab is refused."""
    descriptor = os.open(layout.directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        message = _("Another command is changing the lab in {directory}")
        raise LockedError(message.format(directory=layout.directory)) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _refuse_taken_ports(layout: Layout, state: LabState) -> None:
    wanted = [part.endpoint for part in expected_parts() if not _runs(state, part.name)]
    strangers = []
    for holder in requirements.holders(wanted):
        if holder.lab == str(layout.directory) and holder.pid is not None:
            _kill_leftover(holder.pid)
        else:
            strangers.append(holder)
    if strangers:
        raise RefusedError(
            _("The lab needs ports that are taken: {holders}").format(
                holders=requirements.describe(strangers)
            ),
            hint=_("Stop what holds them, or take the other lab down: samaops lab down --dir DIRECTORY"),
        )


def _runs(state: LabState, name: str) -> bool:
    """Tell whether a part holds its port already: its process lives, or it is a container of a living server."""
    process = state.process(name)
    if process is not None:
        return processes.is_alive(process)
    container = state.container(name)
    server = state.server(container.server) if container else None
    return server is not None and processes.is_alive(server)


def _kill_leftover(pid: int) -> None:
    """End a process of this very lab that its state has lost."""
    record = ProcessRecord("leftover", "", "", 0, pid, processes.start_time(pid) or 0)
    processes.stop([record], STOP_SECONDS)


def down(layout: Layout) -> bool:
    """Stop everything of the lab and remove its directory; return whether there was anything.

    Works on a lab that is half started, crashed, or whose state is lost. Raises RefusedError when the
    directory is not a lab's.
    """
    layout = _absolute(layout)
    network.bring_all_back()
    if not layout.directory.exists():
        is_ended = _end_marked(layout)
        engine.remove_cgroups(layout)
        return is_ended
    if not layout.marker.exists():
        raise RefusedError(_("{directory} is not a lab's directory").format(directory=layout.directory))
    with locked(layout):
        state = read_state(layout.state_file) or LabState()
        _end_processes(layout, state)
        _unmount(layout.directory)
        engine.remove_cgroups(layout)
        extra = {*map(Path, state.extra_directories), *servers.extra_directories(layout)}
        shared_memory.release([layout.directory, *extra])
        for directory in extra:
            shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(layout.directory)
    if layout.directory == default_directory():
        with contextlib.suppress(OSError):
            layout.directory.parent.rmdir()  # only when nothing else of samaops is there
    return True


def _end_processes(layout: Layout, state: LabState) -> None:
    """End the servers with all that is in them, then the daemons that had no server."""
    for server in state.servers:
        processes.kill_group(server)
    inside = {server.name for server in state.servers}
    processes.stop([record for record in state.processes if record.server not in inside], STOP_SECONDS)
    processes.wait_until_dead([*state.servers, *state.processes], KILL_SECONDS)
    _end_marked(layout)


def _end_marked(layout: Layout) -> bool:
    """Kill what carries the lab's mark until nothing does; return whether something did."""
    is_ended = False
    deadline = time.monotonic() + KILL_SECONDS
    while left := processes.marked(layout.directory):
        is_ended = True
        for record in left:
            processes.kill_group(record)
        if not processes.wait_until_dead(left, 2.0) and time.monotonic() > deadline:
            pids = ", ".join(str(record.pid) for record in left)
            raise RefusedError(_("These processes of the lab cannot be ended: {pids}").format(pids=pids))
    return is_ended


def _unmount(directory: Path) -> None:
    """Detach what is still mounted below the directory, the innermost first."""
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    points = [line.split()[4].encode().decode("unicode_escape") for line in table.splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True, timeout=30)


class ExpectedPart(Struct, frozen=True):
    """A part by its name, and the address and port that it alone must hold."""

    name: str
    server: str
    port: int

    @property
    def endpoint(self) -> tuple[str, int]:
        """Return where it listens."""
        return ADDRESSES[self.server], self.port


def expected_parts() -> list[ExpectedPart]:
    """Return every part that listens on a port, in the order of the servers."""
    parts = [ExpectedPart(f"sshd_{name}", name, places.SSH_PORT) for name in NAMES]
    parts += [
        ExpectedPart("postgresql", "db", places.POSTGRESQL_PORT),
        ExpectedPart("pgbouncer", "db", places.PGBOUNCER_PORT),
        ExpectedPart("minio", "db", places.S3_PORT),
        ExpectedPart("loadbalancer", "outside", places.VIP_PORT),
        ExpectedPart("balancer_control", "outside", places.BALANCER_CONTROL_PORT),
        ExpectedPart("proxy", "outside", places.PROXY_PORT),
        ExpectedPart("google", "outside", google_port()),
        ExpectedPart("smtp", "outside", places.SMTP_PORT),
    ]
    parts += [
        ExpectedPart(f"sqlserver_{name}", "outside", port) for name, port in places.SQLSERVER_PORTS.items()
    ]
    parts += [
        ExpectedPart(name, server, PORTS[name])
        for server, names in CONTAINERS.items()
        for name in names
        if PORTS[name]
    ]
    return parts


class PartStatus(Struct, frozen=True):
    """How one part of the lab is. ``pid`` and ``container`` are None where they do not apply."""

    name: str
    server: str
    address: str
    port: int
    state: str
    pid: int | None = None
    container: str | None = None
    detail: str = ""


class LabStatus(Struct, frozen=True):
    """How the whole lab is: "running", "degraded" or "down"."""

    directory: str
    state: str
    mode: str
    mode_reason: str
    parts: tuple[PartStatus, ...] = ()


def status(layout: Layout) -> LabStatus:
    """Look at every part, without changing anything."""
    layout = _absolute(layout)
    state = read_state(layout.state_file)
    if state is None:
        return LabStatus(str(layout.directory), "down", "", "")
    parts = [_process_status(record) for record in (*state.servers, *state.processes)]
    parts += _container_statuses(layout, state)
    known = {part.name for part in parts}
    reasons = {problem.part: problem.reason for problem in state.problems}
    for part in expected_parts():
        if part.name not in known:
            address, port = part.endpoint
            parts.append(PartStatus(part.name, part.server, address, port, "missing"))
    parts = [replace(part, detail=part.detail or reasons.get(part.name, "")) for part in parts]
    return LabStatus(str(layout.directory), _overall(parts), state.mode, state.mode_reason, tuple(parts))


def _overall(parts: list[PartStatus]) -> str:
    running = [part.state == "running" for part in parts]
    if all(running):
        return "running"
    return "degraded" if any(running) else "down"


def _process_status(record: ProcessRecord) -> PartStatus:
    alive = processes.is_alive(record)
    state = "running" if alive else "dead"
    return PartStatus(
        record.name, record.server, record.address, record.port, state, record.pid if alive else None
    )


def _container_statuses(layout: Layout, state: LabState) -> list[PartStatus]:
    statuses = []
    for server in dict.fromkeys(record.server for record in state.containers):
        try:
            states = compose.running(servers.of_state(layout, state, server)) if state.server(server) else {}
            absent = "missing"
        except (processes.StartError, subprocess.SubprocessError, OSError):
            states, absent = {}, "unknown"
        for record in (record for record in state.containers if record.server == server):
            container_state = states.get(record.name, absent)
            statuses.append(
                PartStatus(
                    record.name, server, record.address, record.port, container_state, container=record.name
                )
            )
    return statuses
