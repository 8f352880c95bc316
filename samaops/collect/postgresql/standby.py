"""Ask the standbys that are configured: one connection each, one statement."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.clients.postgresql import PostgresClient
from samaops.collect.engine import Probe
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.collect.values import as_read
from samaops.config.settings import PostgreSQL
from samaops.config.standby import StandbyServer
from samaops.facts.postgresql import StandbyFacts
from samaops.site.site import Site

_SPARE_SECONDS = 0.3  # so that what was read until then comes back before the engine gives up


def configured(site: Site) -> Iterator[Target]:
    """Yield the standbys of the configuration."""
    section = site.settings.postgresql
    for standby in section.standbys if section else ():
        assert section is not None
        yield Target(standby.name, standby, standby.server, section.timeout + SPARE_SECONDS)


@collects("postgresql", StandbyFacts, targets=configured, feeds=("postgresql.standby",), kind="standby")
def look(standby: StandbyServer, site: Site, probe: Probe) -> StandbyFacts:
    """Ask a standby what it is. Raises ClientError."""
    section = site.settings.postgresql
    assert section is not None
    return observe(standby.host or site.settings.address_of(standby.server), standby, section, probe)


def observe(host: str, standby: StandbyServer, section: PostgreSQL, probe: Probe) -> StandbyFacts:
    """Ask a server what it is. Raises ClientError."""
    seconds = max(0.1, min(section.timeout + 1, probe.remaining()) - _SPARE_SECONDS)
    client = PostgresClient(host, section.model_copy(update={"port": standby.port}), seconds)
    try:
        probe.stage("connect")
        client.connect()
        probe.stage("standby")
        return as_read({"name": standby.name, **client.read_one("standby_itself")}, StandbyFacts)
    finally:
        client.close()
