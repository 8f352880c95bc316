"""What is observed of the backups: the files, their age and their size."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.collect.sections import complaints_of, cut, reason
from samaops.config.settings import Backup
from samaops.facts.backup import BackupFacts, BackupFile
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

SCRIPT_SECONDS = 6.0
UNFINISHED_ENDINGS = (".tmp", ".partial")


def place(site: Site) -> Iterator[Target]:
    """Yield the place of the backups, where one is configured."""
    backup = site.settings.backup
    if backup is not None:
        yield Target(backup.server, backup, backup.server, site.shell_seconds(backup.server, SCRIPT_SECONDS))


@collects("backup", BackupFacts, targets=place)
def look(backup: Backup, _site: Site, probe: Probe) -> BackupFacts:
    """List the backups."""
    return observe(backup, probe)


def observe(backup: Backup, probe: Probe) -> BackupFacts:
    """List the backups over the server's shell."""
    shell = probe.shell(backup.server)
    probe.stage("find")
    token = secrets.token_hex(8)
    arguments = shlex.join((token, backup.directory, backup.pattern))
    done = shell.run(f"sh -s -- {arguments}", min(SCRIPT_SECONDS, probe.remaining()), _script())
    return read(done, token, backup)


def read(done: Completed, token: str, backup: Backup) -> BackupFacts:
    """Return the facts that the script's output holds. Raises ClientError when it could not look."""
    sections, complaints = cut(done, token), complaints_of(done, token)
    try:
        epoch, state = float(sections["now"][0]), sections["directory"][0]
    except (KeyError, IndexError, ValueError) as error:
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), "find") from error
    if state != "exists":
        why = reason(complaints["directory"], "no such file", "permission denied") or state
        if "No such file" not in why:
            raise ClientError(FailureKind.PERMISSION, why, "stat")
        return BackupFacts(backup.directory, backup.pattern, epoch, False, (), ())
    lines = sections.get("files", [])
    files = sorted(_files(lines, complaints["files"]), key=lambda file: -file.modified_at)
    return BackupFacts(
        directory=backup.directory,
        pattern=backup.pattern,
        epoch=epoch,
        exists=True,
        files=tuple(file for file in files if not file.name.endswith(UNFINISHED_ENDINGS)),
        unfinished=tuple(file for file in files if file.name.endswith(UNFINISHED_ENDINGS)),
    )


def _files(lines: Sequence[str], complaints: Sequence[str]) -> list[BackupFile]:
    *listed, end = lines or ["exit 1"]
    if end != "exit 0":
        why = reason(complaints, "permission denied") or end
        if "ermission denied" in why:
            raise ClientError(FailureKind.PERMISSION, why, "find")
        kind = FailureKind.NO_ANSWER if end in ("exit 124", "exit 137") else FailureKind.ERROR
        raise ClientError(kind, why, "find")
    files = []
    for line in listed:
        words = line.split("\t", 2)
        if len(words) == 3:
            files.append(BackupFile(words[2], int(words[0]), float(words[1])))
    return files


@cache
def _script() -> bytes:
    return Path(__file__).with_suffix(".sh").read_bytes()
