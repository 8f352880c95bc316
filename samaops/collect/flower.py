"""What Flower sees: one witness of the workers, and not the judge of the queues."""

from __future__ import annotations

import time

from samaops.clients.errors import ClientError
from samaops.clients.flower import FlowerClient
from samaops.collect.engine import Probe
from samaops.collect.registry import collects
from samaops.config.settings import Flower
from samaops.facts.flower import API_CLOSED, FlowerFacts
from samaops.model.failure import FailureKind
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
        online, authentication = _online(client)
    password = settings.password.reveal() if settings.password else None
    return FlowerFacts(
        milliseconds=round((time.perf_counter() - started) * 1000, 1),
        online={name[:200]: is_online for name, is_online in online.items()},
        uses_default_password=(settings.username, password) == DEFAULT_PASSWORD,
        has_password=password is not None,
        authentication=authentication,
    )


def _online(client: FlowerClient) -> tuple[dict[str, bool], str]:
    """Return the workers, and whether Flower has any authentication; without one it may show them on its page alone."""
    try:
        online = client.online()
    except ClientError as error:
        if error.kind is not FailureKind.NO_AUTHENTICATION:
            raise
        page = {str(row.get("hostname", "?")): row.get("status") is True for row in client.heartbeats()}
        return page, API_CLOSED
    return online, "absent" if client.is_open() else "required"
