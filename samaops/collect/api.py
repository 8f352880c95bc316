"""What is observed of each API member, asked directly and not through the balancer."""

from __future__ import annotations

from samaops.collect import health
from samaops.collect.engine import Collector, Probe
from samaops.config.settings import Api, ApiInstance
from samaops.facts.api import ApiFacts
from samaops.site.site import Site


def collectors(site: Site) -> list[Collector]:
    """Return one collector for each configured member."""
    api = site.settings.api
    return [_collector(api, instance) for instance in api.instances] if api else []


def _collector(api: Api, instance: ApiInstance) -> Collector:
    url = health.url_of(instance.url, api.health_path)

    def collect(probe: Probe) -> ApiFacts:
        return ApiFacts(instance.name, health.ask(url, api.timeout, probe))

    subject = f"api/{instance.name}"
    return Collector("api", subject, ApiFacts, collect, instance.server, timeout=api.timeout + 1)
