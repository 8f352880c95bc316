"""Judge whether the containers reach the places that their environments name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from samaops.checks.docker.environment import APPLICATION
from samaops.checks.docker.subjects import about_container
from samaops.checks.registry import Context, check
from samaops.facts.docker import DockerFacts, Way
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

_OPEN, _NO_NAME = "open", "unknown host"


# Where nobody reaches a place, the place is what is wrong, and its own check says so.
@check("docker.container.reach", DockerFacts, needs=("inside", "ways"))
def reached(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    for container in docker.containers:
        systems = {service.system for service in context.site.services_in(container.name)}
        if not container.ways or not systems.intersection(APPLICATION):
            continue
        about = about_container(container.name, context)
        cut_off = [way for way in container.ways if way.answer != _OPEN and _is_its_own_trouble(way, context)]
        if not cut_off:
            reached_ways = [way for way in container.ways if way.answer == _OPEN]
            title = _("Container {name} reaches {count} of the {all} places that its environment names")
            yield about.ok(
                title.format(name=container.name, count=len(reached_ways), all=len(container.ways))
            )
            continue
        listed = ", ".join(f"{_name(way, context.site)} ({_words(way)})" for way in cut_off)
        yield about.finding(
            Status.CRITICAL if systems.intersection(("api", "celery")) else Status.WARNING,
            _("Container {name} does not reach {listed}").format(name=container.name, listed=listed),
            evidence={
                "places": [{"host": way.host, "port": way.port, "answer": way.answer} for way in cut_off],
                "listed": listed,
                "systems": sorted({system for way in cut_off if (system := _system(way, context.site))}),
            },
            hint=_try(cut_off[0], container.name, about),
        )


def _words(way: Way) -> str:
    return {
        "refused": _("refused"),
        "no answer": _("no answer"),
        "no route": _("no route"),
        _NO_NAME: _("the name is not known"),
    }.get(way.answer, way.answer)


def _is_its_own_trouble(way: Way, context: Context) -> bool:
    """Return whether the way and not the place is wrong: somebody else reaches it, or it is none of ours."""
    if way.answer == _NO_NAME:
        return True
    if any(
        other.answer == _OPEN and (other.host, other.port) == (way.host, way.port)
        for _observation, docker in context.snapshot.facts_of(DockerFacts)
        for container in docker.containers
        for other in container.ways or ()
    ):
        return True
    system = _system(way, context.site)
    if system is None:
        return True
    observed = context.snapshot.of_system(system)
    return any(observation.failure is None for observation in observed)


def _system(way: Way, site: Site) -> str | None:
    """Return the system that the configuration has at a place."""
    settings = site.settings
    for system, section in (
        ("pgbouncer", settings.pgbouncer),
        ("postgresql", settings.postgresql),
        ("redis", settings.redis),
        ("rabbitmq", settings.rabbitmq),
    ):
        if section is not None and way.port == section.port and way.host in (site.host_of(section), system):
            return system
    for system, url in (
        ("proxy", settings.proxy.url if settings.proxy else ""),
        (
            "minio",
            (settings.minio.url or f"http://{site.address_of(settings.minio.server)}:9000")
            if settings.minio
            else "",
        ),
    ):
        place = urlsplit(url)
        if (way.host, way.port) == (place.hostname, place.port):
            return system
    return None


def _name(way: Way, site: Site) -> str:
    system = _system(way, site)
    return f"{system} {way.host}:{way.port}" if system else f"{way.host}:{way.port}"


def _try(way: Way, container: str, context: Context) -> str:
    """Return the command that tries it from inside: Python is in the application's image."""
    attempt = f"import socket; socket.create_connection(({json.dumps(way.host)}, {way.port}), 3)"
    return context.on_server(f"docker exec {operands(container)} python3 -c {quoted(attempt)}")
