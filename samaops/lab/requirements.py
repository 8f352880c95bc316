"""What the lab needs from the machine: programs, and ports that nobody else holds."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from samaops.i18n import _, joined, ngettext
from samaops.lab.processes import SYSTEM_PATH, StartError, lab_of

# Program -> the Debian package that has it.
PACKAGES = {
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "pgbouncer": "pgbouncer",
    "rabbitmq-server": "rabbitmq-server",
    "redis-server": "redis-server",
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "initdb": "postgresql-15",
}
# What the extra "lab" brings; the lab's parts are processes that import it long after they were started.
LIBRARIES = (
    "aiosmtpd",
    "alembic",
    "celery",
    "fastapi",
    "flask",
    "flask_cors",
    "flower",
    "minio",
    "moto",
    "uvicorn",
)
# Debian's wrapper of this name changes user and wants the machine's own directories; this one does not.
RABBITMQ_PROGRAMS = "/usr/lib/rabbitmq/bin"
POSTGRESQL_VERSIONS = Path("/usr/lib/postgresql")
PREFERRED_POSTGRESQL = 15


def missing_libraries() -> tuple[str, ...]:
    """Return which libraries of the lab are not installed."""
    return tuple(name for name in LIBRARIES if importlib.util.find_spec(name) is None)


def find_program(name: str) -> str | None:
    """Return the absolute path of a program, also when it is where only root looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


def program(name: str) -> str:
    """Return the absolute path of a program; raise StartError that names its package when it is missing."""
    path = find_program(name)
    if path is None:
        package = PACKAGES.get(name, name)
        raise StartError(_("{program} is missing (package {package})").format(program=name, package=package))
    return path


def rabbitmq_program(name: str) -> str:
    """Return the path of one of RabbitMQ's own programs."""
    path = Path(RABBITMQ_PROGRAMS) / name
    return str(path) if path.exists() else program(name)


def postgresql_programs() -> Path:
    """Return PostgreSQL's bin directory: version 15, else the newest there is."""
    versions = [
        int(path.name) for path in POSTGRESQL_VERSIONS.glob("[0-9]*") if (path / "bin" / "initdb").exists()
    ]
    if not versions:
        raise StartError(
            _("{program} is missing (package {package})").format(program="initdb", package="postgresql-15")
        )
    version = PREFERRED_POSTGRESQL if PREFERRED_POSTGRESQL in versions else max(versions)
    return POSTGRESQL_VERSIONS / str(version) / "bin"


class Holder(Struct, frozen=True):
    """Who holds a port that the lab needs."""

    address: str
    port: int
    pid: int | None
    name: str
    lab: str | None

    def sentence(self) -> str:
        """Say who it is, when it is not a lab."""
        where = f"{self.address}:{self.port}"
        if self.pid is None:
            return _("{where} is held by a process that cannot be seen").format(where=where)
        return _("{where} is held by {name} (pid {pid})").format(where=where, name=self.name, pid=self.pid)


def describe(taken: Iterable[Holder]) -> str:
    """Say who holds ports: each lab once, then the others one by one."""
    listed = list(taken)
    labs = Counter(holder.lab for holder in listed if holder.lab)
    sentences = [
        ngettext(
            "another lab, in {lab}, holds {count} of them",
            "another lab, in {lab}, holds {count} of them",
            count,
        ).format(lab=lab, count=count)
        for lab, count in labs.items()
    ]
    return joined([*sentences, *(holder.sentence() for holder in listed if not holder.lab)])


def holders(wanted: Iterable[tuple[str, int]]) -> list[Holder]:
    """Return who holds any of the addresses and ports."""
    taken = [(address, port) for address, port in wanted if not _is_free(address, port)]
    if not taken:
        return []
    inodes = _listening_inodes()
    owners = _owners_of({inode for address, port in taken for inode in _inodes(inodes, address, port)})
    return [_holder(address, port, _inodes(inodes, address, port), owners) for address, port in taken]


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            return True  # a low port without root: the daemon itself will say so
        except OSError:
            return False
    return True


def _listening_inodes() -> list[tuple[str, int, str]]:
    """Return (address in hexadecimal, port, inode) of every listening socket of this network namespace."""
    sockets = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                address, _colon, port = fields[1].partition(":")
                if fields[3] == "0A":
                    sockets.append((address, int(port, 16), fields[9]))
    return sockets


def _inodes(listening: Iterable[tuple[str, int, str]], address: str, port: int) -> list[str]:
    own = socket.inet_aton(address)[::-1].hex().upper()
    return [
        inode for text, number, inode in listening if number == port and (text == own or set(text) == {"0"})
    ]


def _owners_of(inodes: set[str]) -> dict[str, int]:
    owners: dict[str, int] = {}
    links = {f"socket:[{inode}]": inode for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                inode = links.get(str(descriptor.readlink()))
                if inode is not None:
                    owners.setdefault(inode, int(process.name))
    return owners


def _holder(address: str, port: int, inodes: list[str], owners: dict[str, int]) -> Holder:
    pid = next((owners[inode] for inode in inodes if inode in owners), None)
    name = ""
    if pid is not None:
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return Holder(address, port, pid, name, lab_of(pid) if pid is not None else None)
