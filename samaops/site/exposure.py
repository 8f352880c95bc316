"""On which ports the services of a site are reached on each server: what else is open there is nobody's."""

from __future__ import annotations

from urllib.parse import urlsplit

from samaops.config.settings import Ssh
from samaops.site.site import Site

# What the guide opens beside what the configuration names: MinIO's console, TLS of the broker.
_MINIO_PORTS, _FLOWER_PORT, _SSH_PORT = (9000, 9001), 5555, 22
_HTTP_PORTS = {"http": 80, "https": 443}


def ports(site: Site, server: str | None) -> frozenset[int]:
    """Return the ports of the guide's matrix, as the configuration names them, on one server."""
    settings, found = site.settings, set[int]()
    for section in (settings.postgresql, settings.pgbouncer, settings.redis, settings.rabbitmq):
        if section is not None and section.server == server:
            found |= {section.port, getattr(section, "management_port", section.port)}
    for member in site.members():
        if member.server == server:
            found.add(_port_of(str(member.url)))
    if settings.flower is not None and settings.flower.server == server:
        found.add(_port_of(str(settings.flower.url)) if settings.flower.url else _FLOWER_PORT)
    if settings.minio is not None and settings.minio.server == server:
        found |= {*_MINIO_PORTS, *([_port_of(str(settings.minio.url))] if settings.minio.url else [])}
    configured = settings.servers.get(server or "")
    ssh = configured.ssh if configured else None
    found.add(ssh.port if isinstance(ssh, Ssh) else _SSH_PORT)
    return frozenset(found)


def _port_of(url: str) -> int:
    place = urlsplit(url)
    return place.port or _HTTP_PORTS.get(place.scheme, 0)
