"""Lists of any length, in files of this machine that have no name: they are gone with us, however we end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TypeVar, cast

import msgspec
from msgspec import Struct

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
    decoder = msgspec.json.Decoder(kind)
    for line in file:
        yield decoder.decode(line)
