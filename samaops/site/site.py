"""One site: its settings, and what they say by name about servers, services and containers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.config.settings import ApiInstance, PgBouncer, PostgreSQL, RabbitMQ, Redis, Settings, Ssh, Worker
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot

# The systems of which there is one, on one server.
_SINGLE = ("postgresql", "pgbouncer", "redis", "rabbitmq", "minio", "flower", "backup")

# A container's name as docker takes it: it needs no quotes, whatever it stands in.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


class Service(Struct, frozen=True):
    """Something that the configuration places on a server; ``container`` is None where it names none.

    ``name`` is that of an API member or a worker, else the server's.
    """

    system: str
    name: str
    server: str
    container: str | None


class Site(Struct, frozen=True):
    """What every layer is given in place of all settings: ask it by name. ``configuration`` is the file that they are of."""

    settings: Settings
    # (server, configured name) -> the name under which that container runs now, where it is another.
    renamed: Mapping[tuple[str, str], str] = {}
    configuration: Path | None = None

    def as_running(self, server: str | None, command: str) -> str:
        """Return a command with the names that containers have now."""
        for (place, name), real in self.renamed.items():
            if place == server and "docker" in command and _NAME.fullmatch(real):
                command = re.sub(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])", real, command)
        return command

    def seen_in(self, snapshot: Snapshot) -> Site:
        """Return the site with the names that its containers have now."""
        renamed = {
            (str(observation.server), name): container.name
            for observation, docker in snapshot.facts_of(DockerFacts)
            for name, container in docker.working.items()
            if container.name != name
        }
        return replace(self, renamed=renamed) if renamed else self

    @property
    def name(self) -> str:
        """How the site is called in the journal, in locks and in requests to teams."""
        return self.settings.site

    def section(self, system: str) -> Any:
        """Return the section of a system; None when it is not configured, or is none."""
        return getattr(self.settings, system, None)

    def host_of(self, section: PostgreSQL | PgBouncer | Redis | RabbitMQ) -> str:
        """Return the address to connect to: the section's own host, or its server's address."""
        return self.settings.host_of(section)

    def address_of(self, server: str) -> str:
        """Return a server's address; the name itself when no such server is configured."""
        return self.settings.address_of(server)

    def shell_seconds(self, server: str, seconds: float) -> float:
        """Return how long a look of so many seconds over a server's shell may take, the log-in with it."""
        configured = self.settings.servers.get(server)
        log_in = configured.ssh.timeout if configured and isinstance(configured.ssh, Ssh) else 0.0
        return log_in + seconds + 0.5

    def services(self, server: str | None = None) -> tuple[Service, ...]:
        """Return all services that are placed on a server, or on any."""
        placed = self._services()
        return tuple(service for service in placed if server in (None, service.server))

    def servers_of(self, *systems: str) -> tuple[str, ...]:
        """Return the servers on which these systems are placed; nothing for one that is not configured."""
        placed = (service.server for service in self._services() if service.system in systems)
        return tuple(dict.fromkeys(server for server in placed if server))

    def services_in(self, container: str) -> tuple[Service, ...]:
        """Return the services that a container serves."""
        return tuple(service for service in self._services() if service.container == container)

    def members(self) -> tuple[ApiInstance, ...]:
        """Return the members of the API."""
        return self.settings.api.instances if self.settings.api else ()

    def healthy_status(self) -> str:
        """Return what the health body of a member must say for the balancer to keep it in its pool."""
        return self.settings.api.expected_status if self.settings.api else "running"

    def member(self, name: str) -> ApiInstance | None:
        """Return a member of the API by its name."""
        return next((member for member in self.members() if member.name == name), None)

    def workers(self) -> dict[str, Worker]:
        """Return the Celery workers by name, which is the beginning of their node's name."""
        return self.settings.celery.workers if self.settings.celery else {}

    def worker(self, name: str) -> Worker | None:
        """Return a Celery worker by its name."""
        return self.workers().get(name)

    def queues(self) -> tuple[str, ...]:
        """Return the names of the application's queues."""
        return tuple(self.settings.rabbitmq.queues) if self.settings.rabbitmq else ()

    def worker_of(self, queue: str) -> str | None:
        """Return the name of the worker that must consume a queue."""
        return next((name for name, worker in self.workers().items() if queue in worker.queues), None)

    def containers(self) -> dict[str, tuple[str, ...]]:
        """Return the containers that must run on each server: those of [docker] and those the sections name."""
        docker = self.settings.docker
        expected = {server: list(names) for server, names in docker.containers.items()} if docker else {}
        for service in self._services():
            names = expected.setdefault(service.server, []) if service.container else []
            if service.container and service.container not in names:
                names.append(service.container)
        return {server: tuple(names) for server, names in expected.items()}

    def _services(self) -> Iterator[Service]:
        settings = self.settings
        for member in settings.api.instances if settings.api else ():
            yield Service("api", member.name, member.server, member.container)
        for name, worker in settings.celery.workers.items() if settings.celery else ():
            yield Service("celery", name, worker.server, worker.container)
        for system in _SINGLE:
            section = self.section(system)
            if section is not None:
                yield Service(system, section.server, section.server, getattr(section, "container", None))
