"""What is observed of the directories of each disk, and what an earlier run saw there: who grew."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.engine import Collector, Probe
from samaops.collect.sections import cut
from samaops.config.settings import Ssh
from samaops.facts.maintenance import DirectoriesFacts, MountUse
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

# Of one search, and of the whole script; both are cut off, and then say that they are partial.
SEARCH_SECONDS = 20
SCRIPT_SECONDS = 60.0
# The disks that the guide watches, where they are mounts of their own.
WATCHED = ("/", "/data")


def collectors(site: Site, earlier: Mapping[str, tuple[MountUse, ...]]) -> list[Collector]:
    """Return one collector for each server that can be logged in to."""
    return [
        _collector(site, name, earlier.get(name, ()))
        for name, server in site.settings.servers.items()
        if server.ssh != "none"
    ]


def _collector(site: Site, name: str, earlier: tuple[MountUse, ...]) -> Collector:
    server = site.settings.servers[name]
    mounts = tuple(dict.fromkeys((*WATCHED, *server.mounts)))

    def collect(probe: Probe) -> DirectoriesFacts:
        return observe(name, mounts, earlier, probe)

    log_in = server.ssh.timeout if isinstance(server.ssh, Ssh) else 0.0
    return Collector(
        "maintenance", f"servers/{name}", DirectoriesFacts, collect, name, ("maintenance.disk",),
        log_in + SCRIPT_SECONDS + 0.5, on_request=True,
    )  # fmt: skip


def observe(
    server: str, mounts: Sequence[str], earlier: tuple[MountUse, ...], probe: Probe
) -> DirectoriesFacts:
    """Search the disks of a server for what is big."""
    shell = probe.shell(server)
    probe.stage("du")
    token = secrets.token_hex(8)
    arguments = shlex.join((token, str(SEARCH_SECONDS), *mounts))
    done = shell.run(f"sh -s -- {arguments}", min(SCRIPT_SECONDS, probe.remaining()), _script())
    return DirectoriesFacts(read(done, token), earlier)


def read(done: Completed, token: str) -> tuple[MountUse, ...]:
    """Return the disks that the script's output holds. Raises ClientError when it is not complete."""
    sections = cut(done, token)
    try:
        at = float(sections.pop("now")[0])
        mounts = [_mount(name.removeprefix("mount "), at, lines) for name, lines in sections.items() if lines]
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "du") from error
    return tuple(mounts)


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
    return Path(__file__).with_suffix(".sh").read_bytes()
