"""Commands about the broker for hints, with the configured server, container and virtual host."""

from __future__ import annotations

from samaops.site.commands import in_broker
from samaops.site.site import Site


def list_connections(site: Site) -> str:
    """Return the command that shows who is connected from where, and as which program."""
    return in_broker(site, "rabbitmqctl -q list_connections name user client_properties")


def list_queues(site: Site, columns: str = "name messages_ready messages_unacknowledged consumers") -> str:
    """Return the command that shows our queues: what waits in which, and for whom, when nothing else is asked."""
    return in_broker(site, f"rabbitmqctl -q list_queues {columns}", of_vhost=True)
