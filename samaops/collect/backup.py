"""What is observed of the backups: the files, their age and their size."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from samaops.clients.backup_store import Store
from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell, reason
from samaops.collect import objects  # noqa: F401 - it registers its look
from samaops.collect.engine import Probe
from samaops.collect.registry import Target, collects
from samaops.collect.sections import complaints_of, cut, script_of, with_kind
from samaops.config.backup_settings import Backup
from samaops.facts.backup import BackupFacts, BackupFile, CatalogueFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

SCRIPT_SECONDS = 6.0
# "PGDMP", the version in three bytes, the sizes of a number and an offset, and 1 for the custom format. It ends with a number
# that is zero: the end of its last data, or the place of data in the list of one that has none.
_ARCHIVE = re.compile("5047444d50[0-9a-f]{10}01")
_END = "0000000000"
_ENDS_READ = 3  # as the script reads them: of the newest
UNFINISHED_ENDINGS = (".tmp", ".partial")


def place(site: Site) -> Iterator[Target]:
    """Yield the place of the backups, where one is configured."""
    backup = site.settings.backup
    if backup is not None:
        yield Target(backup.server, backup, backup.server, site.shell_seconds(backup.server, SCRIPT_SECONDS))


@collects("backup", CatalogueFacts, targets=place, kind="backup_catalogue")
def look_at_catalogue(backup: Backup, site: Site, probe: Probe) -> CatalogueFacts:
    """Look at the catalogue of samaops' own runs, as the user whose they are."""
    shell = probe.shell(backup.server)
    probe.stage("catalogue")
    store = Store(shell, backup, site.name, min(SCRIPT_SECONDS, probe.remaining()))
    postgresql = site.settings.postgresql
    try:
        return CatalogueFacts(backup.directory, store.survey(postgresql.port if postgresql else 5432))
    except ClientError as error:
        if error.kind is FailureKind.PERMISSION and _was_never_used(shell, backup, probe):
            return CatalogueFacts(backup.directory, None, error.message)
        raise


def _was_never_used(shell: Shell, backup: Backup, probe: Probe) -> bool:
    """Return whether it can be seen from outside that samaops has made no backup there."""
    path = shlex.quote(f"{backup.directory.rstrip('/')}/samaops")
    done = shell.run(f"stat -- {path}", min(SCRIPT_SECONDS, probe.remaining()))
    return done.exit_code != 0 and "No such file" in done.reason("no such file")


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
    resolved = sections["directory"][1:]
    leads_to = resolved[0] if resolved and resolved[0] != backup.directory.rstrip("/") else None
    facts = BackupFacts(backup.directory, backup.pattern, epoch, False, (), (), leads_to)
    if state == "hung":
        raise ClientError(FailureKind.NO_ANSWER, _("no answer in time"), "stat")
    if state != "exists":
        why = reason(complaints["directory"], "no such file", "permission denied") or state
        if "No such file" not in why:
            raise ClientError(FailureKind.PERMISSION, why, "stat")
        return facts
    files, left_out = _files(sections.get("files", []), complaints["files"])
    ends = _ends(sections.get("ends", []))
    files.sort(key=lambda file: -file.modified_at)
    finished = [file.name for file in files if not file.name.endswith(UNFINISHED_ENDINGS)]
    asked = set(finished[:_ENDS_READ]) - ends.keys()
    files = [
        replace(file, is_whole=ends.get(file.name), is_unread=file.name in asked and file.size_bytes > 0)
        for file in files
    ]
    return replace(
        facts,
        exists=True,
        files=tuple(file for file in files if not file.name.endswith(UNFINISHED_ENDINGS)),
        unfinished=tuple(file for file in files if file.name.endswith(UNFINISHED_ENDINGS)),
        left_out=tuple(sorted(left_out)),
    )


def _files(lines: Sequence[str], complaints: Sequence[str]) -> tuple[list[BackupFile], list[str]]:
    """Return the files, each once whatever its links, and what is none."""
    *listed, end = lines or ["exit 1"]
    if end != "exit 0":
        why = reason(complaints, "permission denied") or end
        if "ermission denied" in why:
            raise ClientError(FailureKind.PERMISSION, why, "find")
        kind = FailureKind.NO_ANSWER if end in ("exit 124", "exit 137") else FailureKind.ERROR
        raise ClientError(kind, why, "find")
    files: dict[str, BackupFile] = {}
    left_out = []
    for line in listed:
        words = line.split("\t", 4)
        if len(words) == 5 and words[0] == "f":
            files.setdefault(words[3], BackupFile(words[4], int(words[1]), float(words[2])))
        elif len(words) == 5:
            left_out.append(with_kind(words[4], words[0]))
    return list(files.values()), left_out


def _ends(lines: Sequence[str]) -> dict[str, bool | None]:
    """Return of each file that was read whether its end is there; None of what is no archive."""
    rows = (line.split("\t", 2) for line in lines if line.count("\t") >= 2)
    return {
        name: last == _END if _ARCHIVE.fullmatch(first) else None
        for first, last, name in rows
        if first and last
    }


@cache
def _script() -> bytes:
    return script_of(Path(__file__).with_suffix(".sh"))
