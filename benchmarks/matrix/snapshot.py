"""What must be after an incident as it was before: one flat table of names and values, normalised.

What the load itself grows (notifications, results that expire, logs) and what changes with every start (pids, ids,
times) is not in it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from samaops.lab.incidents.site import FAULTS, Site
from samaops.lab.layout import Layout

from . import servers, services

Table = dict[str, str]
SETTLE_SECONDS = 45.0
PAUSE_SECONDS = 1.0
# RabbitMQ counts messages every five seconds: until then a queue that was emptied still shows some.
COUNT_SECONDS = 6.0
UNREADABLE = "cannot be read"
# A container that has just been started is this until its first health check.
STARTING = "starting"
PARTS: Mapping[str, Callable[[Site], Mapping[str, Any]]] = {
    "parts": services.parts,
    "container": services.containers,
    "rabbitmq": services.rabbitmq,
    "redis": services.redis,
    "postgresql": services.postgresql,
    "pgbouncer": services.pgbouncer,
    "file": servers.files,
    "process": servers.processes_of,
    "mount": servers.mounts,
    "network": servers.network,
}
# What a part may fail with while something is broken; it is then one line of the table.
UNREADABLE_FAULTS = (*FAULTS, subprocess.SubprocessError, OSError, ValueError, KeyError)


def take(layout: Layout) -> Table:
    """Look at everything once. A part that cannot be read says so and fails nothing."""
    site = Site.open(layout)
    return {f"{part}/{name}": value for part, read in PARTS.items() for name, value in _read(site, read)}


def _read(site: Site, read: Callable[[Site], Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    try:
        found = read(site)
    except UNREADABLE_FAULTS as error:
        yield "", f"{UNREADABLE}: {type(error).__name__}"
        return
    for name, value in found.items():
        yield name, str(value)


def settled(layout: Layout) -> Table:
    """Look until two looks in a row are the same: what comes and goes by itself is no state."""
    deadline = time.monotonic() + SETTLE_SECONDS
    seen, same_since = take(layout), time.monotonic()
    while True:
        time.sleep(PAUSE_SECONDS)
        again, now = take(layout), time.monotonic()
        if again != seen:
            seen, same_since = again, now
        elif STARTING not in again.values() and (
            now - same_since > COUNT_SECONDS or not _has_messages(again)
        ):
            return again
        if now > deadline:
            return again


def _has_messages(table: Table) -> bool:
    queues = (value for name, value in table.items() if name.startswith("rabbitmq/queue/"))
    return any("'messages': 0" not in value for value in queues)


def await_same(layout: Layout, before: Table, seconds: float) -> list[str]:
    """Look until everything is as before; return what is not by then."""
    deadline = time.monotonic() + seconds
    while True:
        left = differences(before, take(layout))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(PAUSE_SECONDS)


def differences(before: Table, after: Table) -> list[str]:
    """Say by name what is not as it was."""
    names = sorted(before.keys() | after.keys())
    return [
        f"{name}: {_shown(before, name)} -> {_shown(after, name)}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _shown(table: Table, name: str) -> str:
    return table[name][:120] if name in table else "(absent)"
