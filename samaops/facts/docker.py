"""What is observed of a Docker engine: its containers, through the ``docker`` command on the server."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from samaops.facts.log import LogLine
from samaops.facts.night import MadeContainer
from samaops.facts.portrait import Things

# Compose puts the beginning of the id before a container's name while it makes the next one: it stays there when that
# is interrupted. Swarm puts the number and id of a task behind it.
_DECORATED = re.compile(r"[0-9a-f]{12}_(?P<behind>.+)|(?P<before>.+)\.\d+\.[0-9a-z]{25}")
# Ended on request: by itself after SIGTERM, by the signal 15, or by the 9 that follows when it does not end in time.
ON_REQUEST = (0, 137, 143)
# A line of ``ss -ltn``.
_LISTENING = re.compile(r"LISTEN +(?P<waiting>\d+) +\d+ +(?P<address>\S+)")
_RUNS = {"running": 2, "restarting": 1, "paused": 1}


class Variable(Struct, frozen=True):
    """One variable of a container's environment, which may be a secret: its value is known by its digest alone.

    ``parts`` are what may be shown of it: where a URL leads (host, port, database, user), or a path. ``password`` is
    the digest of the one in a URL. The key of the digests is made anew in every run and kept nowhere, so that they
    tell only which values of one run are the same.
    """

    name: str
    digest: str
    parts: dict[str, str]
    password: str = ""


class Way(Struct, frozen=True):
    """Whether a container reaches a place that its environment names: ``answer`` is "open" or why not."""

    host: str
    port: int
    answer: str


class Container(Struct, frozen=True):
    """One container as ``docker inspect`` shows it. Times in seconds since the epoch, sizes in bytes.

    ``health`` is None without a health check. ``memory_limit`` is 0 when there is none,
    ``memory_swap`` that of memory and swap together: 0 where none was set, -1 without end. ``log_bytes`` is None
    when the log could not be looked at. ``log`` are its last words; ``hosts`` the entries of its hosts file,
    ``absent_files`` the variables that name a file which is not in it, with a slash where a directory is in its place.
    What is None could not be looked at, as ``ways`` of a container that does not run. ``settings`` are its limits and
    the options of its command line. ``number`` tells the containers of one compose service apart; ``is_oneoff`` is one
    that ``compose run`` made. ``directory`` and ``files`` are compose's: where, and from which files it was made.
    """

    name: str
    id: str
    image: str
    image_id: str
    state: str
    health: str | None
    health_log: str
    restart_count: int
    restart_policy: str
    oom_killed: bool
    exit_code: int
    error: str
    pid: int
    started_at: float | None
    finished_at: float | None
    memory_limit: int
    log_path: str
    log_bytes: int | None
    log_max_size: str | None
    project: str | None
    service: str | None
    created_at: float | None = None
    number: str | None = None
    is_oneoff: bool = False
    log: tuple[LogLine, ...] | None = None
    environment: tuple[Variable, ...] | None = None
    hosts: tuple[str, ...] | None = None
    ways: tuple[Way, ...] | None = None
    absent_files: tuple[str, ...] = ()
    settings: tuple[Variable, ...] = ()
    directory: str = ""
    files: tuple[str, ...] = ()
    memory_swap: int = 0

    def does_the_work_of(self, name: str) -> bool:
        """Return whether it is the container of this name whatever its own is: the same service of the same project."""
        if self.is_oneoff:
            return False
        decorated = _DECORATED.fullmatch(self.name)
        if decorated and name in decorated.groups():
            return True
        if not self.service:
            return False
        of_service = f"{self.project}_{self.service}"
        names = {f"{of_service}_{self.number}"} if self.number else {of_service}
        if self.number in (None, "1"):
            names.add(of_service)  # a fixed container_name
        return plain(name) in {plain(candidate) for candidate in names}


def plain(name: str) -> str:
    """Return a container's name as version 1 of compose wrote it: version 2 has dashes."""
    return name.lower().replace("-", "_")


class DiskUse(Struct, frozen=True):
    """One line of ``docker system df``. Sizes in bytes, as exact as docker's own three digits."""

    type: str
    count: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


class DockerFacts(Struct, frozen=True):
    """One reading of one engine. ``expected`` names the containers that must run there.

    ``running`` are those that last, as they are kept by what runs every day: their images, and when they were made.
    """

    epoch: float
    memory_total: int
    expected: tuple[str, ...]
    containers: tuple[Container, ...]
    logs_seen: bool | None
    disk: tuple[DiskUse, ...] | None
    configuration: Things | None = None
    running: tuple[MadeContainer, ...] = ()

    @property
    def working(self) -> Mapping[str, Container]:
        """Which container does the work of each expected name: one that runs before one that does not, then the name."""
        working: dict[str, Container] = {}
        for name in self.expected:
            bearers = [
                container
                for container in self.containers
                if container.name == name
                or (container.name not in self.expected and container.does_the_work_of(name))
            ]
            if bearers:
                working[name] = max(
                    bearers,
                    key=lambda container: (
                        _RUNS.get(container.state, 0),
                        container.name == name,
                        container.started_at or 0.0,
                    ),
                )
        return working

    def named(self, name: str) -> Container | None:
        """Return the container that does the work of an expected name, or else has this name."""
        bearer = next((container for container in self.containers if container.name == name), None)
        return self.working.get(name, bearer)

    def known_as(self, container: Container) -> str:
        """Return the expected name whose work a container does, or else its own; its id where another has taken that."""
        working = self.working
        names = (name for name, bearer in working.items() if bearer.id == container.id)
        return next(names, container.id[:12] if container.name in working else container.name)


class ContainerUse(Struct, frozen=True):
    """What one container uses. ``memory_limit`` is the host's memory where it has none of its own."""

    name: str
    id: str
    cpu_percent: float | None
    memory_bytes: int | None
    memory_limit: int | None
    processes: int | None


class StatsFacts(Struct, frozen=True):
    """One measurement of one engine."""

    containers: tuple[ContainerUse, ...]


class EvidencePart(Struct, frozen=True):
    """One part of what a container showed: lines without secrets. ``failure`` says why it, or its rest, was not seen."""

    name: str
    lines: tuple[str, ...] = ()
    failure: str = ""


class EvidenceFacts(Struct, frozen=True):
    """What one container and its processes showed at a moment, kept because a restart would end it. Times in milliseconds.

    ``taken_at`` is ISO 8601, by the clock of the machine that looked.
    """

    name: str
    taken_at: str
    duration_ms: int
    parts: tuple[EvidencePart, ...]

    @property
    def seen(self) -> tuple[str, ...]:
        """The names of the parts of which something was seen."""
        return tuple(part.name for part in self.parts if part.lines)

    @property
    def waiting(self) -> Mapping[str, int]:
        """On which addresses connections wait that nobody has accepted (the kernel's Recv-Q), and how many."""
        sockets = (line for part in self.parts if part.name == "sockets" for line in part.lines)
        found = [match for match in map(_LISTENING.search, sockets) if match is not None]
        return {match["address"]: int(match["waiting"]) for match in found if int(match["waiting"])}
