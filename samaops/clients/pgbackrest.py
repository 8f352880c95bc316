"""pgBackRest on the database's server: its command lines, and what it answers.

Run as PostgreSQL's operating-system user. Repository, archiving and keys are the site's own configuration of it; nothing of
them is written here. Facts of version 2.45: ``verify`` ends with 0 whatever it finds, and misses a segment that is gone.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from samaops.clients.errors import ClientError
from samaops.config.backup_settings import Backup
from samaops.facts.backup_run import Physical, Stanza
from samaops.i18n import _
from samaops.model.failure import FailureKind

PROGRAM = "pgbackrest"
SILENT = " --log-level-console=off --log-level-stderr=error"
# By what a backup of ours is known in the repository.
ANNOTATION = "samaops"
LABEL = re.compile(r"\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?")
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
# More than anybody keeps: what expires is decided by [backup], and by nothing beside it.
_ALL = 9_999_999
_SET = re.compile(r"^  backup: (?P<label>\S+), status: (?P<status>[^,]+)")
_COUNTS = re.compile(
    r"missing: (?P<missing>\d+), checksum invalid: (?P<sum>\d+), size invalid: (?P<size>\d+), other: (?P<other>\d+)"
)
_SEGMENT = re.compile(r"(?P<timeline>[0-9A-F]{8})(?P<log>[0-9A-F]{8})(?P<segment>[0-9A-F]{8})")
SEGMENT_BYTES = 16 * 1024**2


def command(backup: Backup, *words: str) -> str:
    """Return a command line of pgBackRest for the configured stanza; only errors are written besides its answer."""
    options = [f"--stanza={backup.stanza}"]
    if backup.pgbackrest.config_file:
        options.append(f"--config={backup.pgbackrest.config_file}")
    return f"{shlex.join((PROGRAM, *options))}{SILENT} {shlex.join(words)}"


def info(backup: Backup) -> str:
    """Return the command line that tells of the stanza as JSON."""
    return command(backup, "--output=json", "info")


def check(backup: Backup) -> str:
    """Return the command line that switches the log and waits until the segment is in the archive."""
    return command(backup, "check")


def make(backup: Backup, kind: str, identifier: str) -> str:
    """Return the command line of a backup: nothing expires by it."""
    return command(
        backup,
        f"--type={kind}",
        f"--annotation={ANNOTATION}={identifier}",
        "--no-expire-auto",
        "backup",
    )


def verify(backup: Backup) -> str:
    """Return the command line that reads all of the repository and compares its sums."""
    return command(backup, "--output=text", "--verbose", "verify")


def segments(backup: Backup, repository: int = 1) -> str:
    """Return the command line that lists the archive."""
    return command(backup, f"--repo={repository}", "--recurse", "repo-ls", f"archive/{backup.stanza}")


def segments_script(backup: Backup, repository: int) -> str:
    """Return what lists the whole segments in the archive, packed: each has its sum behind its name."""
    names = r"s|.*/\([0-9A-F]\{24\}\)-[0-9a-f]\{40\}\(\.[a-z0-9]*\)\{0,1\}$|\1|p"
    return (
        "place=$(mktemp -d) || exit 1; trap 'rm -rf \"$place\"' EXIT\n"
        f'{segments(backup, repository)} >"$place/listed" || exit 1\n'
        f'sed -n \'{names}\' "$place/listed" >"$place/names" || exit 1\n'
        'gzip -9 -c "$place/names" | base64 -w 0'
    )


def expire(backup: Backup, label: str, repository: int, fulls_with_log: int) -> str:
    """Return the command line that removes one backup, and the log before the oldest of so many full ones.

    What a backup that stays needs to be restored as it was stays with it.
    """
    prefix = f"--repo{repository}-retention"
    return command(
        backup,
        f"--repo={repository}",
        f"--set={label}",
        f"{prefix}-full-type=count",
        f"{prefix}-full={_ALL}",
        f"{prefix}-diff={_ALL}",
        f"{prefix}-archive-type=full",
        f"{prefix}-archive={max(1, fulls_with_log)}",
        "expire",
    )


def stanza_in(answer: str, name: str) -> Stanza:
    """Return what ``info`` has answered; where that is none, with its words as the reason."""
    try:
        (found,) = [each for each in json.loads(answer) if each.get("name") == name]
        status = found["status"]
        backups = tuple(_physical(each, found) for each in found["backup"])
        newest = max((each.get("max") or "" for each in found["archive"]), default="")
        is_working = bool(status.get("lock", {}).get("backup", {}).get("held"))
        return Stanza(name, int(status["code"]), str(status["message"]), backups, newest, is_working)
    except (ValueError, KeyError, TypeError, AttributeError, msgspec.ValidationError):
        return Stanza(name, -1, "", reason=_words(answer) or _("pgbackrest gives no answer"))


def _physical(each: Mapping[str, Any], stanza: Mapping[str, Any]) -> Physical:
    versions = {
        (each_version["id"], each_version["repo-key"]): str(each_version["version"])
        for each_version in stanza["db"]
    }
    run = str((each.get("annotation") or {}).get(ANNOTATION, ""))
    sizes = each["info"]
    return Physical(
        label=str(each["label"]),
        kind=str(each["type"]),
        started=float(each["timestamp"]["start"]),
        stopped=float(each["timestamp"]["stop"]),
        bytes=int(sizes["repository"]["delta"]),
        database_bytes=int(sizes["size"]),
        repository=int(each["database"]["repo-key"]),
        # What it was made upon goes with it, also where no file of that is left in it.
        needs=tuple(
            dict.fromkeys(str(label) for label in (*(each.get("reference") or ()), each["prior"]) if label)
        ),
        run=run if _ID.fullmatch(run) else "",
        has_error=bool(each.get("error")),
        wal_start=str(each["archive"]["start"] or ""),
        wal_stop=str(each["archive"]["stop"] or ""),
        version=versions.get((each["database"]["id"], each["database"]["repo-key"]), ""),
    )


def damages_in(answer: str) -> dict[str, str]:
    """Return of each backup that ``verify`` has looked at what is wrong with it, "" where nothing is. Raises ClientError."""
    found: dict[str, str] = {}
    label, status = "", ""
    for line in answer.splitlines():
        named, counts = _SET.match(line), _COUNTS.search(line)
        if named:
            label, status = named["label"], named["status"].strip()
            found[label] = "" if status == "valid" else status
        elif counts and found.get(label):
            text = _(
                "{missing} files are missing, {sum} have another sum, {size} another size, {other} cannot be read"
            )
            found[label] = text.format(**counts.groupdict())
    if "status:" not in answer:
        words = _words(answer) or _("pgbackrest gives no answer")
        raise ClientError(FailureKind.ERROR, words, "pgbackrest verify")
    return found


def missing_segments(
    first: str, last: str, there: frozenset[str], segment_bytes: int = SEGMENT_BYTES
) -> tuple[str, ...]:
    """Return the segments from one to another that are not in the archive, at most ten; those of one timeline."""
    if not _SEGMENT.fullmatch(first) or not _SEGMENT.fullmatch(last) or first[:8] != last[:8]:
        return ()
    missing = (name for name in _between(first, last, 2**32 // segment_bytes) if name not in there)
    return tuple(islice(missing, 10))


def _between(first: str, last: str, per_log: int) -> Iterator[str]:
    at, end = (int(name[8:16], 16) * per_log + int(name[16:24], 16) for name in (first, last))
    for number in range(at, min(end, at + 1_000_000) + 1):
        yield f"{first[:8]}{number // per_log:08X}{number % per_log:08X}"


def last_words(errors: str) -> str:
    """Return why pgBackRest failed: its own error, with the hint behind it."""
    return _words(errors)


def _words(answer: str) -> str:
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    at = next((number for number, line in enumerate(lines) if "ERROR: [" in line), None)
    if at is None:
        return " ".join(lines[-1:])[:400]
    words = [lines[at], *_hints(lines[at + 1 :])]
    return re.sub(r"^.*?ERROR: ", "", " ".join(words))[:400]


def _hints(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if re.search(r"(ERROR|WARN|INFO): ", line):
            return
        yield line
