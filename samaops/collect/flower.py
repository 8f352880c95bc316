"""What Flower sees: one witness of the workers, and not the judge of the queues."""

from __future__ import annotations

import time

from samaops.clients.flower import FlowerClient
from samaops.collect.engine import Collector, Probe
from samaops.config.settings import Flower
from samaops.facts.flower import FlowerFacts
from samaops.site.site import Site

DEFAULT_PASSWORD = ("admin", "admin")  # the guide's


def url_of(site: Site, flower: Flower) -> str:
    """Return Flower's address: the configured one, or port 5555 of its server."""
    if flower.url:
        return flower.url
    address = site.address_of(flower.server)
    return f"http://[{address}]:5555" if ":" in address else f"http://{address}:5555"


def collectors(site: Site) -> list[Collector]:
    """Return the collector of the configured Flower, if any."""
    flower = site.settings.flower
    if flower is None:
        return []
    url = url_of(site, flower)

    def collect(probe: Probe) -> FlowerFacts:
        return observe(url, flower, probe)

    subject = f"flower/{flower.server}"
    return [Collector("flower", subject, FlowerFacts, collect, flower.server, timeout=flower.timeout + 1)]


def observe(url: str, settings: Flower, probe: Probe) -> FlowerFacts:
    """Ask Flower for its workers."""
    probe.stage("workers")
    started = time.perf_counter()
    with FlowerClient(url, settings) as client:
        online = client.online()
    password = settings.password.reveal() if settings.password else None
    return FlowerFacts(
        milliseconds=round((time.perf_counter() - started) * 1000, 1),
        online={name[:200]: is_online for name, is_online in online.items()},
        uses_default_password=(settings.username, password) == DEFAULT_PASSWORD,
        has_password=password is not None,
    )
