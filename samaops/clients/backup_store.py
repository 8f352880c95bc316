"""The directory of the backups on their server, and its catalogue: nothing else touches them.

Over a shell on the backup's server, as PostgreSQL's operating-system user (``backup_store.sh``). Ids and paths are
checked here, so that none leads elsewhere; every answer is bounded in time and size. All of it raises ClientError:
PERMISSION where that user cannot be had or may not, MISSING for what is not there.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import io
import math
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from samaops.clients import pgbackrest
from samaops.clients.as_user import as_user
from samaops.clients.errors import ClientError
from samaops.clients.shell import Shell, program
from samaops.config.backup_settings import Backup
from samaops.facts.backup_run import GUIDE, PARTIAL, PGBACKREST, WHOLE, Catalogue, Left, Manifest, Run, Survey
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.typed import ready

STAGE = "backup store"
_PROGRAM = Path(__file__).with_suffix(".sh")
_MARK = "samaops-store: "
SECONDS = 20.0
# To write all of a dump to the disk, and to remove one, takes the disk's time.
LONG_SECONDS = 600.0
MOST_ROWS = 3_000
MOST_ROW_BYTES = 16 * 1024
MOST_FILES = 20_000
# In base64 as much fits into what a command may write.
MOST_READ_BYTES = 3 * 1024 * 1024
_MOST_UNPACKED_BYTES = 64 * 1024 * 1024
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
# A name that needs no quotes, is no option, and leads nowhere.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}", re.ASCII)
_TRIES = 5
_MOST_DIGITS, _LONGEST_NAME = 15, 200
MANIFEST = "manifest.json"


class Store(Struct, frozen=True):
    """The backups of a site: ``shell`` is one on ``backup.server``, ``site`` the name of the site."""

    shell: Shell
    backup: Backup
    site: str
    seconds: float = SECONDS

    # --- where things lie ------------------------------------------------------------------------------------

    def path_of(self, run: Run) -> str:
        """Return where a whole backup lies on its server: a directory, or the file of a guide's dump."""
        base = self.backup.directory.rstrip("/")
        return f"{base}/{self._checked(run.id)}" if run.engine == GUIDE else f"{base}/samaops/{_own(run.id)}"

    def partial_path(self, identifier: str) -> str:
        """Return where a run that goes on writes."""
        return f"{self.backup.directory.rstrip('/')}/samaops/{_own(identifier)}{PARTIAL}"

    # --- the catalogue ---------------------------------------------------------------------------------------

    def rows(self) -> Catalogue:
        """Return all rows, newest first; those of other sites and those that cannot be read are named apart."""
        return self._catalogue(self._call("rows", str(MOST_ROWS), str(MOST_ROW_BYTES)).splitlines())

    def _catalogue(self, lines: list[str]) -> Catalogue:
        if lines == ["absent"]:
            return Catalogue()
        try:
            cut = lines.index(_MARK + "archive")
            archive = _unpacked("".join(lines[cut + 1 :]))
        except (ValueError, EOFError, zlib.error, tarfile.TarError) as error:
            raise _garbage(str(error)) from error
        rows: list[Run] = []
        foreign: list[Run] = []
        unreadable: dict[str, str] = {}
        for line in lines[:cut]:
            kind, _tab, rest = line.partition("\t")
            size, tab, name = rest.partition("\t")
            if (
                not tab or not size.isdecimal() or len(size) > _MOST_DIGITS
            ):  # a name with the end of a line in it
                unreadable[line[:_LONGEST_NAME]] = _("it is no row of the catalogue")
                continue
            words = _why_not(kind, int(size), name, archive)
            if words:
                unreadable[name] = words
                continue
            try:
                row = _decoded(archive[name], name.removesuffix(".json"))
            except ValueError as error:
                unreadable[name] = str(error)
                continue
            (rows if row.site == self.site else foreign).append(row)
        newest_first = sorted(rows, key=lambda row: row.started_at, reverse=True)
        return Catalogue(tuple(newest_first), tuple(row.id for row in foreign), tuple(unreadable.items()))

    def write_row(self, row: Run) -> None:
        """Write the row of a new run. Raises ClientError also where there is one with its id."""
        if not self._write(row, "new"):
            raise ClientError(
                FailureKind.ERROR, _("{id} is in the catalogue already").format(id=row.id), STAGE
            )

    def update(self, identifier: str, change: Callable[[Run | None], Run]) -> Run:
        """Replace a row by what ``change`` makes of it, whoever writes beside us; None: there is none yet."""
        for _attempt in range(_TRIES):
            raw = self._row(identifier)
            row = change(None if raw is None else _row_of(raw, identifier))
            if self._write(row, "new" if raw is None else hashlib.sha256(raw).hexdigest()):
                return row
        raise ClientError(
            FailureKind.ERROR, _("the row of {id} never stays as it is").format(id=identifier), STAGE
        )

    def row(self, identifier: str) -> Run | None:
        """Return a row; None where there is none."""
        raw = self._row(identifier)
        return None if raw is None else _row_of(raw, identifier)

    # --- a run -----------------------------------------------------------------------------------------------

    def begin(self, identifier: str) -> str:
        """Make the directory of a run and return its path."""
        self._call("begin", _own(identifier))
        return self.partial_path(identifier)

    def put(self, identifier: str, path: str, content: bytes) -> None:
        """Write a file into the directory of a run that goes on."""
        self._call("put", _own(identifier), inside(path), stdin=content)

    def encrypt(self, identifier: str, path: str, content: bytes, recipient: str) -> None:
        """Write a file into the directory of a run that goes on, as only an age recipient can read it."""
        self._call("encrypt", _own(identifier), inside(path), recipient, stdin=content)

    def finish(self, identifier: str) -> None:
        """Give a run that is whole its name, once all of it is on the disk."""
        self._call("finish", _own(identifier), seconds=LONG_SECONDS)

    def discard(self, name: str) -> bool:
        """Remove what ``left`` names; False where somebody is at work in it."""
        own, ending = name.partition(".")[::2]
        if not _ID.fullmatch(own) or f".{ending}" not in (PARTIAL, ".expired"):
            raise _bad(name)
        return self._call("discard", name, seconds=LONG_SECONDS).strip() != "running"

    def left(self) -> tuple[Left, ...]:
        """Return the directories of runs that go on or died, and of removals that did not end."""
        return _left(self._call("left").splitlines())

    # --- what is there ---------------------------------------------------------------------------------------

    def manifest(self, identifier: str) -> Manifest:
        """Return the manifest of a backup. Raises ClientError, GARBAGE for one that cannot be one of it."""
        return self.decoded_manifest(identifier, self.manifest_bytes(identifier))

    def manifest_bytes(self, identifier: str) -> bytes:
        """Return the manifest of a backup as it lies there."""
        return self.read(identifier, MANIFEST, MOST_READ_BYTES)

    def decoded_manifest(self, identifier: str, raw: bytes) -> Manifest:
        """Return what a manifest says. Raises ClientError."""
        try:
            manifest = msgspec.json.decode(raw, type=ready(Manifest))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise _garbage(f"{MANIFEST}: {error}") from error
        if manifest.id != identifier or manifest.site != self.site:
            text = _("its manifest is that of {id} of {site}")
            raise _garbage(text.format(id=manifest.id, site=manifest.site))
        return manifest

    def read(self, identifier: str, path: str, most_bytes: int) -> bytes:
        """Return a file of a whole backup. Raises ClientError, also where it is larger than ``most_bytes``."""
        return self._read(
            f"{self.backup.directory.rstrip('/')}/samaops/{_own(identifier)}/{inside(path)}", most_bytes
        )

    def content(self, identifier: str, path: str, most_bytes: int, seconds: float) -> bytes:
        """Return a file of a whole backup, also one that is larger than an answer may be. Raises ClientError."""
        file = f"{self.backup.directory.rstrip('/')}/samaops/{_own(identifier)}/{inside(path)}"
        found = bytearray()

        def take(block: bytes) -> None:
            found.extend(block)
            if len(found) > most_bytes:
                text = _("{path} has more than {bytes} bytes").format(path=path, bytes=most_bytes)
                raise ClientError(FailureKind.ERROR, text, STAGE)

        command = as_user(self.backup.os_user, 'exec cat -- "$1"', file)
        done = self.shell.stream(command, seconds, (), take)
        if done.exit_code:
            words = done.reason("no such file", "ermission denied")
            raise ClientError(_kind_of(words), words, STAGE)
        return bytes(found)

    def files(self, directory: str) -> dict[str, tuple[str, int]]:
        """Return what lies in the directory of a backup or a run: path to kind ("f": a file) and bytes."""
        lines = self._call("files", directory, str(MOST_FILES + 1)).splitlines()
        if len(lines) > MOST_FILES:
            raise ClientError(FailureKind.ERROR, _("more than {count} files").format(count=MOST_FILES), STAGE)
        rows = (line.split("\t", 2) for line in lines)
        return {row[2]: (row[0], int(row[1])) for row in rows if len(row) == 3}

    def whole(self) -> frozenset[str]:
        """Return the ids of which the directory of a whole backup is there."""
        return frozenset(filter(_ID.fullmatch, self._call("whole").splitlines()))

    def guide_dumps(self) -> tuple[Run, ...]:
        """Return the guide's own dumps as they lie there, newest first; what is known of them is in their rows."""
        return self._dumps(self._call("guide", self.backup.pattern, str(MOST_ROWS)).splitlines())

    def _dumps(self, lines: list[str]) -> tuple[Run, ...]:
        rows = (line.split("\t", 2) for line in lines)
        dumps = [
            Run(name, self.site, WHOLE, GUIDE, _time(float(at)), _time(float(at)), bytes=int(size))
            for size, at, name in rows
            if _NAME.fullmatch(name)
        ]
        return tuple(sorted(dumps, key=lambda dump: dump.started_at, reverse=True))

    def survey(self, port: int) -> Survey:
        """Return all that a look wants, at once; ``port`` is that of the PostgreSQL which is backed up."""
        is_physical = self.backup.engine == PGBACKREST
        info = pgbackrest.info(self.backup) if is_physical else ""
        # A repository on another server answers late or never: what else is known must still be told.
        wait = str(max(1, math.floor(self.seconds / 2)))
        answer = self._call(
            "survey", str(MOST_ROWS), str(MOST_ROW_BYTES), self.backup.pattern, str(port), info, wait
        )
        sections: dict[str, list[str]] = {}
        for line in answer.splitlines():
            if line.startswith(_MARK + "section "):
                lines = sections[line.rpartition(" ")[2]] = []
            else:
                lines.append(line)
        try:
            data_disk = sections["data_disk"]
            return Survey(
                catalogue=self._catalogue(sections["rows"]),
                left=_left(sections["left"]),
                whole=tuple(sorted(filter(_ID.fullmatch, sections["whole"]))),
                dumps=self._dumps(sections["guide"]),
                free_bytes=int(sections["free"][0].split()[0]),
                is_on_data_disk=sections["disk"][0] == data_disk[0] if data_disk else None,
                epoch=float(sections["now"][0]),
                processors=int(sections["processors"][0]),
                majors=tuple(int(path.split("/")[4]) for path in sections["majors"]),
                programs=tuple(path.rpartition("/")[2] for path in sections["programs"]),
                stanza=pgbackrest.stanza_in("\n".join(sections["stanza"]), self.backup.stanza)
                if is_physical
                else None,
            )
        except (KeyError, IndexError, ValueError) as error:
            raise _garbage(str(error)) from error

    def remove(self, run: Run) -> None:
        """Remove a backup and its row. Where that is interrupted, what is left is no whole backup any more."""
        what = "remove-guide" if run.engine == GUIDE else "remove"
        name = self._checked(run.id)
        self._call(what, name, seconds=LONG_SECONDS)

    def remove_data(self, identifier: str) -> None:
        """Remove a backup of ours and leave its row: there is a copy of it elsewhere."""
        self._call("remove-data", _own(identifier), seconds=LONG_SECONDS)

    def free_bytes(self) -> int:
        """Return how much room is left where the backups lie."""
        return int(self._call("free").split()[0])

    # --- how -------------------------------------------------------------------------------------------------

    def _read(self, path: str, most_bytes: int) -> bytes:
        most = min(most_bytes, MOST_READ_BYTES)
        content = base64.b64decode(self._call("read", path, str(most + 1)))
        if len(content) > most:
            text = _("{path} has more than {bytes} bytes").format(path=path, bytes=most)
            raise ClientError(FailureKind.ERROR, text, STAGE)
        return content

    def _row(self, identifier: str) -> bytes | None:
        path = f"{self.backup.directory.rstrip('/')}/samaops/catalogue/{self._checked(identifier)}.json"
        try:
            return self._read(path, MOST_ROW_BYTES)
        except ClientError as error:
            if error.kind is FailureKind.MISSING:
                return None
            raise

    def _write(self, row: Run, was: str) -> bool:
        raw = msgspec.json.encode(row) + b"\n"
        if len(raw) > MOST_ROW_BYTES:
            raise ClientError(FailureKind.ERROR, _("the row of {id} is too long").format(id=row.id), STAGE)
        return self._call("write", self._checked(row.id), was, stdin=raw).strip() == "written"

    def _checked(self, identifier: str) -> str:
        """Return the name of a backup of ours, of pgBackRest or of the guide. Raises ClientError for anything else."""
        is_label = pgbackrest.LABEL.fullmatch(identifier)
        is_guide = _NAME.fullmatch(identifier) and fnmatch.fnmatchcase(identifier, self.backup.pattern)
        if _ID.fullmatch(identifier) or is_guide or is_label:
            return identifier
        raise _bad(identifier)

    def _call(self, what: str, *arguments: str, stdin: bytes = b"", seconds: float = 0.0) -> str:
        command = as_user(
            self.backup.os_user, program(_PROGRAM), what, self.backup.directory.rstrip("/"), *arguments
        )
        done = self.shell.run(command, seconds or self.seconds, stdin)
        answer, mark, _rest = done.stdout.rpartition(_MARK + "done")
        if mark and done.exit_code == 0:
            return answer
        words = done.reason("no such file", "ermission denied")
        raise ClientError(_kind_of(words), words, STAGE)


