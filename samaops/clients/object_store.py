"""The copy of the objects on the backup's server: a program there (``object_store.sh``) in which rclone copies.

Lists go in and out as streams and lie in files without a name here meanwhile. The credentials of the storage reach the
program on its standard input, and rclone in its environment.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from samaops.clients.as_user import as_user
from samaops.clients.errors import ClientError
from samaops.clients.lists import blocks, nameless, read, records
from samaops.clients.s3_listing import Storage
from samaops.clients.shell import Shell, Sink, program, reason, text
from samaops.facts.objects import Kept, ObjectRun
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "copy of the objects"
_PROGRAM = Path(__file__).with_suffix(".sh")
_MARK = "samaops-objects: "
_BLOCK_BYTES = 256 * 1024
_LONGEST_WORDS = 300
# The program itself, its locks and rows: no more than a look at a directory.
_SHORT_SECONDS = 60.0
_REMOVABLE = ("current/", "generations/", "odd/", "objects/", "runs/")
# Between a sum or a size and the path in the answers.
_AFTER_SUM = b"  "


class Arrived(Struct, frozen=True):
    """A file that was brought: its path, bytes and sums."""

    path: str
    bytes: int
    sha256: str
    md5: str


class Brought(Struct, frozen=True):
    """How rclone ended, its last complaint, and what it brought, in the order that was asked for."""

    exit_code: int
    complaint: str
    arrived: Iterator[Arrived]


class Copying(Struct, frozen=True):
    """How far rclone has come: bytes of how many, files of how many."""

    bytes: int
    total_bytes: int
    files: int
    total_files: int


class ObjectStore(Struct, frozen=True):
    """Where the copy lies, the shell of its server, and how long a copy or the reading of all of it may take.

    ``user`` is whose it is there; "" stands for who logs in: a copy of it on another server, which rclone does not fill.
    """

    shell: Shell
    directory: str
    user: str
    seconds: float

    def look(self, seconds: float) -> list[str]:
        """Return what there is, line by line (see the script). Raises ClientError."""
        done = self.shell.run(self._command("look", *(() if self.user else ("copy",))), seconds)
        lines = done.stdout.splitlines()
        _require_done([*lines, ""], done.stderr)
        return lines

    def prepare(self) -> None:
        """Make the directory where it is missing, as the user who logs in, for the one who owns it. Raises ClientError."""
        make = (
            '[ -d "$0" ] || { [ "$(id -un)" = "$1" ] && install -d -m 700 -- "$0"; } || '
            '{ become=; [ "$(id -u)" = 0 ] || become="sudo -n"; $become install -d -m 700 -o "$1" -- "$0"; }'
        )
        done = self.shell.run(shlex.join(("sh", "-c", make, self.directory, self.user)), _SHORT_SECONDS)
        if done.exit_code:
            raise ClientError(FailureKind.PERMISSION, done.reason(), STAGE)

    def kept(self, run: str) -> Iterator[Kept]:
        """Yield the objects as of a run, once the whole list is here. Raises ClientError."""
        try:
            yield from read(self._read("list", run), Kept)
        except msgspec.MsgspecError as error:
            words = _("the list of {run} is damaged: {reason}").format(run=run, reason=error)
            raise ClientError(FailureKind.GARBAGE, words, STAGE) from error

    def files(self, place: str = "current") -> Iterator[tuple[str, int]]:
        """Yield path and bytes of the files of a place, in order; of the newest of each name. Raises ClientError."""
        for record in records(self._read("scan", place)):
            path, _tab, size = record.rpartition(b"\t")
            yield path.decode("utf-8", errors="backslashreplace"), int(size)

    def replaced(self) -> Iterator[tuple[str, str]]:
        """Yield what is kept of earlier runs: the run that replaced it, and its path. Raises ClientError."""
        for record in records(self._read("places")):
            run, _slash, path = record.decode("utf-8", errors="backslashreplace").partition("/")
            yield run, path

    def write(self, run: ObjectRun) -> None:
        """Write the row of a run. Raises ClientError."""
        self._do("run", run.id, source=[msgspec.json.encode(run)])

    def fetch(
        self, storage: Storage, names: BinaryIO, place: str, tell: Callable[[Copying], None]
    ) -> Brought:
        """Have rclone copy what ``names`` holds, one bucket/key a line, into a place there. Raises ClientError."""
        rclone = _Rclone(tell)
        self._pour(rclone.take, _with_credentials(storage, names), "fetch", place)
        exit_code = rclone.ended()
        return Brought(exit_code, rclone.complaint, _arrived(rclone.rest))

    def drop(self, place: str, names: BinaryIO) -> None:
        """Remove files from a place: what came is not what was to come. Raises ClientError."""
        self._do("drop", place, source=blocks(names))

    def take_odd(self, content: BinaryIO, sha256: str) -> None:
        """Keep an object under its sum. Raises ClientError."""
        self._do("odd", sha256, source=blocks(content))

    def odd(self, sha256: str) -> BinaryIO:
        """Return the bytes of an object that lies under its sum. Raises ClientError."""
        return self._read("read-odd", sha256)

    def store(self, run: str, lines: BinaryIO, count: int) -> None:
        """Take in what arrived, and the list of this run. Raises ClientError."""
        self._do("store", run, str(count), source=blocks(lines))

    def build(self, run: str, place: str, names: BinaryIO) -> Iterator[tuple[str, str]]:
        """Lay together under ``outgoing/place`` what was there as of a run.

        Yield path and SHA-256 of what could be found, in the order of ``names``. Raises ClientError.
        """
        file = self._read("build", run, place, source=_with_credentials(Storage("", "", ""), names))
        for record in records(file):
            digest, _spaces, path = record.partition(_AFTER_SUM)
            yield path.decode("utf-8", errors="backslashreplace"), digest.decode()

    def note(self, path: str, content: BinaryIO) -> None:
        """Write a list beside the copy. Raises ClientError."""
        self._do("note", path, source=blocks(content))

    def noted(self, path: str) -> BinaryIO:
        """Return such a list, an empty one where there is none. Raises ClientError."""
        return self._read("noted", path)

    def put(self, storage: Storage, place: str, tell: Callable[[Copying], None]) -> tuple[int, str]:
        """Have rclone copy a place to the storage; return its exit code and last complaint. Raises ClientError."""
        rclone = _Rclone(tell)
        with nameless() as none:
            self._pour(rclone.take, _with_credentials(storage, none), "put", place)
        return rclone.ended(), rclone.complaint

    def lists(self) -> tuple[str, ...]:
        """Return the runs whose lists are there. Raises ClientError."""
        names = (path for path, _size in self.files("objects"))
        return tuple(name.removesuffix(".jsonl.gz") for name in names if name.endswith(".jsonl.gz"))

    def noted_sums(self) -> Iterator[str]:
        """Yield the sums of what restores have overwritten and keep. Raises ClientError."""
        for path, _size in self.files("kept"):
            if path.endswith(".jsonl") and "/" not in path:
                yield from (kept.sha256 for kept in read(self.noted(f"kept/{path}"), Kept))

    def remove(self, paths: Iterable[str]) -> int:
        """Remove files of the copy, and directories that are empty then; return how many. Raises ClientError."""
        names, count = nameless(), 0
        for path in paths:
            if not path.startswith(_REMOVABLE) or ".." in path.split("/"):
                raise ClientError(
                    FailureKind.ERROR, _("{path} is no file of the copy").format(path=path), STAGE
                )
            names.write(path.encode() + b"\0")
            count += 1
        if count:
            self._do("remove", source=blocks(names))
        return count

    def clear(self) -> None:
        """Remove what was laid together. Raises ClientError."""
        self._do("clear")

    def _do(self, what: str, *words: str, source: Iterable[bytes] = ()) -> None:
        output = bytearray()
        errors = self._pour(output.extend, source, what, *words)
        _require_done(text(bytes(output)).splitlines(), errors)

    def _read(self, what: str, *words: str, source: Iterable[bytes] = ()) -> BinaryIO:
        """Return the output of the program, in a file without a name, at its beginning."""
        file = nameless()
        errors = self._pour(file.write, source, what, *words)
        file.seek(max(0, file.tell() - 1000))
        end = file.read()
        if end.startswith((_MARK + "cannot").encode()) or ("\n" + _MARK + "cannot").encode() in end:
            _require_done(text(end).splitlines(), errors)
        file.seek(0)
        return file

    def _pour(self, sink: Sink, source: Iterable[bytes], what: str, *words: str) -> str:
        done = self.shell.stream(self._command(what, *words), self.seconds, source, sink)
        if done.exit_code:
            raise ClientError(FailureKind.ERROR, done.reason(), STAGE)
        return done.stderr

    def _command(self, what: str, *words: str) -> str:
        if self.user:
            return as_user(self.user, program(_PROGRAM), what, self.directory, *words)
        return shlex.join(("sh", "-c", program(_PROGRAM), "sh", what, self.directory, *words))


class _Rclone:
    """What the program writes while rclone copies: its log, how it ended, and then what came, for which ``rest`` is."""

    def __init__(self, tell: Callable[[Copying], None]) -> None:
        self._tell, self._unread = tell, b""
        self._exit_code: int | None = None
        self.complaint = ""
        self.rest = nameless()

    def take(self, block: bytes) -> None:
        if self._exit_code is not None:
            self.rest.write(block)
            return
        self._unread += block
        while self._exit_code is None and b"\n" in self._unread:
            line, _newline, self._unread = self._unread.partition(b"\n")
            self._read(text(line))
        if self._exit_code is not None:
            self.rest.write(self._unread)
        self._unread = self._unread[-_BLOCK_BYTES:]

    def ended(self) -> int:
        """Return its exit code. Raises ClientError where it did not come to that."""
        if self._exit_code is None:
            raise ClientError(FailureKind.ERROR, self.complaint or _("the answer ended too early"), STAGE)
        self.rest.seek(0)
        return self._exit_code

    def _read(self, line: str) -> None:
        if line.startswith(_MARK):
            word, _space, rest = line.removeprefix(_MARK).partition(" ")
            if word != "ended":
                raise ClientError(FailureKind.ERROR, rest[:_LONGEST_WORDS], STAGE)
            self._exit_code = int(rest)
            return
        try:
            entry = json.loads(line)
            if isinstance(stats := entry.get("stats"), dict):
                numbers = (
                    stats.get(name, 0) for name in ("bytes", "totalBytes", "transfers", "totalTransfers")
                )
                self._tell(Copying(*map(int, numbers)))
            elif entry.get("level") in ("error", "critical"):
                about = f"{entry['object']}: " if entry.get("object") else ""
                self.complaint = f"{about}{entry.get('msg', '')}"[:_LONGEST_WORDS]
        except (ValueError, TypeError, AttributeError):
            self.complaint = line[:_LONGEST_WORDS] or self.complaint


def _arrived(file: BinaryIO) -> Iterator[Arrived]:
    """Yield what came: the program tells the sizes of all files, then two kinds of sums, each in the same order."""
    parts = [nameless() for _each in range(3)]
    number = 0
    for record in records(file, with_empty=True):
        if not record:
            number += 1
        else:
            parts[number].write(record + b"\0")
    for part in parts:
        part.seek(0)
    for size, sha256, md5 in zip(*map(records, parts), strict=True):
        path = size.partition(_AFTER_SUM)[2]
        if {sha256.partition(_AFTER_SUM)[2], md5.partition(_AFTER_SUM)[2]} != {path}:
            raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), STAGE)
        words = (each.partition(_AFTER_SUM)[0].decode() for each in (sha256, md5))
        yield Arrived(path.decode("utf-8", errors="backslashreplace"), int(size.partition(b" ")[0]), *words)


def _with_credentials(storage: Storage, names: BinaryIO) -> Iterator[bytes]:
    count = sum(block.count(b"\n") for block in blocks(names))
    head = (storage.url, storage.access_key, storage.secret_key, str(count))
    yield ("\n".join(head) + "\n").encode()
    yield from blocks(names)


def _require_done(lines: list[str], errors: str) -> None:
    marked = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
    if marked and marked[-1] == "done":
        return
    words = marked[-1].removeprefix("cannot ").strip() if marked else reason(errors.strip().splitlines())
    raise ClientError(
        FailureKind.ERROR, (words or _("the server's answer is not complete"))[:_LONGEST_WORDS], STAGE
    )
