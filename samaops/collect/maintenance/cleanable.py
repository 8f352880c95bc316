"""What is observed of what can be given back on the disks of a server: logs, the journal, packages, the reserve."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.engine import Probe
from samaops.collect.maintenance.directories import WATCHED
from samaops.collect.registry import collects, each_server
from samaops.collect.sections import cut, script_of
from samaops.config.settings import Server
from samaops.facts.disks import CleanableFacts, CleanDisk, Holder, LogFile, Store
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

# Of one search, and of the whole script.
SEARCH_SECONDS = 5
SCRIPT_SECONDS = 14.0
_BLOCK = 512
LOG = "maintenance.cleanable.log"


@collects(
    "maintenance",
    CleanableFacts,
    targets=each_server(SCRIPT_SECONDS),
    feeds=("maintenance.cleanable",),
    kind="cleanable",
    on_request=True,
)
def look(server: Server, site: Site, probe: Probe) -> CleanableFacts:
    """List what can be given back on one server."""
    assert probe.server is not None
    shell = probe.shell(probe.server)
    probe.stage("find")
    token = secrets.token_hex(8)
    likely = site.settings.maintenance.log_directory
    mounts = tuple(dict.fromkeys((*WATCHED, *server.mounts)))
    # Without a search only what a change asks for by name is looked at.
    searches = probe.wants("maintenance.cleanable.search")
    files = () if searches else (*_asked_for(probe), "-")[: max(1, len(_asked_for(probe)))]
    arguments = shlex.join((token, str(SEARCH_SECONDS), likely, str(len(mounts)), *mounts, *files))
    done = shell.run(f"sh -s -- {arguments}", min(SCRIPT_SECONDS, probe.remaining()), _script())
    return read(done, token)


def _asked_for(probe: Probe) -> tuple[str, ...]:
    """Return the paths that were asked for by name on this server (``log_code``)."""
    named = (name.rpartition("@") for name in probe.named(LOG))
    return tuple(path for path, _at, server in named if server == probe.server)


def read(done: Completed, token: str) -> CleanableFacts:
    """Return what the script's output holds. Raises ClientError when it is not complete."""
    sections = cut(done, token)
    try:
        names = [name for name in sections if name.startswith("mount ")]
        devices = {
            int(sections[name][0].split()[0]): _disk(name.removeprefix("mount "), sections[name])
            for name in names
        }
        holders = _holders(sections["open"])
        return CleanableFacts(
            epoch=float(sections["now"][0]),
            is_root=sections["who"] == ["root"],
            disks=tuple(devices.values()),
            # A directory that is mounted, or linked, at two places: the path on its own disk is the last.
            logs=tuple(
                {(log.mount, log.inode): log for log in _logs(sections["logs"], devices, holders)}.values()
            ),
            is_partial="partial" in sections["logs"],
            journal=_store(sections.get("journal", [])),
            packages=_store(sections.get("packages", [])),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "find") from error


def _disk(mount: str, lines: Sequence[str]) -> CleanDisk:
    _device, size, used, available = (int(word) for word in lines[0].split())
    reserves = [int(line.split()[1]) * _BLOCK for line in lines[1:] if line.startswith("reserve ")]
    return CleanDisk(mount, size, used, available, sum(reserves))


def _holders(lines: Sequence[str]) -> Mapping[tuple[int, int], tuple[Holder, ...]] | None:
    """Return who holds which file (device, inode); None where the search was not ended: then nobody knows."""
    if lines[-1:] != ["exit 0"]:
        return None
    found: dict[tuple[int, int], list[Holder]] = {}
    for line in lines[:-1]:
        key, pid, descriptor, flags = line.split("\t")
        device, _colon, inode = key.partition(":")
        holder = Holder(int(pid), int(descriptor), int(flags, 8))
        found.setdefault((int(device), int(inode)), []).append(holder)
    return {key: tuple(holders) for key, holders in found.items()}


def _logs(
    lines: Sequence[str],
    disks: Mapping[int, CleanDisk],
    holders: Mapping[tuple[int, int], tuple[Holder, ...]] | None,
) -> Iterator[LogFile]:
    for line in lines:
        words = line.split("\t", 5)
        if len(words) != 6 or not all(word.isdigit() for word in words[:4]):
            continue
        device, inode, blocks, size_bytes = (int(word) for word in words[:4])
        if device in disks:
            yield LogFile(
                path=words[5],
                mount=disks[device].mount,
                inode=inode,
                size_bytes=size_bytes,
                held_bytes=blocks * _BLOCK,
                modified_at=float(words[4]),
                holders=None if holders is None else holders.get((device, inode), ()),
            )


def _store(lines: Sequence[str]) -> Store | None:
    for line in lines:
        count, _space, path = line.partition(" ")
        if count.isdigit() and path:
            return Store(path, int(count))
    return None


@cache
def _script() -> bytes:
    return script_of(Path(__file__).with_suffix(".sh"))
