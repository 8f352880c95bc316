"""The servers db, api and workers: each a set of namespaces with a file system of its own.

As root, a server has its own mount, host name, IPC and process-id namespaces: /data and /opt/samaconso are its own,
`hostname` and `ps` show only it, and ending its first process ends all of it. Without root, or where the kernel
refuses, a server is only a directory of the lab.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from samaops.i18n import _
from samaops.lab import templating
from samaops.lab.layout import ADDRESSES, Layout
from samaops.lab.processes import (
    POLL_SECONDS,
    ProcessSpec,
    StartError,
    Surroundings,
    is_alive,
    kill_group,
    last_line,
    log_file,
    spawn,
    wait_until_dead,
)
from samaops.lab.state import LabState, ProcessRecord, StateFile

NAMES = ("db", "api", "workers")
DATA_SIZES = {"db": "1g", "api": "512m", "workers": "512m"}
START_SECONDS = 15.0
# Where a server's directory is made when the lab's own will not do, and the file in it that says whose it is.
ELSEWHERE = Path("/var/tmp")
EXTRA_PREFIX, EXTRA_MARKER = "samaops-lab-", ".samaops-lab"
# A socket's path may have 108 bytes; the longest name in a server's run directory needs about 25.
LONGEST_RUN_DIRECTORY = 80
# sshd as root insists on this empty directory. Where no service has ever run, as in a container, the package has not
# made it; it stays, for the machine's own sshd may have come to use it.
PRIVILEGE_SEPARATION = Path("/run/sshd")


class Server(Struct, frozen=True):
    """One server. Paths are as its own processes see them; ``outer`` turns them into this machine's."""

    name: str
    address: str
    own: Path
    namespace: ProcessRecord | None
    data: Path
    run: Path
    etc: Path
    opt: Path
    log: Path

    @property
    def hostname(self) -> str:
        return f"samaconso-{self.name}"

    @property
    def namespace_pid(self) -> int:
        """Return the pid of its first process; 0 when it has no namespaces."""
        return self.namespace.pid if self.namespace else 0

    def outer(self, path: Path) -> Path:
        """Return the path by which this machine reaches a path of the server."""
        return Path(f"/proc/{self.namespace.pid}/root{path}") if self.namespace else path

    def command(self, argv: Sequence[str], user: str | None = None) -> list[str]:
        """Return the command line that runs ``argv`` inside this server, as ``user`` when root may choose."""
        inside = [*_as_user(user), *argv]
        if self.namespace is None:
            return inside
        return ["nsenter", "-t", str(self.namespace.pid), "-m", "-u", "-i", "-p", "--", *inside]


def _as_user(user: str | None) -> list[str]:
    if user is None or os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]


def of_state(layout: Layout, state: LabState, name: str) -> Server:
    """Return a server as the saved state knows it."""
    namespace = state.server(name)
    if namespace is not None and not is_alive(namespace):
        namespace = None
    directory = layout.of_server(name)
    if namespace is not None:
        paths = {"data": "/data", "run": "/run", "etc": "/etc", "opt": "/opt/samaconso", "log": "/var/log"}
        return Server(
            name, ADDRESSES[name], directory, namespace, **{key: Path(p) for key, p in paths.items()}
        )
    base = _base_of(state, name, directory)
    return Server(
        name=name,
        address=ADDRESSES[name],
        own=directory,
        namespace=None,
        data=base / "data",
        run=base / "run",
        etc=base / "etc",
        opt=directory / "opt",
        log=base / "log",
    )


def _base_of(state: LabState, name: str, directory: Path) -> Path:
    ending = f"-{name}"
    return next((Path(path) for path in state.extra_directories if path.endswith(ending)), directory)


