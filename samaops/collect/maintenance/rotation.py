"""What is observed of the application's logs that may be rotated: how large, how old, and who is writing to each."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, reason
from samaops.collect.engine import Probe
from samaops.collect.maintenance.logs import servers_with_logs
from samaops.collect.registry import Target, collects
from samaops.collect.sections import complaints_of, cut, script_of
from samaops.facts.maintenance_week import LogFile, RotationFacts, Writer
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

SCRIPT_SECONDS = 40.0
# Where the kernel takes the head off a file in one stroke, under the lock under which it is written (fallocate).
_COLLAPSING = ("ext4", "xfs")


def _targets(site: Site) -> Iterator[Target]:
    for server in servers_with_logs(site):
        yield Target(server, server, server, site.shell_seconds(server, SCRIPT_SECONDS))


@collects(
    "maintenance",
    RotationFacts,
    targets=_targets,
    feeds=("maintenance.rotation",),
    kind="rotation",
    on_request=True,
)
def look(server: str, site: Site, probe: Probe) -> RotationFacts:
    """List the logs of a server, and who has each open."""
    settings = site.settings.maintenance
    shell = probe.shell(server)
    probe.stage("list")
    token = secrets.token_hex(8)
    words = shlex.join((token, settings.log_directory, settings.log_pattern))
    done = shell.run(f"sh -s -- {words}", min(SCRIPT_SECONDS, probe.remaining()), _script())
    return read(done, token, settings.log_directory)


def read(done: Completed, token: str, directory: str) -> RotationFacts:
    """Return the files that the script's output holds. Raises ClientError when it is not complete."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    try:
        epoch = float(sections["now"][0])
        if sections["directory"][0] != "exists":
            words = reason(complaints["directory"], "no such file", "permission denied", "no answer")
            kind = FailureKind.MISSING if "No such file" in words else FailureKind.PERMISSION
            raise ClientError(kind, words, "list")
        block, file_system, *tools = sections["file_system"]
        *lines, end = sections["files"]
        if end != "exit 0":
            raise ClientError(FailureKind.PERMISSION, reason(complaints["files"]) or end, "list")
        writers = _writers(sections["writers"])
        files = tuple(_file(line, writers) for line in lines)
        can_collapse = file_system in _COLLAPSING and bool(tools)
        return RotationFacts(directory, epoch, files, file_system, int(block), can_collapse)
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "list") from error


def _writers(lines: Sequence[str]) -> Mapping[int, tuple[Writer, ...]] | None:
    """Return who writes to each file, by its number; None where nobody may see all processes."""
    *rows, end = lines
    if end != "exit 0":
        return None
    found: dict[int, tuple[Writer, ...]] = {}
    for row in rows:
        inode, process, appends, name = row.split("\t", 3)
        writer = Writer(int(process), name, appends == "1")
        found[int(inode)] = (*found.get(int(inode), ()), writer)
    return found


def _file(line: str, writers: Mapping[int, tuple[Writer, ...]] | None) -> LogFile:
    inode, size, modified, is_current, name = line.split("\t", 4)
    seen = None if writers is None else writers.get(int(inode), ())
    return LogFile(name, int(inode), int(size), float(modified), is_current == "1", seen)


@cache
def _script() -> bytes:
    return script_of(Path(__file__).with_suffix(".sh"))
