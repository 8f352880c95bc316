"""What Flower sees: one witness of the workers, and not the judge of the queues."""

from __future__ import annotations

import time

from samaops.clients.flower import FlowerClient
from samaops.collect.engine import Probe
from samaops.collect.registry import collects
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


@collects("flower", FlowerFacts)
def look(flower: Flower, site: Site, probe: Probe) -> FlowerFacts:
    """Ask Flower which workers it sees."""
    return observe(url_of(site, flower), flower, probe)


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
