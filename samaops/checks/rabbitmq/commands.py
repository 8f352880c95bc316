"""Commands about the broker for hints, with the configured server and container."""

from __future__ import annotations

import shlex

from samaops.site.commands import on_server
from samaops.site.site import Site


def in_broker(site: Site, command: str) -> str:
    """Return the command line that runs one of RabbitMQ's tools where the broker is."""
    rabbitmq = site.settings.rabbitmq
    if rabbitmq is None:
        return command
    inside = f"docker exec {shlex.quote(rabbitmq.container)} {command}" if rabbitmq.container else command
    return on_server(site, rabbitmq.server, inside)


def list_connections(site: Site) -> str:
    """Return the command that shows who is connected from where, and as which program."""
    return in_broker(site, "rabbitmqctl -q list_connections name user client_properties")


def list_queues(site: Site) -> str:
    """Return the command that shows what waits in which queue, and for whom."""
    return in_broker(site, "rabbitmqctl -q list_queues name messages_ready messages_unacknowledged consumers")
