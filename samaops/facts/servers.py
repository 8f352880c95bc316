"""What is observed of the Linux servers: whether they answer, and one reading of each over its shell."""

from __future__ import annotations

import secrets
import shlex
import time
from functools import cache
from pathlib import Path

from msgspec import Struct

from samaops.config.settings import Server, Settings, Ssh
from samaops.facts.engine import Collector, Probe

PING_SECONDS = 1.0
CONNECT_SECONDS = 2.0
# The script bounds each of its own steps; a nearly full disk adds about 7 s at worst.
SCRIPT_SECONDS = 9.0
# Where the search for what fills a disk begins. Below the 80 % of the guide, so that the answer is there in time.
NEARLY_FULL_PERCENT = 75


class ReachFacts(Struct, frozen=True):
    """Whether a machine answers. Times in milliseconds, None without an answer.

    ``tcp`` is "open", a FailureKind, or None when no connection was tried because the echo came back.
    """

    address: str
    port: int | None
    ping_allowed: bool
    ping_ms: float | None
    ping_reason: str
    tcp: str | None
    tcp_ms: float | None
    tcp_message: str


class FileSystem(Struct, frozen=True):
    """One mounted file system as ``df`` sees it. Sizes in bytes; percent is of what users can fill."""

    mount: str
    type: str
    size_bytes: int
    used_bytes: int
    available_bytes: int
    inodes: int
    inodes_used: int
    is_configured: bool

    @property
    def used_percent(self) -> float:
        """Return the share that is used, as df computes it: reserved blocks count for nobody."""
        usable = self.used_bytes + self.available_bytes
        return round(100 * self.used_bytes / usable, 1) if usable else 0.0

    @property
    def inodes_percent(self) -> float | None:
        """Return the share of inodes used; None where the file system has no fixed number of them."""
        return round(100 * self.inodes_used / self.inodes, 1) if self.inodes else None


class ReadOnlyMount(Struct, frozen=True):
    """A mount that refuses writes. ``by_itself`` when the file system is, and not only this mount of it."""

    mount: str
    type: str
    source: str
    by_itself: bool


class OomKill(Struct, frozen=True):
    """One process that the kernel killed for memory. ``container`` is an id when a container's limit did it."""

    at: float | None  # seconds since the epoch; None where the log has no time
    pid: int
    command: str
    by_limit: bool
    container: str | None


class KernelLog(Struct, frozen=True):
    """What the kernel's log says of memory. ``since`` is its oldest line's time, None when not known."""

    source: str
    since: float | None
    kills: tuple[OomKill, ...]


class DeletedFile(Struct, frozen=True):
    """A file that is deleted, and still takes its space because a process holds it open."""

    mount: str
    path: str
    size_bytes: int
    pid: int
    command: str


class Biggest(Struct, frozen=True):
    """The largest directories and files of one nearly full mount; ``partial`` when time was up before the end."""

    mount: str
    partial: bool
    entries: tuple[tuple[str, int], ...]


class ServerFacts(Struct, frozen=True):
    """One reading of a server. Sizes in bytes.

    The server's clock minus ours lies between ``clock_low`` and ``clock_high`` seconds. ``deleted`` and
    ``biggest`` are empty when no file system is nearly full: nobody searched then.
    """

    kernel: str
    boot_id: str
    uptime_seconds: float
    epoch: float
    processors: int
    load_1: float
    load_5: float
    load_15: float
    memory_total: int
    memory_available: int
    swap_total: int
    swap_free: int
    clock_low: float
    clock_high: float
    file_systems: tuple[FileSystem, ...]
    remote_file_systems_hang: bool
    read_only: tuple[ReadOnlyMount, ...]
    missing_mounts: tuple[str, ...]
    oom_kills_since_boot: int | None
    kernel_log: KernelLog | None
    deleted: tuple[DeletedFile, ...] | None
    biggest: tuple[Biggest, ...] | None


def collectors(settings: Settings) -> list[Collector]:
    """Return two collectors for each server: is it there, and how is it."""
    found = []
    for name, server in settings.servers.items():
        if server.ping or isinstance(server.ssh, Ssh):
            found.append(_reach_collector(name, server))
        if server.ssh != "none":
            found.append(_state_collector(name, server))
    return found


def _reach_collector(name: str, server: Server) -> Collector:
    def collect(probe: Probe) -> ReachFacts:
        return reach(server, probe)

    timeout = PING_SECONDS + CONNECT_SECONDS + 1.5
    feeds = ("servers.host.unreachable",)
    return Collector("servers", f"servers/{name}", ReachFacts, collect, name, feeds, timeout)


def _state_collector(name: str, server: Server) -> Collector:
    def collect(probe: Probe) -> ServerFacts:
        return observe(name, server, probe)

    log_in = server.ssh.timeout if isinstance(server.ssh, Ssh) else 0.0
    feeds = tuple(
        f"servers.{part}" for part in ("ssh", "load", "memory", "swap", "disk", "mount", "clock", "oom")
    )
    return Collector(
        "servers", f"servers/{name}", ServerFacts, collect, name, feeds, log_in + SCRIPT_SECONDS + 0.5
    )


def reach(server: Server, probe: Probe) -> ReachFacts:
    """Ask for an echo; without one, try a TCP connection to the SSH port.

    A connection that is opened and dropped is a line in the log of sshd: with an echo there is no need for it.
    """
    from samaops.clients import reach as client

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
    from samaops.facts import servers_reading

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
        for part, code in (("deleted", "servers.disk.deleted_open"), ("biggest", "servers.disk.full"))
        if probe.wants(code)
    ]
    return ",".join(wanted) or "-"


@cache
def script() -> bytes:
    """Return the script that reads a server."""
    return Path(__file__).with_suffix(".sh").read_bytes()