def run_in(
    server: Server,
    argv: Sequence[str],
    user: str | None = None,
    timeout_seconds: float = 60.0,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command inside a server to its end, its output captured; its failure is the caller's to judge."""
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(
        server.command(argv, user),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_seconds,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def checked_in(
    server: Server, argv: Sequence[str], user: str | None = None, timeout_seconds: float = 60.0
) -> str:
    """Run a command inside a server and return its output; raise StartError with its last words when it fails."""
    done = run_in(server, argv, user, timeout_seconds)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else _("exit code {code}").format(code=done.returncode)
        raise StartError(f"{argv[0]}: {reason}")
    return done.stdout


def create(layout: Layout, states: StateFile, name: str) -> tuple[Server, bool]:
    """Make sure a server exists; return it and whether it had to be made.

    When namespaces are refused, remembers why in the state and falls back to plain directories.
    """
    existing = states.state.server(name)
    if existing is not None and is_alive(existing):
        return of_state(layout, states.state, name), False
    if existing is not None:
        wait_until_dead([existing], START_SECONDS)
    if os.geteuid() != 0:
        states.set(namespaces_reason=_("not root"))
    if not states.state.namespaces_reason:
        try:
            states.record_server(_create_namespaces(layout, name))
        except StartError as error:
            states.set(namespaces_reason=_("no namespaces: {reason}").format(reason=error))
    return _create_directories(layout, states, name)


def cgroup_parent(layout: Layout, server: str) -> str:
    """Return the control group under which one server's containers run."""
    return f"samaops-lab-{zlib.crc32(str(layout.directory).encode()):08x}-{server}"


def _create_namespaces(layout: Layout, name: str) -> ProcessRecord:
    directory = layout.of_server(name)
    for part in ("root", "opt", "log"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    (directory / "log").chmod(0o1777)
    group = cgroup_parent(layout, name)
    templating.write(directory / "dmesg", templating.render("dmesg.sh", control_group=group), 0o755)
    ready = directory / "ready"
    ready.unlink(missing_ok=True)
    script = str(templating.DIRECTORY / "server_init.sh")
    arguments = (
        str(directory / "root"),
        f"samaconso-{name}",
        ADDRESSES[name],
        DATA_SIZES[name],
        str(directory),
    )
    spec = ProcessSpec(
        name=name,
        server=name,
        address=ADDRESSES[name],
        port=0,
        argv=("/bin/sh", script, *arguments, str(layout.directory)),
        ready=ready.exists,
    )
    record = spawn(spec, Surroundings(layout, new_server=True))
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if not is_alive(record) or time.monotonic() > deadline:
            kill_group(record)
            reason = last_line(log_file(layout, name)) or _("no answer")
            raise StartError(reason)
        time.sleep(POLL_SECONDS)
    return record


def _create_directories(layout: Layout, states: StateFile, name: str) -> tuple[Server, bool]:
    directory = layout.of_server(name)
    if states.state.server(name) is None and _base_of(states.state, name, directory) == directory:
        extra = _extra_directory(layout, name)
        if extra:
            states.set(extra_directories=(*states.state.extra_directories, extra))
    server = of_state(layout, states.state, name)
    fresh = server.namespace is not None or not server.data.exists()
    if server.namespace is None:
        for path in (server.data, server.run, server.etc, server.opt / "logs", server.log):
            path.mkdir(parents=True, exist_ok=True)
        for path in (server.run, server.log):
            path.chmod(0o1777)
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    return server, fresh


def extra_directories(layout: Layout) -> list[Path]:
    """Return the directories that this lab made elsewhere, also when its state is lost."""
    directories = []
    for marker in ELSEWHERE.glob(f"{EXTRA_PREFIX}*/{EXTRA_MARKER}"):
        with contextlib.suppress(OSError):  # of another user: not ours
            if Path(marker.read_text(encoding="utf-8")) == layout.directory:
                directories.append(marker.parent)
    return directories


def _extra_directory(layout: Layout, name: str) -> str | None:
    """Make a directory elsewhere when the lab's own is closed to other users or its path is too long."""
    directory = layout.of_server(name)
    closed = os.geteuid() == 0 and not all(
        parent.stat().st_mode & 0o001 for parent in directory.parents if parent.exists()
    )
    if not closed and len(str(directory / "run")) <= LONGEST_RUN_DIRECTORY:
        return None
    path = Path(tempfile.mkdtemp(prefix=EXTRA_PREFIX, suffix=f"-{name}", dir=ELSEWHERE))
    path.chmod(0o755)
    (path / EXTRA_MARKER).write_text(str(layout.directory), encoding="utf-8")
    return str(path)
