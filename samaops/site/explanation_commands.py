"""The commands of an explanation, with the names and addresses of this site in the place of the guide's.

In playbooks/checks a command names the guide's servers, containers and directories, and in ``<…>`` an address. What a
site does not use has the guide's own there (config.example.toml), so that every command is one that can be typed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from urllib.parse import urlsplit

from samaops import resources
from samaops.config.settings import Certificate, Settings
from samaops.config.toml import tomllib
from samaops.site.commands import on_server, samaops
from samaops.site.site import Service, Site

_ON_SERVER = re.compile(r"samaops ssh (db|api|workers) -- (.*)", re.DOTALL)
# The guide's containers: what each serves, and which of several it is.
_CONTAINERS = {
    "samaconso_rabbitmq": ("rabbitmq", 0),
    "samaconso_redis": ("redis", 0),
    "samaconso_flower": ("flower", 0),
    "samaconso_api_1": ("api", 0),
    "samaconso_api_2": ("api", 1),
    "samaconso_celery_worker_1": ("celery", 0),
    "samaconso_celery_worker_2": ("celery", 1),
}
_CONTAINER = re.compile("|".join(map(re.escape, _CONTAINERS)))
# What runs on each of the guide's servers: a site may have placed it elsewhere.
_SYSTEMS = {
    "db": ("postgresql", "pgbouncer", "minio", "backup"),
    "api": ("api", "rabbitmq"),
    "workers": ("celery", "redis", "flower"),
}
_GOOGLE = "fcm.googleapis.com"
_ADDRESS = re.compile("<([a-z_0-9]+)>")


def filled_in(site: Site, command: str) -> str:
    """Return a command of an explanation as it is typed at this site."""
    whole = Site(_with_defaults_of_guide(site.settings), site.renamed)
    there = _ON_SERVER.fullmatch(command)
    if there:
        server, words = _server_of(whole, *there.groups()), shlex.split(there[2])
        line = words[0] if len(words) == 1 else there[2]
        return on_server(whole, server, _with_names_of(whole, line))
    command = _with_names_of(whole, command)
    if "<" in command:
        addresses = dict(_addresses(whole))
        command = _ADDRESS.sub(lambda place: addresses.get(place[1], place[0]), command)
    return samaops(site, command.removeprefix("samaops ")) if command.startswith("samaops ") else command


@cache
def _guide() -> Settings:
    document = tomllib.loads(resources.example_config().read_text(encoding="utf-8"))
    return Settings.model_validate(document)


def _with_defaults_of_guide(settings: Settings) -> Settings:
    """Return the settings, and those of the guide for what they do not name."""
    guide = _guide()
    missing = {
        name: getattr(guide, name) for name in Settings.model_fields if not getattr(settings, name, None)
    }
    servers = {"servers": {**guide.servers, **settings.servers}}
    return settings.model_copy(update={**missing, **servers})


def _service_of(site: Site, container: str) -> Service | None:
    system, place = _CONTAINERS[container]
    services = [service for service in site.services() if service.system == system]
    return services[min(place, len(services) - 1)] if services else None


def _server_of(site: Site, name: str, line: str) -> str:
    """Return where a command belongs that the guide runs on one of its servers: with its container, if it names one."""
    named = _CONTAINER.search(line)
    service = _service_of(site, named[0]) if named else None
    if service is not None:
        return service.server
    servers = site.servers_of(*_SYSTEMS[name])
    return next((server for server in servers if server == name), servers[0] if servers else name)


def _with_names_of(site: Site, line: str) -> str:
    """Return a command line with the containers and the directories of this site."""

    def container(match: re.Match[str]) -> str:
        service = _service_of(site, match[0])
        return shlex.quote(service.container) if service and service.container else match[0]

    settings = site.settings
    line = _CONTAINER.sub(container, line)
    if settings.backup:
        line = line.replace("/data/backups/postgresql", shlex.quote(settings.backup.directory))
    return line.replace("/opt/samaconso/logs", shlex.quote(settings.maintenance.log_directory))


def _addresses(site: Site) -> Iterator[tuple[str, str]]:
    """Yield what stands for each ``<name>``, quoted for the shell."""
    settings, members = site.settings, site.members()
    for name, section in (("database", settings.postgresql), ("pool", settings.pgbouncer)):
        if section is not None:
            yield name, f"-h {shlex.quote(site.host_of(section))} -p {section.port}"
    if settings.pgbouncer is not None:
        pool = settings.pgbouncer
        yield "application", f"-U {shlex.quote(pool.user)} -d {shlex.quote(pool.database)}"
    if settings.postgresql is not None:
        yield "db", shlex.quote(site.host_of(settings.postgresql))
    yield "server", shlex.quote(next(iter(settings.servers.values())).address)
    for place, name in enumerate(("member_1", "member_2")):
        member = members[min(place, len(members) - 1)] if members else None
        if member is not None and settings.api is not None:
            yield name, shlex.quote(member.url.rstrip("/") + settings.api.health_path)
    yield from _urls(site)
    certificate = settings.certificates[0] if settings.certificates else Certificate(name="", host=_GOOGLE)
    yield "certificate", shlex.quote(f"{certificate.host}:{certificate.port}")
    yield "certificate_name", shlex.quote(certificate.server_name or certificate.host)
    for server in settings.sqlserver[:1]:
        yield "sqlserver_host", shlex.quote(server.host)
        yield "sqlserver_port", str(server.port)


def _urls(site: Site) -> Iterator[tuple[str, str]]:
    settings = site.settings
    balancer, proxy, broker = settings.loadbalancer, settings.proxy, settings.rabbitmq
    if balancer is not None:
        yield "vip", shlex.quote(balancer.url.rstrip("/") + balancer.health_path)
        management = balancer.bigip.url if balancer.bigip else balancer.url
        yield "f5", shlex.quote(management.rstrip("/"))
        yield "f5_host", shlex.quote(urlsplit(management).hostname or "")
    if proxy is not None:
        place = urlsplit(proxy.url)
        yield "proxy", shlex.quote(f"{place.hostname}:{place.port or 80}")
        yield from (("proxy_host", shlex.quote(place.hostname or "")), ("proxy_port", str(place.port or 80)))
    if broker is not None:
        scheme = "https" if broker.management_tls else "http"
        yield "broker", f"{scheme}://{shlex.quote(site.host_of(broker))}:{broker.management_port}"
    if settings.minio is not None:
        minio = settings.minio
        yield "minio", shlex.quote((minio.url or f"http://{site.address_of(minio.server)}:9000").rstrip("/"))
    if settings.flower is not None:
        flower = settings.flower
        yield (
            "flower",
            shlex.quote((flower.url or f"http://{site.address_of(flower.server)}:5555").rstrip("/")),
        )
    for name, endpoint, port in (
        ("prometheus", settings.prometheus, 9090),
        ("alertmanager", settings.alertmanager, 9093),
    ):
        url = endpoint.url if endpoint else f"http://{site.address_of('db')}:{port}"
        yield name, shlex.quote(url.rstrip("/"))
