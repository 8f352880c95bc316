"""What the running containers of a Docker engine use now: processor, memory, processes. Looked at only by name."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.docker.containers import engine_script, require_engine
from samaops.collect.docker.reading import engine_failure
from samaops.collect.engine import Collector, Probe
from samaops.collect.sections import complaints_of, cut
from samaops.facts.docker import ContainerUse, StatsFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

# docker itself measures for a second or two.
COMMAND_SECONDS = 10
SCRIPT_SECONDS = 12.0
# docker stats prints sizes with binary prefixes (go-units BytesSize).
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"([\d.]+)\s*([kmgt]?)i?b", re.IGNORECASE)


def collectors(site: Site) -> list[Collector]:
    """Return one collector for each server that must run containers."""
    if site.settings.docker is None:
        return []
    return [_collector(site, server) for server in site.containers()]


def _collector(site: Site, server: str) -> Collector:
    def collect(probe: Probe) -> StatsFacts:
        require_engine(site)
        return observe(server, probe)

    return Collector(
        "docker", f"docker/{server}", StatsFacts, collect, server, timeout=site.shell_seconds(server, SCRIPT_SECONDS),
        on_request=True,
    )  # fmt: skip


def observe(server: str, probe: Probe) -> StatsFacts:
    """Measure the containers of one engine."""
    shell = probe.shell(server)
    probe.stage("docker stats")
    token = secrets.token_hex(8)
    command = f"sh -s -- {token} {COMMAND_SECONDS}"
    return read(shell.run(command, min(SCRIPT_SECONDS, probe.remaining()), _script()), token)


def read(done: Completed, token: str) -> StatsFacts:
    """Return what the script's output holds. Raises ClientError when the engine did not answer."""
    *lines, end = cut(done, token).get("stats") or ["exit 1"]
    code = end.removeprefix("exit ")
    if code != "0":
        complaints = complaints_of(done, token)["stats"] or [_("the server's answer is not complete")]
        raise engine_failure(int(code) if code.isdigit() else 1, complaints)
    return StatsFacts(tuple(sorted(_containers(lines), key=lambda container: container.name)))


def _containers(lines: Sequence[str]) -> list[ContainerUse]:
    try:
        return [_use(json.loads(line)) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise ClientError(FailureKind.GARBAGE, str(error)[:200], "docker stats") from error


def _use(document: Mapping[str, Any]) -> ContainerUse:
    used, _slash, limit = str(document["MemUsage"]).partition("/")
    processes = str(document["PIDs"])
    return ContainerUse(
        name=str(document["Name"]),
        id=str(document["ID"]),
        cpu_percent=_percent(str(document["CPUPerc"])),
        memory_bytes=_bytes(used),
        memory_limit=_bytes(limit),
        processes=int(processes) if processes.isdigit() else None,
    )


def _percent(text: str) -> float | None:
    try:
        return float(text.rstrip("%"))
    except ValueError:  # "--": the container ended meanwhile
        return None


def _bytes(text: str) -> int | None:
    match = _SIZE.fullmatch(text.strip())
    return round(float(match.group(1)) * _UNITS[match.group(2).lower()]) if match else None


@cache
def _script() -> bytes:
    return engine_script(Path(__file__).with_suffix(".sh"))
