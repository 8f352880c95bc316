"""The faults that recur, each ready to be declared: how it is broken, seen and mended.

A fault of its own is a ``Fault`` with three functions, beside its incident.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samaops.i18n import _, joined
from samaops.lab.incidents.incident import Evidence, Fault
from samaops.lab.incidents.site import CONTAINER_STOP_SECONDS, Site
from samaops.lab.incidents.tools import broker, sessions, traffic

FULL_PERCENT = 93.0
LIVE_PERCENT = 90.0
WAITING = 8
CONNECT_SECONDS = 1.5


def stopped(part: str, grace_seconds: int = CONTAINER_STOP_SECONDS) -> Fault:
    """A daemon, or a service of the compose files, is stopped."""

    def evidence(site: Site) -> str | None:
        ended = site.stopped(part)
        address, port = site.endpoint(part)
        if not ended or not port:
            return ended
        refused = refuses(address, port)
        return joined((ended, refused)) if refused else None

    return Fault(
        break_=lambda site: site.stop(part, grace_seconds),
        evidence=evidence,
        heal=lambda site: site.start(part),
    )


def setting(
    write: Callable[[Site, str, Any], object], name: str, bad: object, good: object, evidence: Evidence
) -> Fault:
    """A setting has a bad value; ``write`` gives it one."""
    return Fault(
        break_=lambda site: write(site, name, bad),
        evidence=evidence,
        heal=lambda site: write(site, name, good),
    )


def sql(do: str, undo: str, evidence: Evidence, **values: object) -> Fault:
    """A statement of ``sql/`` was run; another undoes it. ``values`` are for both."""
    return Fault(
        break_=lambda site: sessions.run(site, do, values),
        evidence=evidence,
        heal=lambda site: sessions.run(site, undo, values),
    )


def held(names: tuple[str, ...], evidence: Evidence, *arguments: str, is_pooled: bool = False) -> Fault:
    """Sessions of ``hold.py``, whose names these are, do something for as long as the incident lasts."""

    def end(site: Site) -> None:
        site.end(site.incident)
        for name in names:
            sessions.end(site, name)

    return Fault(
        break_=lambda site: sessions.hold(site, *arguments, is_pooled=is_pooled), evidence=evidence, heal=end
    )


def switched(server: str, names: Mapping[str, str], evidence: Evidence) -> Fault:
    """The application is told to have a fault, by files of ``app/switches.py``: their names and contents."""

    def switch_on(site: Site) -> None:
        for name, content in names.items():
            site.switch(server, name).write_text(content, encoding="ascii")

    def switch_off(site: Site) -> None:
        for name in names:
            site.switch(server, name).unlink(missing_ok=True)

    return Fault(break_=switch_on, evidence=evidence, heal=switch_off)


def unconsumed(worker: str, *queues: str) -> Fault:
    """A worker is connected and no longer consumes some of its queues; messages wait in them.

    So some versions of Celery leave a worker after they lost the broker.
    """

    def cancel(site: Site) -> None:
        for queue in queues:
            broker.control(site, worker, "cancel_consumer", {"queue": queue})
        broker.await_desertion(site, queues)
        for queue in queues:
            traffic.notify_many(queue, WAITING)

    def evidence(site: Site) -> str | None:
        known = [broker.queue(site, queue) for queue in queues]
        waiting = sum(int(queue.get("messages_ready", 0)) for queue in known)
        is_deserted = all(queue and not queue.get("consumers") for queue in known)
        if not is_deserted or not waiting or not broker.hears_control(site, worker):
            return None
        return _("queue {queue}: {waiting} messages wait, no consumer").format(
            queue=", ".join(queues), waiting=waiting
        )

    def add(site: Site) -> None:
        for queue in queues:
            broker.control(site, worker, "add_consumer", {"queue": queue})
        site.start(broker.CONTAINERS[worker])
        broker.await_consumption(site, worker)

    return Fault(break_=cancel, evidence=evidence, heal=add)


def filled(server: str, path: Path) -> Fault:
    """One big file, alone in its directory, fills the disk of a server."""

    def fill(site: Site) -> None:
        outer = site.server(server).outer(path)
        outer.parent.mkdir(exist_ok=True)
        with outer.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), bytes_to_fill(outer.parent))

    def evidence(site: Site) -> str | None:
        if not site.has_own_disk(server) or not site.server(server).outer(path).exists():
            return None
        return fullness(site, server)

    def free(site: Site) -> None:
        if not site.has_own_disk(server):
            return  # it went with its server; the path is this machine's now
        outer = site.server(server).outer(path)
        outer.unlink(missing_ok=True)
        if outer.parent.exists():
            outer.parent.rmdir()

    return Fault(break_=fill, evidence=evidence, heal=free, refuse=own_disk(server))


def own_disk(server: str) -> Evidence:
    """Return what refuses a fault that fills a disk where the disk is this machine's."""

    def refuse(site: Site) -> str | None:
        if site.has_own_disk(server):
            return None
        if site.states.state.server(server) is not None:
            return _("server {server} does not run").format(server=server)
        return _("/data of {server} is on this machine's own disk, which is never filled").format(
            server=server
        )

    return refuse


def bytes_to_fill(directory: Path) -> int:
    """Return how many more bytes make a file system as full as wanted."""
    disk = os.statvfs(directory)
    used = disk.f_blocks - disk.f_bfree
    return max(0, int((used + disk.f_bavail) * FULL_PERCENT / 100 - used) * disk.f_frsize)


def used_percent(site: Site, server: str) -> float:
    """Return how full /data of a server is, as df computes it; 0 when it is no file system of its own."""
    if not site.has_own_disk(server):
        return 0.0
    disk = os.statvfs(site.server(server).outer(Path("/data")))
    used = disk.f_blocks - disk.f_bfree
    return 100 * used / ((used + disk.f_bavail) or 1)


def fullness(site: Site, server: str) -> str | None:
    """Return how full the disk of a server is, None while it is not."""
    percent = used_percent(site, server)
    if percent < LIVE_PERCENT:
        return None
    return _("/data of {server} is {percent:.0f} % full").format(server=server, percent=percent)


def refuses(address: str, port: int) -> str | None:
    """Return words when nothing listens on a port, None when something accepts."""
    try:
        socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return _("connection to {address}:{port} is refused").format(address=address, port=port)
    except OSError as error:
        return _("connection to {address}:{port} fails: {reason}").format(
            address=address, port=port, reason=error
        )
    return None