def _left(lines: list[str]) -> tuple[Left, ...]:
    rows = (line.split("\t", 3) for line in lines)
    return tuple(Left(name, held == "running", float(at), int(size or 0)) for held, at, size, name in rows)


def is_own_id(text: str) -> bool:
    """Return whether a text is the id of a run of samaops."""
    return _ID.fullmatch(text) is not None


def inside(path: str) -> str:
    """Return a path that stays within a backup. Raises ClientError for any other."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or "\n" in path or len(path) > 500:
        raise _bad(path)
    return path


def _own(identifier: str) -> str:
    if not _ID.fullmatch(identifier):
        raise _bad(identifier)
    return identifier


def _bad(name: str) -> ClientError:
    return ClientError(FailureKind.ERROR, _("{name!r} is no name of a backup").format(name=name[:100]), STAGE)


def _garbage(words: str) -> ClientError:
    return ClientError(FailureKind.GARBAGE, words, STAGE)


def _decoded(raw: bytes, identifier: str) -> Run:
    """Return a row. Raises ValueError with the reason where it is none, or that of another id."""
    try:
        row = msgspec.json.decode(raw, type=ready(Run))
    except RecursionError as error:
        raise ValueError(_("too deep")) from error
    if row.id != identifier:
        raise ValueError(_("it is the row of {id}").format(id=row.id))
    return row


def _row_of(raw: bytes, identifier: str) -> Run:
    """Return a row that is asked for alone. Raises ClientError, GARBAGE where it is none."""
    try:
        return _decoded(raw, identifier)
    except ValueError as error:
        raise _garbage(f"{identifier}: {error}") from error


def _why_not(kind: str, size: int, name: str, archive: dict[str, bytes]) -> str:
    if kind != "f" or not name.endswith(".json"):
        return _("it is no row of the catalogue")
    if size > MOST_ROW_BYTES:
        return _("it has {bytes} bytes").format(bytes=size)
    return "" if name in archive else _("it could not be read")


def _unpacked(words: str) -> dict[str, bytes]:
    """Return the files of an archive by name, as far as they are small."""
    unpack = zlib.decompressobj(wbits=31)
    content = unpack.decompress(base64.b64decode(words), _MOST_UNPACKED_BYTES)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: read.read() for member, read in _members(archive)}


def _members(archive: tarfile.TarFile) -> Iterable[tuple[tarfile.TarInfo, io.BufferedIOBase]]:
    for member in archive:
        stream = archive.extractfile(member) if member.isreg() else None
        if stream is not None:
            yield member, stream  # type: ignore[misc]


def _kind_of(words: str) -> FailureKind:
    if "No such file" in words:
        return FailureKind.MISSING
    is_refused = "ermission denied" in words or words.startswith(("sudo:", "runuser:"))
    return FailureKind.PERMISSION if is_refused else FailureKind.ERROR


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="seconds")
