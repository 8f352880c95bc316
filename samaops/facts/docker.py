"""What is observed of a Docker engine: its containers, through the ``docker`` command on the server."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.log import LogLine


class Variable(Struct, frozen=True):
    """One variable of a container's environment, which may be a secret: its value is known by its digest alone.

    ``parts`` are what may be shown of it: where a URL leads (host, port, database, user), or a path. ``password`` is
    the digest of the one in a URL. The key of the digests is made anew in every run and kept nowhere, so that they
    tell only which values of one run are the same.
    """

    name: str
    digest: str
    parts: dict[str, str] = {}
    password: str = ""


class Way(Struct, frozen=True):
    """Whether a container reaches a place that its environment names: ``answer`` is "open" or why not."""

    host: str
    port: int
    answer: str


class Container(Struct, frozen=True):
    """One container as ``docker inspect`` shows it. Times in seconds since the epoch, sizes in bytes.

    ``health`` is None without a health check. ``memory_limit`` is 0 when there is none. ``log_bytes`` is None
    when the log could not be looked at. ``log`` are its last words; ``hosts`` the entries of its hosts file,
    ``absent_files`` the variables that name a file which is not in it. What is None could not be looked at, as ``ways``
    of a container that does not run.
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
    log: tuple[LogLine, ...] | None = None
    environment: tuple[Variable, ...] | None = None
    hosts: tuple[str, ...] | None = None
    ways: tuple[Way, ...] | None = None
    absent_files: tuple[str, ...] = ()


class DiskUse(Struct, frozen=True):
    """One line of ``docker system df``. Sizes in bytes, as exact as docker's own three digits."""

    type: str
    count: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


class DockerFacts(Struct, frozen=True):
    """One reading of one engine. ``expected`` names the containers that must run there."""

    epoch: float
    memory_total: int
    expected: tuple[str, ...]
    containers: tuple[Container, ...]
    logs_seen: bool | None
    disk: tuple[DiskUse, ...] | None

    def named(self, name: str) -> Container | None:
        """Return the container of this name."""
        return next((container for container in self.containers if container.name == name), None)


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
