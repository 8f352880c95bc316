"""What is observed of PostgreSQL. How it is read stands in ``postgresql_reading``."""

from __future__ import annotations

from samaops.collect.engine import Collector, Probe
from samaops.collect.postgresql.reading import observe
from samaops.facts.postgresql import (
    PostgresFacts,
)
from samaops.site.site import Site


def collectors(site: Site) -> list[Collector]:
    """Return the collector of the configured server, if any."""
    section = site.settings.postgresql
    if section is None:
        return []
    host = site.host_of(section)

    def collect(probe: Probe) -> PostgresFacts:
        return observe(host, section, probe)

    subject = f"postgresql/{section.server}"
    return [
        Collector("postgresql", subject, PostgresFacts, collect, section.server, timeout=section.timeout + 1)
    ]
