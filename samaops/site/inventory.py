"""Which server, container, API member or worker a name of the configuration means."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.config.settings import Settings


def expected_containers(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the containers that must run on each server: those of [docker] and those the sections name."""
    expected: dict[str, list[str]] = {}
    if settings.docker is not None:
        expected = {server: list(names) for server, names in settings.docker.containers.items()}
    for server, name in _named_in_sections(settings):
        names = expected.setdefault(server, [])
        if name not in names:
            names.append(name)
    return {server: tuple(names) for server, names in expected.items()}


def _named_in_sections(settings: Settings) -> Iterator[tuple[str, str]]:
    members = settings.api.instances if settings.api else ()
    workers = settings.celery.workers.values() if settings.celery else ()
    single = (settings.redis, settings.rabbitmq, settings.flower)
    for section in (*members, *workers, *single):
        if section is not None and section.container:
            yield section.server, section.container


def services_in(settings: Settings, container: str) -> list[tuple[str, str]]:
    """Return the (system, name) pairs that a container serves, by the configuration."""
    singles = {
        "redis": settings.redis,
        "rabbitmq": settings.rabbitmq,
        "flower": settings.flower,
    }
    found = [
        (system, section.server)
        for system, section in singles.items()
        if section and section.container == container
    ]
    if settings.api:
        found += [("api", member.name) for member in settings.api.instances if member.container == container]
    if settings.celery:
        found += [
            ("celery", name)
            for name, worker in settings.celery.workers.items()
            if worker.container == container
        ]
    return found
