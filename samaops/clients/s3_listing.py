"""List all objects of a bucket, in parts side by side, on the disk of this machine meanwhile: of any number.

A listing is cut where the last one was thick, or at the first parts of the names. Each part asks a page at a time, by
the name after which it begins, and lies in a file without a name until all of it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import msgspec
from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.lists import nameless, read
from samaops.clients.minio import Listed, S3Connection
from samaops.i18n import _
from samaops.model.failure import FailureKind

# So many parts are asked for at once; more only wait for the same disks.
SIDE_BY_SIDE = 8
# For one page of a thousand: MinIO walks a directory for it.
PAGE_SECONDS = 60.0
STAGE = "list objects"
# Each part is an open file.
_MOST_CUTS = 64


class Storage(Struct, frozen=True):
    """Where objects are, and who asks for them."""

    url: str
    access_key: str
    secret_key: str

    def connect(self, seconds: float) -> S3Connection:
        """Return a connection for requests of so many seconds together."""
        return S3Connection(self.url, self.access_key, self.secret_key, seconds)


def _tell_nobody(_count: int) -> None:
    pass


def listing(
    storage: Storage, bucket: str, cuts: Sequence[str] = (), tell: Callable[[int], None] = _tell_nobody
) -> Iterator[Listed]:
    """Yield all objects of a bucket in the order of their names' bytes, once all of them are known.

    ``cuts`` are names between which the parts lie, in order; absent: asked for. ``tell`` hears how many there are until
    now. Raises ClientError, with nothing yielded, where a part could not be listed.
    """
    cuts = cuts or sorted(_folders(storage, bucket))
    cuts = cuts[:: len(cuts) // _MOST_CUTS + 1]
    counted = _Counted(tell)
    files = [nameless() for _each in range(len(cuts) + 1)]
    bounds = zip(("", *cuts), (*cuts, None), strict=True)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        try:
            parts = [
                pool.submit(_list_part, storage, bucket, bound, file, counted)
                for bound, file in zip(bounds, files, strict=True)
            ]
            for part in parts:
                part.result()
        except BaseException:
            counted.is_over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for file in files:
        yield from read(file, Listed)


class _Counted:
    """How many objects all parts have found."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._lock, self._count, self._tell = threading.Lock(), 0, tell
        self.is_over = threading.Event()

    def add(self, count: int) -> None:
        with self._lock:
            self._count += count
            self._tell(self._count)


def _list_part(
    storage: Storage, bucket: str, bound: tuple[str, str | None], file: BinaryIO, counted: _Counted
) -> None:
    """Write the objects whose names come after the first bound, up to the second, into a file."""
    after, until = bound
    encoder = msgspec.json.Encoder()
    with storage.connect(PAGE_SECONDS) as connection:
        while not counted.is_over.is_set():
            page = connection.page(bucket, after)
            within = [each for each in page.objects if until is None or each.key <= until]
            file.write(encoder.encode_lines(within))
            counted.add(len(within))
            if page.is_last or len(within) < len(page.objects):
                return
            if not page.objects or page.objects[-1].key <= after:
                words = _("the listing does not go on after {name}").format(name=ascii(after)[:100])
                raise ClientError(FailureKind.GARBAGE, words, STAGE)
            after = page.objects[-1].key
            connection.restart(PAGE_SECONDS)


def _folders(storage: Storage, bucket: str) -> tuple[str, ...]:
    with storage.connect(PAGE_SECONDS) as connection:
        return connection.folders(bucket)
