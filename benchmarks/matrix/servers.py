"""What the servers of a lab hold: files, processes, mounts, ports, routes. Reads, changes nothing."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samaops.lab import processes
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import network as routes
from samaops.lab.layout import ADDRESSES
from samaops.lab.servers import NAMES, Server

Values = dict[str, Any]
# Below these stand logs, the databases' own files, and what the engine keeps: seen elsewhere, or grown by the load.
CLOSED = (
    "/data/postgresql",
    "/data/docker",
    "/data/rabbitmq",
    "/data/redis",
    "/run/docker",
    "/run/containerd",
    "/opt/samaconso/logs",
    "/outside/mail",
    "/outside/sqlserver",
)
LOGS = ("/data/logs",)
GROWN_BY_LOAD = (".jsonl", ".log")
# They hold the pid of whoever runs now.
OF_A_PROCESS = (".pid", ".lock")
# Where samaops locks a server while it changes something there: the directory and its empty file stay, as locks do.
LOCKS = "/run/samaops"
HASHED_BYTES = 1_000_000
# A process younger than this may be a look or a health check.
LASTING_SECONDS = 4.0
_LISTENING = "0A"
_LONG_ID = re.compile(r"\b[0-9a-f]{12,}\b")
_SESSIONS = re.compile(r"\[listener\].*")
_TRANSIENT = ("postgres: ", "sshd: root", "sshd: operator", "nsenter ")


def files(site: Site) -> Values:
    """Return names, sizes and contents of what is on the servers and in the stand-ins outside."""
    found: Values = {}
    for name in NAMES:
        server = site.server(name)
        for path in (server.data, server.opt, server.etc, server.run):
            for shown, value in _tree(server.outer(path), _inner(server, path)):
                found[f"{name}{shown}"] = value
    for shown, value in _tree(site.layout.of_server("outside"), "/outside"):
        found[shown] = value
    found["configuration"] = _content(site.layout.config_file)
    return found


def _inner(server: Server, path: Path) -> str:
    """Return how a directory of a server is called, also where it is one of this machine's."""
    known = {server.data: "/data", server.opt: "/opt/samaconso", server.etc: "/etc", server.run: "/run"}
    return known[path]


def _tree(top: Path, shown: str) -> Iterator[tuple[str, str]]:
    """Yield every file below a directory; one that goes away meanwhile is not there."""
    try:
        entries = sorted(os.scandir(top), key=lambda one: one.name)
    except OSError:
        return
    for entry in entries:
        name = f"{shown}/{entry.name}"
        if name.startswith(LOCKS):
            continue
        if entry.is_symlink():
            yield name, "link"
        elif entry.is_dir(follow_symlinks=False):
            yield f"{name}/", "directory"
            if not name.startswith(CLOSED):
                yield from _tree(Path(entry.path), name)
        elif not name.endswith(GROWN_BY_LOAD):
            is_fleeting = name.startswith(LOGS) or name.endswith(OF_A_PROCESS)
            yield name, "there" if is_fleeting else _content(Path(entry.path))


def _content(path: Path) -> str:
    try:
        seen = path.lstat()
        if not stat.S_ISREG(seen.st_mode):
            return stat.filemode(seen.st_mode)
        if seen.st_size > HASHED_BYTES:
            return f"{seen.st_size} bytes"
        read = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        return type(error).__name__
    return f"{seen.st_size} bytes, {stat.filemode(seen.st_mode)}, {read}"


def processes_of(site: Site) -> Values:
    """Return how many processes of each command line every server and the outside have."""
    found: Counter[str] = Counter()
    inside: set[int] = set()
    for name in NAMES:
        server = site.server(name)
        if server.namespace is None:
            continue
        proc = server.outer(Path("/proc"))
        for pid in _pids(proc):
            command = _lasting_command(proc / str(pid))
            if command:
                found[f"{name}/{command}"] += 1
        inside.update(_of_namespace(server.namespace.pid))
    for record in processes.marked(site.layout.directory):
        command = _lasting_command(Path(f"/proc/{record.pid}"))
        if command and record.pid not in inside:
            found[f"outside/{command}"] += 1
    return dict(found)


def mounts(site: Site) -> Values:
    """Return how often something is mounted at each place of each server; the engines' own mounts are theirs."""
    return Counter(f"{name}{point}" for name in NAMES for point in _mount_points(site, site.server(name)))


def _pids(proc: Path) -> list[int]:
    return [int(entry.name) for entry in os.scandir(proc) if entry.name.isdigit()]


def _of_namespace(first_pid: int) -> Iterator[int]:
    """Yield this machine's pids of a server's processes: those that see the server's root."""
    root = _root_of(first_pid)
    for pid in _pids(Path("/proc")):
        if pid == first_pid or _root_of(pid) == root or _is_below(pid, first_pid):
            yield pid


def _root_of(pid: int) -> tuple[int, int] | None:
    try:
        seen = Path(f"/proc/{pid}/root").stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _is_below(pid: int, first_pid: int) -> bool:
    """Tell whether a process descends from another: containers have roots of their own."""
    while pid > 1:
        if pid == first_pid:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return False
    return False


def _lasting_command(directory: Path) -> str:
    """Return what a process runs, without ids; empty for one of the kernel, of a look, or too young to be state."""
    try:
        words = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        started = int((directory / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return ""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
    if not words or age < LASTING_SECONDS or words.startswith(_TRANSIENT):
        return ""
    return _SESSIONS.sub("", _LONG_ID.sub("*", words))[:160]


def _mount_points(site: Site, server: Server) -> Iterator[str]:
    """Yield where something is mounted, but for what others mount in the temporary directory, which servers see too."""
    if server.namespace is None:
        return
    temporary, ours = f"{tempfile.gettempdir()}/", str(site.layout.directory)
    table = Path(f"/proc/{server.namespace.pid}/mounts").read_text(encoding="utf-8")
    for line in table.splitlines():
        point = line.split()[1]
        is_foreign = point.startswith(temporary) and not point.startswith(ours)
        if not is_foreign and not point.startswith(("/data/docker/", "/run/docker/")):
            yield point


def network(_site: Site) -> Values:
    """Return the ports that are listened on at the lab's addresses, and addresses that were taken away."""
    ports = {f"listening on {address}:{port}": True for address, port in _listeners()}
    away = {f"address of {name} taken away": True for name, address in ADDRESSES.items() if _is_away(address)}
    return {**ports, **away}


def _is_away(address: str) -> bool:
    return routes.missing() is None and routes.is_away(address)


def _listeners() -> Iterator[tuple[str, int]]:
    """Yield the listening TCP sockets of this network at the lab's addresses."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _number, local, _remote, state = line.split()[:4]
        if state == _LISTENING:
            address = socket.inet_ntoa(struct.pack("<I", int(local.partition(":")[0], 16)))
            if address in ADDRESSES.values():
                yield address, int(local.partition(":")[2], 16)
