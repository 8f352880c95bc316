"""What is observed of a Docker engine: its containers, through the ``docker`` command on the server."""

from __future__ import annotations

from msgspec import Struct

from samaops.facts.portrait import Things


class Container(Struct, frozen=True):
    """One container as ``docker inspect`` shows it. Times in seconds since the epoch, sizes in bytes.

    ``health`` is None without a health check. ``memory_limit`` is 0 when there is none. ``log_bytes`` is None
    when the log could not be looked at.
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
    configuration: Things | None = None

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
