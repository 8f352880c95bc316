"""Start, watch and stop the lab's daemons: detached, with a log each, and never a stranger's process.

A process is known by its pid and its start time. Each carries ``SAMAOPS_LAB=<directory>`` in its environment,
so that what a lost ``state.json`` does not tell can still be found.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field

from samaops.i18n import _
from samaops.lab.layout import Layout
from samaops.lab.state import ProcessRecord

MARK = "SAMAOPS_LAB"
POLL_SECONDS = 0.05
SPAWN_PROGRAM = Path(__file__).with_name("spawn.py")
KEPT_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StartError(Exception):
    """A part did not start; ``str()`` of it is the reason, for the user."""


class ProcessSpec(Struct, frozen=True):
    """One daemon in the foreground, on one server of the lab.

    ``ready`` is called again and again until it returns True or the start deadline passes; it must
    itself be quick (under 2 s) and must not raise.
    """

    name: str
    server: str
    address: str
    port: int
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    directory: Path | None = None
    ready_seconds: float = 20.0
    # What asks this daemon for a quick clean end.
    stop_signal: int = signal.SIGTERM


class Surroundings(Struct, frozen=True):
    """Where a daemon is started: the lab's directories, and the namespaces to join (0: none)."""

    layout: Layout
    namespace_pid: int = 0
    new_server: bool = False


def base_environment(layout: Layout) -> dict[str, str]:
    """Return the environment every daemon begins with: little of the caller's, and the lab's mark."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    kept["PATH"] = f"{kept.get('PATH', '')}:{SYSTEM_PATH}".lstrip(":")
    return {**kept, MARK: str(layout.directory)}


def log_file(layout: Layout, name: str) -> Path:
    """Return the file that holds what a daemon says."""
    return layout.logs / f"{name}.log"


def spawn(spec: ProcessSpec, surroundings: Surroundings) -> ProcessRecord:
    """Start a daemon and return its record at once; it may not be ready, or may already be dead.

    Raises StartError when it could not even be forked.
    """
    layout = surroundings.layout
    layout.logs.mkdir(parents=True, exist_ok=True)
    request = {
        "argv": list(spec.argv),
        "environment": {**base_environment(layout), **spec.environment},
        "user": spec.user if os.geteuid() == 0 else None,
        "directory": str(spec.directory or "/"),
        "log": str(log_file(layout, spec.name)),
        "namespace_pid": surroundings.namespace_pid,
        "new_server": surroundings.new_server,
    }
    pid = _fork_detached(request)
    return ProcessRecord(
        name=spec.name,
        server=spec.server,
        address=spec.address,
        port=spec.port,
        pid=pid,
        start_time=start_time(pid) or 0,
        stop_signal=int(spec.stop_signal),
    )


def _fork_detached(request: Mapping[str, object]) -> int:
    program = [sys.executable, "-I", "-S", str(SPAWN_PROGRAM)]
    done = subprocess.run(
        program, input=json.dumps(request), capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode or not done.stdout.strip().isdigit():
        reason = done.stderr.strip() or last_line(Path(str(request["log"])))
        raise StartError(reason or _("it ended without a word"))
    return int(done.stdout)


def last_line(log: Path) -> str:
    """Return the last line that is not empty of a log, or an empty text."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    except FileNotFoundError:
        return ""
    return next((line for line in reversed(lines) if line), "")


def start_time(pid: int) -> int | None:
    """Return when the kernel started the process (clock ticks since boot); None when dead or a zombie."""
    try:
        fields = _stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state (the third) on."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()


def is_present(record: ProcessRecord) -> bool:
    """Tell whether the very process of the record is still there, if only to end."""
    return record.start_time != 0 and start_time(record.pid) == record.start_time


def is_alive(record: ProcessRecord) -> bool:
    """Tell whether the very process of the record still runs.

    The first process of a server that waits for the others' end has given up its namespaces already.
    """
    try:
        Path(f"/proc/{record.pid}/ns/mnt").readlink()
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return is_present(record)


def stop(records: Iterable[ProcessRecord], grace_seconds: float) -> None:
    """Ask each process to end, wait together, kill those left with their process groups."""
    alive = [record for record in records if is_alive(record)]
    for record in alive:
        _signal(record, record.stop_signal)
    wait_until_dead(alive, grace_seconds)
    for record in alive:
        if is_alive(record):
            kill_group(record)
    wait_until_dead(alive, 5.0)


def kill_group(record: ProcessRecord) -> None:
    """Kill a process and its process group, which the lab made for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if is_alive(record) and os.getpgid(record.pid) == record.pid:
            os.killpg(record.pid, signal.SIGKILL)
        _signal(record, signal.SIGKILL)


def _signal(record: ProcessRecord, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if is_alive(record):
            os.kill(record.pid, number)


def wait_until_dead(records: Iterable[ProcessRecord], seconds: float) -> bool:
    """Wait for processes to end; return False when some still run."""
    waiting = list(records)
    deadline = time.monotonic() + seconds
    while any(is_present(record) for record in waiting):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def marked(directory: Path) -> list[ProcessRecord]:
    """Find every process of this machine that carries the lab's mark, recorded or not."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    records = []
    for pid in pids:
        if pid != os.getpid() and (_mark_of(pid) == str(directory) or _is_daemon_of(pid, directory)):
            records.append(ProcessRecord(f"pid {pid}", "", "", 0, pid, start_time(pid) or 0))
    return [record for record in records if record.start_time]


def _is_daemon_of(pid: int, directory: Path) -> bool:
    """Tell whether a process is a daemon whose command line, or what it writes to, is a file of the lab.

    nginx and Redis write their title over their environment: their files are all that still tell whose they are.
    """
    inside = f"{directory}/"
    try:
        if os.getsid(pid) != pid or _terminal_of(pid) != 0:
            return False
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        return inside.encode() in arguments or str(Path(f"/proc/{pid}/fd/1").readlink()).startswith(inside)
    except OSError:
        return False


def _terminal_of(pid: int) -> int:
    return int(_stat_fields(pid)[4])


def lab_of(pid: int) -> str | None:
    """Return the directory of the lab that a process, or one of its ancestors, was started by.

    Some daemons write their title over their environment: then the parent still tells.
    """
    while pid > 1:
        mark = _mark_of(pid)
        if mark:
            return mark
        pid = _parent_of(pid)
    return None


def _parent_of(pid: int) -> int:
    try:
        return int(_stat_fields(pid)[1])
    except OSError:
        return 0


def _mark_of(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if variable.startswith(f"{MARK}=".encode()):
                return variable.decode("utf-8", "replace").partition("=")[2]
    return None
