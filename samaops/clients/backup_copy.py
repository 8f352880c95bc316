"""Copies of backups on another server: through this machine, a block at a time, verified there by their sums.

The two servers need no keys of each other: one writes an archive, the other reads it, and we stand between.
"""

from __future__ import annotations

import queue
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from samaops.clients.as_user import as_user
from samaops.clients.errors import ClientError
from samaops.clients.lists import blocks, nameless, records
from samaops.clients.shell import Completed, Shell, program, reason, text
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "backup copy"
_PROGRAM = Path(__file__).with_suffix(".sh")
_MARK = "samaops-copy: "
_SHORT_SECONDS = 60.0
_LONGEST_WORDS = 300
# Blocks that wait between the two servers: some megabytes at most.
_WAITING_BLOCKS = 32
_PATIENCE_SECONDS = 1.0
Tell = Callable[[int], None]


class Source(Struct, frozen=True):
    """Where the backups are, and whose they are there."""

    shell: Shell
    user: str

    def archive(self, directory: str) -> str:
        """Return the command that writes a directory as an archive."""
        return as_user(self.user, 'exec tar -c --format=posix -f - -C "$1" .', directory)

    def archive_of(self, directory: str) -> str:
        """Return the command that writes those files as an archive whose names it reads, each ended by a zero byte."""
        tar = 'cd "$1" && exec tar -c --format=posix --no-recursion --null --verbatim-files-from -T - -f -'
        return as_user(self.user, tar, directory)

    def listing(self, directory: str) -> str:
        """Return the command that lists what is kept of the objects."""
        return as_user(self.user, program(_PROGRAM), "list", directory)

    def sums(self, directory: str) -> str:
        """Return the command that tells the sums of files whose names it reads."""
        return as_user(self.user, program(_PROGRAM), "sums-of", directory)


class CopyPlace(Struct, frozen=True):
    """A directory on another server, as who logs in there. ``seconds`` bound one copy."""

    shell: Shell
    directory: str
    seconds: float

    def look(self, name: str) -> tuple[bool, int]:
        """Return whether there is a copy of this name, and how many bytes are free. Raises ClientError."""
        lines = self._call("look", name, seconds=_SHORT_SECONDS)
        free = [line for line in lines if line.startswith("free ")]
        return "there" in lines, int(free[0].split()[1]) if free else 0

    def take(self, name: str, source: Source, directory: str, tell: Tell) -> None:
        """Bring a directory of the source, without its name yet. Raises ClientError."""
        self._through(source.shell, source.archive(directory), (), ("take", name), tell)

    def sums(self, name: str) -> dict[str, str]:
        """Return the SHA-256 of all files that were brought, by path. Raises ClientError."""
        file = nameless()
        self.shell.stream(_command("sums", self.directory, name), self.seconds, (), file.write)
        file.seek(0)
        sums: dict[str, str] = {}
        for record in records(file, ends_with_zero=False):
            if record.startswith(_MARK.encode()):
                _require_done(text(record).splitlines())
                return sums
            digest, _spaces, path = record.partition(b"  ")
            sums[text(path)] = text(digest)
        raise ClientError(FailureKind.ERROR, _("the server's answer is not complete"), STAGE)

    def finish(self, name: str) -> None:
        """Give what was brought its name. Raises ClientError."""
        self._call("finish", name)

    def discard(self, name: str) -> None:
        """Remove what was brought and has no name. Raises ClientError."""
        self._call("discard", name)

    def remove(self, name: str) -> None:
        """Remove a copy: its name first, so that none is taken for whole that is not. One that is gone is removed.

        Raises ClientError, also where the place holds no copy at all: its disk may not be there.
        """
        self._call("remove", name)

    def add_objects(self, source: Source, directory: str, tell: Tell) -> tuple[int, int]:
        """Bring what is kept of the objects and is not here, or is another file here; nothing here is deleted.

        Return how many files and bytes were brought. Raises ClientError, also where a sum is another here.
        """
        there = _listed(source.shell, source.listing(directory), self.seconds)
        here = set(_listed(self.shell, _command("list", self.directory), self.seconds))
        names, count, total = nameless(), 0, 0
        for record in there:
            if record not in here:
                path, size, _changed = record.rsplit(b"\t", 2)
                names.write(path + b"\0")
                count, total = count + 1, total + int(size)
        if not count:
            return 0, 0
        self._through(source.shell, source.archive_of(directory), blocks(names), ("add",), tell)
        sums = _listed(source.shell, source.sums(directory), self.seconds, blocks(names))
        ours = _listed(self.shell, _command("sums-of", self.directory), self.seconds, blocks(names))
        for record, own in zip(sums, ours, strict=False):
            if record != own:
                name = text(record.partition(b"  ")[2])[:100]
                raise ClientError(
                    FailureKind.ERROR, _("{name} is another file there").format(name=name), STAGE
                )
        return count, total

    def _through(
        self, shell: Shell, command: str, stdin: Iterable[bytes], what: tuple[str, ...], tell: Tell
    ) -> None:
        """Let one server write and the other read, at the pace of the slower one."""
        waiting: queue.Queue[bytes | None] = queue.Queue(_WAITING_BLOCKS)
        failures: list[BaseException] = []
        is_over = threading.Event()

        def offer(block: bytes | None) -> None:
            while not is_over.is_set():
                try:
                    waiting.put(block, timeout=_PATIENCE_SECONDS)
                except queue.Full:
                    continue
                return
            if block is not None:
                raise ClientError(FailureKind.CLOSED, _("the other server reads no more"), STAGE)

        def write() -> None:
            try:
                done = shell.stream(command, self.seconds, stdin, offer)
                _require_zero(done)
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                failures.append(error)
            offer(None)

        def read() -> Iterator[bytes]:
            count = 0
            while (block := waiting.get()) is not None:
                count += len(block)
                tell(count)
                yield block
            if failures:  # half an archive is none: the reader must not take it for the end
                raise failures[0]

        thread = threading.Thread(target=write, daemon=True, name="backup copy")
        thread.start()
        output = bytearray()
        try:
            done = self.shell.stream(
                _command(*what[:1], self.directory, *what[1:]), self.seconds, read(), output.extend
            )
        finally:
            is_over.set()
            thread.join(_SHORT_SECONDS)
        _require_done(text(bytes(output)).splitlines() or done.stderr.splitlines())

    def _call(self, what: str, *words: str, seconds: float = 0.0) -> list[str]:
        done = self.shell.run(_command(what, self.directory, *words), seconds or self.seconds)
        lines = done.stdout.splitlines()
        _require_done(lines or done.stderr.splitlines())
        return lines


def _listed(shell: Shell, command: str, seconds: float, source: Iterable[bytes] = ()) -> Iterator[bytes]:
    file = nameless()
    done = shell.stream(command, seconds, source, file.write)
    _require_zero(done)
    file.seek(0)
    return records(file)


def _require_zero(done: Completed) -> None:
    if done.exit_code:
        raise ClientError(FailureKind.ERROR, done.reason(), STAGE)


def _require_done(lines: list[str]) -> None:
    marked = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
    if marked and marked[-1] == "done":
        return
    words = marked[-1].removeprefix("cannot ") if marked else reason(lines)
    raise ClientError(
        FailureKind.ERROR, words[:_LONGEST_WORDS] or _("the server's answer is not complete"), STAGE
    )


def _command(*arguments: str) -> str:
    return shlex.join(["sh", "-c", program(_PROGRAM), "sh", *arguments])
