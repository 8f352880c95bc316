"""Whether the names that customers use lead anywhere, as this machine sees it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from samaops.clients import reach
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.facts.checklist import NameFacts
from samaops.site import guide_servers
from samaops.site.site import Site

_SECONDS = 8.0


def names(site: Site) -> Iterator[Target]:
    """Yield the names of the virtual address and of the certificates, each once; an address is no name."""
    settings = site.settings
    hosts = [urlsplit(settings.loadbalancer.url).hostname or ""] if settings.loadbalancer else []
    hosts += [certificate.server_name or certificate.host for certificate in settings.certificates]
    foreign = guide_servers.foreign_hosts(site)
    for host in dict.fromkeys(hosts):
        if host and host not in foreign and not _is_address(host):
            yield Target(host, host, None, _SECONDS)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@collects("checklist", NameFacts, targets=names, feeds=("checklist.dns",), kind="dns", on_request=True)
def look(name: str, _site: Site, probe: Probe) -> NameFacts:
    """Ask the resolver of this machine. Raises ClientError where it cannot tell."""
    probe.stage("resolve")
    return NameFacts(name, reach.addresses_of(name))
