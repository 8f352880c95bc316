"""What the declarations need of the lab itself: services of the compose files changed and put back, parts restarted.

Run as a program: ``change SERVICE STATEMENT``, ``restore SERVICE``, ``recreate CONTAINER``, ``restart PART``,
``control WORKER COMMAND JSON``, ``send-again``. ``STATEMENT`` is Python that changes ``s``, the service's description.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from samaops.lab import compose
from samaops.lab.incidents.site import Site, server_of
from samaops.lab.incidents.tools import broker, traffic
from samaops.lab.layout import Layout
from samaops.lab.servers import Server


def change(site: Site, service: str, statement: str) -> None:
    """Change the description of a service, and let compose make its container anew."""
    server, file = _place(site, service)
    text = file.read_text(encoding="utf-8")
    kept = _kept(service)
    if not kept.exists():
        kept.write_text(text, encoding="utf-8")
    document = yaml.safe_load(text)
    exec(statement, {"s": document["services"][service]})
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    compose.up(server, service)


def restore(site: Site, service: str) -> None:
    """Put the description back, and wait until the service does its work."""
    server, file = _place(site, service)
    kept = _kept(service)
    if kept.exists():
        file.write_text(kept.read_text(encoding="utf-8"), encoding="utf-8")
    compose.up(server, service)
    site.start(f"samaconso_{service}")


def recreate(site: Site, container: str) -> None:
    """Make a container anew."""
    site.recreate(container)


def restart(site: Site, part: str) -> None:
    """Stop and start a daemon or a container."""
    site.stop(part)
    site.start(part)


def control(site: Site, worker: str, command: str, arguments: str) -> None:
    """Send a worker a command of Celery's remote control."""
    broker.control(site, worker, command, json.loads(arguments))


def send_again(site: Site) -> None:
    """Send so many notifications that arrive that the failures before are history."""
    traffic.send_again(site)


def _place(site: Site, service: str) -> tuple[Server, Path]:
    server = site.server(server_of(f"samaconso_{service}"))
    return server, server.outer(server.opt / compose.FILES[server.name])


def _kept(service: str) -> Path:
    return Path(os.environ["WORK"]) / f"compose-{service}.yml"


DOERS: Mapping[str, Callable[..., None]] = {
    "change": change,
    "restore": restore,
    "recreate": recreate,
    "restart": restart,
    "control": control,
    "send-again": send_again,
}

if __name__ == "__main__":
    DOERS[sys.argv[1]](Site.open(Layout(Path(os.environ["LAB"])), "unlisted"), *sys.argv[2:])
