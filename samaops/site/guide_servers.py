"""How the guide wants the servers: their sizes, the users of their services, and what watches them."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from samaops.site.site import Site

GB = 1000**3
# Guide, part 1, "Logiciels Requis": what is older is not what it was tried with.
LEAST_DOCKER, LEAST_COMPOSE, LEAST_POSTGRESQL = (24, 0), (2, 20), 15
RELEASE = "ubuntu 22.04"
# The systems that stand on each of the guide's three servers.
SYSTEMS = {
    "database": ("postgresql", "pgbouncer", "minio", "backup"),
    "api": ("api", "rabbitmq"),
    "workers": ("celery", "redis", "flower"),
}
# The ports on which Prometheus asks the exporters.
NODE_EXPORTER = ("node_exporter", 9100)
_EXPORTERS = {"postgresql": ("postgres_exporter", 9187), "redis": ("redis_exporter", 9121)}
# The services whose certificates are watched where they are reached over TLS.
_OVER_TLS = ("postgresql", "pgbouncer", "redis", "rabbitmq", "rabbitmq-management")
# The users under which the packages, and the guide's unit of MinIO, let the services run.
_USERS = {"postgresql": "postgres", "pgbouncer": "postgres", "minio": "minio"}


class Size(Struct, frozen=True):
    """What a server has at least. Sizes in bytes."""

    processors: int
    memory_bytes: int
    disk_bytes: int


def servers_at(site: Site, places: tuple[str, ...]) -> tuple[str, ...]:
    """Return the servers of these places of the guide."""
    systems = [system for place in places for system in SYSTEMS[place]]
    return site.servers_of(*systems)


def least_size(site: Site, server: str) -> Size:
    """Return what the guide wants of a server: 4 cores, 8 GB, and 200 GB where the database is, else 100 GB."""
    has_database = server in site.servers_of("postgresql")
    return Size(4, 8 * GB, (200 if has_database else 100) * GB)


def users_of(site: Site, server: str) -> tuple[str, ...]:
    """Return the users of the system that the services of a server run as."""
    named = (_USERS[service.system] for service in site.services(server) if service.system in _USERS)
    return tuple(dict.fromkeys(named))


def exporters_of(site: Site, server: str) -> tuple[tuple[str, int], ...]:
    """Return the exporters that the guide wants on a server, each with its port."""
    own = (_EXPORTERS[service.system] for service in site.services(server) if service.system in _EXPORTERS)
    return (NODE_EXPORTER, *dict.fromkeys(own))


def foreign_hosts(site: Site) -> frozenset[str]:
    """Return the names of others that are reached from here, Google's: what they show says nothing of the installation."""
    google = site.settings.firebase
    urls = (google.oauth_url, google.fcm_url) if google else ()
    return frozenset(host for url in urls if (host := urlsplit(url).hostname))


def own_certificates(site: Site) -> tuple[str, ...]:
    """Return the names of the watched certificates that are shown by what is ours."""
    foreign = foreign_hosts(site)
    configured = (
        each.name for each in site.settings.certificates if (each.server_name or each.host) not in foreign
    )
    return (*configured, *_OVER_TLS)
