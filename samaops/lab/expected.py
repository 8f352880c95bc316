"""The parts that a complete lab has, and where each listens; so that a missing one is noticed."""

from __future__ import annotations

from msgspec import Struct

from samaops.lab import layout as places
from samaops.lab.compose import CONTAINERS, PORTS
from samaops.lab.layout import ADDRESSES
from samaops.lab.outside.places import google_port
from samaops.lab.servers import NAMES


class ExpectedPart(Struct, frozen=True):
    """A part by its name, and the address and port that it alone must hold."""

    name: str
    server: str
    port: int

    @property
    def endpoint(self) -> tuple[str, int]:
        """Return where it listens."""
        return ADDRESSES[self.server], self.port


def expected_parts() -> list[ExpectedPart]:
    """Return every part that listens on a port, in the order of the servers."""
    parts = [ExpectedPart(f"sshd_{name}", name, places.SSH_PORT) for name in NAMES]
    parts += [
        ExpectedPart("postgresql", "db", places.POSTGRESQL_PORT),
        ExpectedPart("pgbouncer", "db", places.PGBOUNCER_PORT),
        ExpectedPart("minio", "db", places.S3_PORT),
        ExpectedPart("loadbalancer", "outside", places.VIP_PORT),
        ExpectedPart("proxy", "outside", places.PROXY_PORT),
        ExpectedPart("google", "outside", google_port()),
        ExpectedPart("smtp", "outside", places.SMTP_PORT),
    ]
    parts += [
        ExpectedPart(f"sqlserver_{name}", "outside", port) for name, port in places.SQLSERVER_PORTS.items()
    ]
    parts += [
        ExpectedPart(name, server, PORTS[name])
        for server, names in CONTAINERS.items()
        for name in names
        if PORTS[name]
    ]
    return parts
