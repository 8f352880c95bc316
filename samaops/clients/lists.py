"""Lists of any length, in files of this machine that have no name: they are gone with us, however we end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TypeVar, cast

import msgspec
from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.typed import ready

_BLOCK_BYTES = 256 * 1024
StructT = TypeVar("StructT", bound=Struct)


class NamelessFile(tempfile.SpooledTemporaryFile[bytes]):
    """A file without a name; what is small stays in memory. It may be left to itself, and is closed then."""

    def __iter__(self) -> Iterator[bytes]:
        yield from iter(self.readline, b"")  # it holds us meanwhile

    def __del__(self) -> None:
        self.close()


def nameless() -> BinaryIO:
    """Return an empty file without a name."""
    return cast(BinaryIO, NamelessFile(max_size=64 * 1024))


def written(items: Iterable[Struct]) -> BinaryIO:
    """Return a file that holds these, one a line."""
    file, encoder = nameless(), msgspec.json.Encoder()
    for each in items:
        file.write(encoder.encode(each) + b"\n")
    return file


def read(file: BinaryIO, kind: type[StructT]) -> Iterator[StructT]:
    """Yield what a file holds, from its beginning; several may read it in turn, not side by side."""
    file.seek(0)
    decoder = msgspec.json.Decoder(ready(kind))
    for line in file:
        yield decoder.decode(line)


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield all that a file holds, some hundred kilobytes at a time."""
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        yield block


def records(file: BinaryIO, *, with_empty: bool = False, ends_with_zero: bool = True) -> Iterator[bytes]:
    """Yield from here on what stands before each zero byte, and what is left after the last where that may be.

    Raises ClientError where it may not: the answer was cut.
    """
    unread = b""
    while block := file.read(_BLOCK_BYTES):
        *whole, unread = (unread + block).split(b"\0")
        yield from (record for record in whole if record or with_empty)
    if unread and not ends_with_zero:
        yield unread
    elif unread.strip():
        raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), "list")


def lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file, from its beginning."""
    file.seek(0)
    for line in file:
        yield line.decode("utf-8").rstrip("\n")
