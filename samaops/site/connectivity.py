"""Who may speak to whom: the guide's connectivity matrix, and the lines that it means for a site.

The matrix is ``MATRIX``; addresses, ports and what stands where are the configuration's. A line between two parts on one
server crosses no network and is not listed. What the matrix does not allow is closed: between any two servers, each
port of a service that nothing on the first one may reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.config.network_settings import NetworkException
from samaops.config.settings import Ssh
from samaops.facts.network import Line
from samaops.site.site import Service, Site

# Sources that are no service of ours. "admin": the administrators' network; "control": where samaops runs.
ADMIN, CONTROL, BALANCER = "admin", "control", "balancer"
# What is tried from this machine, which stands where administrators do.
HERE = (ADMIN, CONTROL)
# Source (a role) -> the systems whose ports it may reach.
MATRIX: dict[str, tuple[str, ...]] = {
    BALANCER: ("api",),
    "api": ("pgbouncer", "minio", "redis", "sqlserver", "rabbitmq"),
    "celery": ("rabbitmq", "pgbouncer", "redis", "firebase"),
    "flower": ("rabbitmq",),
    "pgbouncer": ("postgresql",),
    ADMIN: ("minio-console", "rabbitmq-management", "flower", "ssh"),
    # The guide's matrix knows no samaops: it asks the services themselves.
    CONTROL: ("postgresql", "pgbouncer", "minio", "redis", "rabbitmq", "rabbitmq-management", "api", "flower", "ssh"),
}  # fmt: skip
_ROLES = ("api", "celery", "flower", "pgbouncer")


class Port(Struct, frozen=True):
    """A port that somebody serves: ``name`` tells it from others of its system; ``server`` is None for others' servers."""

    name: str
    system: str
    host: str
    port: int
    server: str | None
    proxy: str = ""


class Place(Struct, frozen=True):
    """Where lines are tried: on this machine (no server), on a server, or in a container of it."""

    name: str
    lines: tuple[Line, ...]
    server: str | None = None
    container: str | None = None


def ports(site: Site) -> tuple[Port, ...]:
    """Return all ports of the matrix that the configuration knows, and those that it adds."""
    found = [*_of_services(site), *_of_servers(site), *_outside(site)]
    known = {port.name for port in found}
    for extra in site.settings.network.allowed:
        server, _colon, number = extra.service.rpartition(":")
        if extra.service not in known and server in site.settings.servers and number.isdigit():
            found.append(Port(extra.service, extra.service, site.address_of(server), int(number), server))
    return tuple(found)


def _of_services(site: Site) -> Iterator[Port]:
    settings = site.settings
    for section, system in (
        (settings.postgresql, "postgresql"),
        (settings.pgbouncer, "pgbouncer"),
        (settings.redis, "redis"),
        (settings.rabbitmq, "rabbitmq"),
    ):
        if section is not None:
            yield Port(system, system, site.host_of(section), section.port, section.server)
    if (broker := settings.rabbitmq) is not None:
        name = "rabbitmq-management"
        yield Port(name, name, site.host_of(broker), broker.management_port, broker.server)
    if (minio := settings.minio) is not None:
        host, port = _of_url(minio.url or f"http://{site.address_of(minio.server)}:9000")
        yield Port("minio", "minio", host, port, minio.server)
        if console := settings.network.minio_console_port:
            yield Port("minio-console", "minio-console", host, console, minio.server)
    if (flower := settings.flower) is not None:
        host, port = _of_url(flower.url or f"http://{site.address_of(flower.server)}:5555")
        yield Port("flower", "flower", host, port, flower.server)
    for member in site.members():
        yield Port(member.name, "api", *_of_url(member.url), member.server)


def _of_servers(site: Site) -> Iterator[Port]:
    for name, server in site.settings.servers.items():
        if server.ssh != "none":
            port = server.ssh.port if isinstance(server.ssh, Ssh) else 22
            yield Port(f"ssh:{name}", "ssh", server.address, port, name)


