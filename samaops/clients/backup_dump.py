"""PostgreSQL's own programs around a dump, as scripts for its server, and what they answer.

They are those of the server's own major, run as its operating-system user over the local socket: no password, no
network, never through the pool. Each script is for ``server_job.ServerJob.run``.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import statement_of
from samaops.clients.server_job import ServerJob
from samaops.clients.shell import reason
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "pg_dump"
APPLICATION = "samaops backup"
DATABASE_DIRECTORY = "database"
# Of the answers to questions: seconds.
ASK_SECONDS = 60.0
_NAME = r'(?:"(?:[^"]|"")*"|[^\s."(]+)'
_COPY = re.compile(rf"COPY (?P<schema>{_NAME})\.(?P<table>{_NAME}) ")
_HEADER = re.compile(r"^;\s+(?P<key>[A-Za-z_ ]+): (?P<value>.*)$", re.MULTILINE)


class Database(Struct, frozen=True):
    """Where the database is, as its own server sees it; ``programs`` is the directory of its major's programs."""

    name: str
    port: int
    socket_directory: str
    programs: str

    def environment(self, major: int = 0) -> str:
        """Return the lines of sh by which PostgreSQL's programs find it, and that end them when we are gone."""
        options = "-c client_connection_check_interval=2000" if major >= 14 else ""
        values = {
            "PGHOST": self.socket_directory,
            "PGPORT": str(self.port),
            "PGDATABASE": self.name,
            "PGAPPNAME": APPLICATION,
            "PGCONNECT_TIMEOUT": "10",
            "PGOPTIONS": options,
            # Moments are written in one zone, so that the newest of them is the last as text too.
            "PGTZ": "UTC",
        }
        return "".join(
            f"{name}={shlex.quote(value)}; export {name}\n" for name, value in values.items() if value
        )

    def program(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs, for a shell."""
        return shlex.quote(f"{self.programs}/{name}")


class Dumping(Struct, frozen=True):
    """How a dump is made: so many processes, and how long it waits for a table that others have locked."""

    jobs: int
    lock_wait_seconds: float
    major: int


class ReadThrough(Struct, frozen=True):
    """What a dump was seen to hold, when all of it was read: rows by table, the newest moment of some, the revision."""

    rows: Mapping[str, int]
    newest: Mapping[str, str]
    revision: str | None


def programs_of(major: int) -> str:
    """Return where Debian's packages have the programs of a major."""
    return f"/usr/lib/postgresql/{major}/bin"


def socket_directory_of(directories: str) -> str:
    """Return the first directory of ``unix_socket_directories``. Raises ClientError where there is none."""
    for name in directories.split(","):
        path = name.strip().strip('"')
        if path.startswith("/"):
            return path
    raise ClientError(FailureKind.MISSING, _("PostgreSQL has no local socket"), STAGE)


def version(job: ServerJob, database: Database, program: str = "pg_dump") -> str:
    """Return the version of a program, such as ``15.18``. Raises ClientError."""
    done = job.run(f"{database.program(program)} --version", ASK_SECONDS)
    found = re.search(r"\(PostgreSQL\) (\S+)", done.stdout)
    if done.exit_code or found is None:
        raise ClientError(FailureKind.MISSING, last_words(done.stderr) or program, STAGE)
    return found[1]


def ask(job: ServerJob, database: Database, name: str) -> str:
    """Return the answer to ``sql/postgresql/<name>.sql``, a line a row, tabs between its values. Raises ClientError."""
    words = shlex.quote(statement_of(name, {}))
    psql = f"{database.program('psql')} -X -A -t -q -w -F \"$(printf '\\t')\" -c {words}"
    done = job.run(f"{database.environment()}exec {psql}", ASK_SECONDS)
    if done.exit_code:
        raise ClientError(FailureKind.ERROR, last_words(done.stderr), "psql")
    return done.stdout


def about(job: ServerJob, database: Database) -> dict[str, Any]:
    """Return what a backup tells of its database. Raises ClientError."""
    answer: dict[str, Any] = json.loads(ask(job, database, "backup_about"))
    return answer


def dump_script(database: Database, directory: str, dumping: Dumping) -> str:
    """Return what dumps the database into ``directory``, which must not be there yet, without haste."""
    return (
        f"{database.environment(dumping.major)}"
        "polite='nice -n 10'; command -v ionice >/dev/null 2>&1 && polite=\"$polite ionice -c 2 -n 7\"\n"
        f"exec $polite {database.program('pg_dump')} -w -F d -Z 1 -j {dumping.jobs} "
        f"--lock-wait-timeout={round(dumping.lock_wait_seconds * 1000)} -f {shlex.quote(directory)}"
    )


def read_script(programs: str, archive: str, moments: str = "") -> str:
    """Return what reads a dump through to its end, its rows and what stands around them, and counts the rows.

    ``archive`` is a directory or a file; ``moments`` that file of columns of which the newest value is kept.
    """
    restore = f"{shlex.quote(programs)}/pg_restore"
    path = shlex.quote(archive)
    return (
        "polite='nice -n 10'; place=$(mktemp -d) || exit 1; trap 'rm -rf \"$place\"' EXIT\n"
        f"$polite {restore} --section=pre-data --section=post-data -f /dev/null {path} || exit 1\n"
        f'{{ $polite {restore} --section=data -f - {path} || echo failed >"$place/failed"; }} |\n'
        f'  $polite awk -v moments={shlex.quote(moments)} {shlex.quote(_program())} >"$place/rows" || exit 1\n'
        '[ ! -e "$place/failed" ] || exit 1\n'
        'gzip -9 -c "$place/rows" | base64 -w 0'
    )


def read_through(output: str) -> ReadThrough:
    """Return what ``read_script`` has counted. Raises ClientError where the data ended in the middle."""
    lines = unpacked(output, "pg_restore")
    rows: dict[str, int] = {}
    newest: dict[str, str] = {}
    revisions = []
    for line in lines:
        count, moment, *rest = (*line.split("\t", 2), "", "")
        if count == "revision":
            revisions.append(moment)
            continue
        found = _COPY.match(rest[0])
        if found is None or not count.isdecimal():
            raise ClientError(FailureKind.GARBAGE, _("the data ends in the middle of a table"), "pg_restore")
        table = f"{_unquoted(found['schema'])}.{_unquoted(found['table'])}"
        rows[table] = rows.get(table, 0) + int(count)
        if moment:
            newest[table] = max(moment, newest.get(table, ""))
    return ReadThrough(rows, newest, ",".join(sorted(revisions)) or None)


def header_script(programs: str, archive: str) -> str:
    """Return what shows the head of a dump: of which version it is, and made by which."""
    return f"{shlex.quote(programs)}/pg_restore -l {shlex.quote(archive)} | head -n 20"


def versions_in(header: str) -> tuple[str, str]:
    """Return the version of the server that was dumped and of the pg_dump that did it; "" where it does not say."""
    found = {match["key"].strip(): match["value"].split(" ")[0] for match in _HEADER.finditer(header)}
    return found.get("Dumped from database version", ""), found.get("Dumped by pg_dump version", "")


def sums_script(directory: str, jobs: int) -> str:
    """Return what shows the SHA-256 of all files below a directory but its manifest: "sum  path" in each line."""
    return (
        f"cd {shlex.quote(directory)} || exit 1; place=$(mktemp -d) || exit 1; trap 'rm -rf \"$place\"' EXIT\n"
        "find . -type f ! -path ./manifest.json -printf '%P\\0' >\"$place/names\" || exit 1\n"
        f'nice -n 10 xargs -0 -r -P {jobs} -n 16 sha256sum -b -- <"$place/names" >"$place/sums" || exit 1\n'
        'gzip -1 -c "$place/sums" | base64 -w 0'
    )


def sums_in(output: str) -> dict[str, str]:
    """Return what ``sums_script`` has found: path to sum. Raises ClientError."""
    lines = unpacked(output, "sha256sum")
    found = (re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line) for line in lines)
    return {match[2]: match[1] for match in found if match}


def last_words(errors: str) -> str:
    """Return the line that says why a program of PostgreSQL failed: the first error, not what follows from it."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "ERROR:" in line or "FATAL:" in line]
    return (telling[0] if telling else reason(lines))[:400]


def waited_for(errors: str) -> str:
    """Return the statement with which a dump waited too long for a lock, or did not get one; "" where that was not why."""
    found = re.search(r"LOCK TABLE [^\n]{1,300}", errors)
    is_it = "timeout" in errors or "could not obtain lock" in errors
    return found[0].rstrip() if found and is_it else ""


def unpacked(output: str, stage: str) -> list[str]:
    """Return the lines that a script has packed; it always packs something. Raises ClientError."""
    try:
        packed = base64.b64decode(output)
        if not packed:
            raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), stage)
        return gzip.decompress(packed).decode("utf-8", "backslashreplace").splitlines()
    except (OSError, EOFError, ValueError) as error:
        raise ClientError(FailureKind.GARBAGE, str(error), stage) from error


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


@cache
def _program() -> str:
    lines = Path(__file__).with_suffix(".awk").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
