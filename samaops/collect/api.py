"""What is observed of each API member, asked directly and not through the balancer."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.collect import health
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import Api, ApiInstance
from samaops.facts.api import ApiFacts
from samaops.site.site import Site


def members(site: Site) -> Iterator[Target]:
    """Yield the configured members."""
    api = site.settings.api
    for member in api.instances if api else ():
        yield Target(member.name, member, member.server, (api or Api()).timeout + SPARE_SECONDS)


@collects("api", ApiFacts, targets=members)
def look(member: ApiInstance, site: Site, probe: Probe) -> ApiFacts:
    """Ask one member for its health."""
    assert site.settings.api is not None
    url = health.url_of(member.url, site.settings.api.health_path)
    return ApiFacts(member.name, health.ask(url, site.settings.api.timeout, probe))