def _outside(site: Site) -> Iterator[Port]:
    settings = site.settings
    for database in settings.sqlserver:
        yield Port(f"sqlserver:{database.name}", "sqlserver", database.host, database.port, None)
    if settings.firebase is not None:
        proxy = "{}:{}".format(*_of_url(settings.proxy.url)) if settings.proxy is not None else ""
        for number, url in enumerate((settings.firebase.oauth_url, settings.firebase.fcm_url)):
            name = ("firebase:oauth", "firebase:fcm")[number]
            yield Port(name, "firebase", *_of_url(url), None, proxy)


def _of_url(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "?", parts.port or {"http": 80, "https": 443}[parts.scheme]


def may_reach(site: Site, source: str, port: Port) -> bool:
    """Return whether a role may reach a port, or else a server by its name, or addresses, by the site's own word."""
    if port.system in MATRIX.get(source, ()):
        return True
    added = ((allowed.source, allowed.service) for allowed in site.settings.network.allowed)
    return any(who == source and what in (port.name, port.system) for who, what in added)


def roles_on(site: Site, server: str) -> tuple[str, ...]:
    """Return what a server may speak as: its roles, its own name, and, where samaops runs on it, as that."""
    here = {service.system for service in site.services(server)}
    is_this_machine = site.settings.servers[server].ssh == "local"
    own = () if server in MATRIX else (server,)  # a server that is called as a role is not that role
    return (*own, *(role for role in _ROLES if role in here), *(HERE if is_this_machine else ()))


def places(site: Site) -> tuple[Place, ...]:
    """Return every place that has lines to try, with them."""
    known = ports(site)
    found = [_here(site, known), _balancer(site, known)]
    found += [_of_service(site, service, known) for service in site.services() if service.system in _ROLES]
    found += [_of_server(site, server, known) for server in site.settings.servers]
    return tuple(place for place in found if place.lines)


def _here(site: Site, known: Sequence[Port]) -> Place:
    reached = (port for port in known if any(may_reach(site, source, port) for source in HERE))
    lines = (_line(site, ADMIN, port, HERE, must_be_open=True) for port in reached)
    return Place(ADMIN, tuple(lines))


def _balancer(site: Site, known: Sequence[Port]) -> Place:
    lines = (
        _line(site, BALANCER, port, (BALANCER,), must_be_open=True)
        for port in known
        if may_reach(site, BALANCER, port) and site.settings.loadbalancer is not None
    )
    return Place(BALANCER, tuple(lines))


def _of_service(site: Site, service: Service, known: Sequence[Port]) -> Place:
    """Return where a client of ours speaks from; members and workers are called by their own names."""
    name = service.name if service.system in ("api", "celery") else service.system
    lines = tuple(
        _line(site, name, port, (service.system,), must_be_open=True)
        for port in known
        if port.server != service.server and may_reach(site, service.system, port)
    )
    docker = site.settings.docker
    has_engine = docker is not None and docker.engine != "none"
    return Place(name, lines, service.server, service.container if has_engine else None)


def _of_server(site: Site, server: str, known: Sequence[Port]) -> Place:
    """Return what a server itself may reach by the site's own word, and what must be closed to it."""
    own = site.settings.servers[server].address
    roles = roles_on(site, server)
    lines: list[Line] = []
    for port in known:
        is_elsewhere = port.server not in (None, server) and port.host != own
        if server not in MATRIX and is_elsewhere and may_reach(site, server, port):
            lines.append(_line(site, server, port, (server,), must_be_open=True))
        elif is_elsewhere and not any(may_reach(site, role, port) for role in roles):
            lines.append(_line(site, server, port, (server,), must_be_open=False))
    return Place(server, tuple(lines), server)


def _line(site: Site, place: str, port: Port, sources: Sequence[str], *, must_be_open: bool) -> Line:
    names = {place, *sources}
    reasons = (
        exception.reason
        for exception in site.settings.network.exceptions
        if _is_of(exception, names, port) and (exception.must == "open") is must_be_open
    )
    return Line(
        place, port.name, port.system, port.host, port.port, must_be_open,
        server=port.server, proxy=port.proxy, not_held=next(reasons, ""),
    )  # fmt: skip


def _is_of(exception: NetworkException, names: set[str], port: Port) -> bool:
    return exception.source in {"*", *names} and exception.service in ("*", port.name, port.system)
