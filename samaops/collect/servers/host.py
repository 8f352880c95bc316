"""What is observed of the Linux servers: whether they answer, and one reading of each over its shell."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from samaops.clients import reach as client
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects, each_server
from samaops.collect.sections import script_of
from samaops.collect.servers import reading as servers_reading
from samaops.config.settings import Server, Ssh
from samaops.facts.servers import (
    ReachFacts,
    ServerFacts,
)
from samaops.site.site import Site

PING_SECONDS = 1.0
CONNECT_SECONDS = 2.0
# The script bounds each of its own steps; a nearly full disk adds about 7 s at worst.
SCRIPT_SECONDS = 9.0
# Where the search for what fills a disk begins. Below the 80 % of the guide, so that the answer is there in time.
NEARLY_FULL_PERCENT = 75


def reached(site: Site) -> Iterator[Target]:
    """Yield the servers that can be asked for a sign of life."""
    for name, server in site.settings.servers.items():
        if server.ping or isinstance(server.ssh, Ssh):
            yield Target(name, server, name, PING_SECONDS + CONNECT_SECONDS + 1.5)


@collects("servers", ReachFacts, targets=reached, feeds=("servers.host.unreachable",))
def look_from_outside(server: Server, _site: Site, probe: Probe) -> ReachFacts:
    """Ask whether a server is there."""
    return reach(server, probe)


@collects(
    "servers",
    ServerFacts,
    targets=each_server(SCRIPT_SECONDS),
    feeds=tuple(
        f"servers.{part}" for part in ("ssh", "load", "memory", "swap", "disk", "mount", "clock", "oom")
    ),
)
def look_from_inside(server: Server, _site: Site, probe: Probe) -> ServerFacts:
    """Read a server over its shell."""
    assert probe.server is not None
    return observe(probe.server, server, probe)


def reach(server: Server, probe: Probe) -> ReachFacts:
    """Ask for an echo; without one, try a TCP connection to the SSH port.

    A connection that is opened and dropped is a line in the log of sshd: with an echo there is no need for it.
    """
    port = server.ssh.port if isinstance(server.ssh, Ssh) else None
    probe.stage("ping")
    echo = client.Echo(allowed=False, reason="ping = false")
    if server.ping:
        echo = client.ping(server.address, PING_SECONDS)
    connection = None
    if echo.milliseconds is None and port is not None:
        probe.stage("connect")
        connection = client.connect(server.address, port, CONNECT_SECONDS)
    return ReachFacts(
        address=server.address,
        port=port,
        ping_allowed=echo.allowed,
        ping_ms=echo.milliseconds,
        ping_reason=echo.reason,
        tcp=None if connection is None else (connection.failure.value if connection.failure else "open"),
        tcp_ms=connection.milliseconds if connection and connection.is_answered else None,
        tcp_message=connection.message if connection else "",
    )


def observe(name: str, server: Server, probe: Probe) -> ServerFacts:
    """Run one script on the server and read its answer.

    A failed log-in keeps its own kind here: that sshd refuses is a fault of this server.
    """
    probe.stage("ssh")
    shell = probe.shells.of(name)
    probe.stage("script")
    token = secrets.token_hex(8)
    arguments = (token, _costly_parts(probe), str(NEARLY_FULL_PERCENT), *server.mounts)
    before = time.time()
    done = shell.run(f"sh -s -- {shlex.join(arguments)}", min(SCRIPT_SECONDS, probe.remaining()), script())
    after = time.time()
    return servers_reading.read(done, token, (before, after), server.mounts, probe)


def _costly_parts(probe: Probe) -> str:
    wanted = [
        part
        for part, code in (
            ("deleted", "servers.disk.deleted_open"),
            ("biggest", "servers.disk.full"),
            ("files", "servers.mount.missing"),
        )
        if probe.wants(code)
    ]
    return ",".join(wanted) or "-"


@cache
def script() -> bytes:
    """Return the script that reads a server."""
    return script_of(Path(__file__).with_suffix(".sh"))
