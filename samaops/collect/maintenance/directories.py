"""What is observed of the directories of each disk, and what an earlier run saw there: who grew."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell
from samaops.collect.engine import Probe
from samaops.collect.registry import collects, each_server
from samaops.collect.sections import cut, script_of
from samaops.config.settings import Server
from samaops.facts.maintenance import DirectoriesFacts, MountUse
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

# Of one search, and of the whole script; both are cut off, and then say that they are partial.
SEARCH_SECONDS = 20
SCRIPT_SECONDS = 60.0
# The disks that the guide watches, where they are mounts of their own.
WATCHED = ("/", "/data")


@collects(
    "maintenance",
    DirectoriesFacts,
    targets=each_server(SCRIPT_SECONDS),
    feeds=("maintenance.disk",),
    kind="servers",
    on_request=True,
)
def look(server: Server, _site: Site, probe: Probe) -> DirectoriesFacts:
    """Search the disks of a server for what is big."""
    assert probe.server is not None
    shell = probe.shell(probe.server)
    mounts = dict.fromkeys((*WATCHED, *server.mounts))
    probe.stage("du")
    return DirectoriesFacts(
        search(shell, "disks", tuple(mounts), min(SCRIPT_SECONDS, probe.remaining())),
        probe.past.mounts.get(probe.server, ()),
    )


def search(shell: Shell, which: str, places: Sequence[str], seconds: float) -> tuple[MountUse, ...]:
    """Return what is big below each of these places that is there: mount points ("disks"), or directories ("any").

    Raises ClientError.
    """
    token = secrets.token_hex(8)
    arguments = shlex.join((token, str(SEARCH_SECONDS), which, *places))
    return read(shell.run(f"sh -s -- {arguments}", seconds, _script()), token)


def read(done: Completed, token: str) -> tuple[MountUse, ...]:
    """Return the disks that the script's output holds. Raises ClientError when it is not complete."""
    sections = cut(done, token)
    try:
        at = float(sections.pop("now")[0])
        return tuple(
            _mount(name.removeprefix("mount "), at, lines) for name, lines in sections.items() if lines
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "du") from error


def _mount(name: str, at: float, lines: Sequence[str]) -> MountUse:
    size, used, available, threshold = (int(word) for word in lines[0].split())
    entries = []
    for line in lines[1:-1]:
        count, _tab, path = line.partition("\t")
        if count.isdigit() and path:
            entries.append((path, int(count)))
    is_partial = lines[-1] != "exit 0"
    return MountUse(name, at, size, used, available, threshold, is_partial, tuple(entries))


@cache
def _script() -> bytes:
    return script_of(Path(__file__).with_suffix(".sh"))
