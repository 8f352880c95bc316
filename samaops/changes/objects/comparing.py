"""Decide what is to be copied: three lists that may not fit into memory, each in the order of its names, side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from msgspec import Struct

from samaops.facts.objects import BucketRun, Kept

ItemT = TypeVar("ItemT")
NEW, REPLACED, SAME, GONE = "new", "replaced", "same", "gone"
# A name of Linux has 255 bytes; what rclone writes in place of a character it does not take is left to ourselves.
_LONGEST_NAME_BYTES, _LONGEST_PATH_BYTES = 255, 3500
_ODD_CHARACTERS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u201b\u2400-\u2426\uff00-\uff5f\ud800-\udfff]")


class Found(Struct, frozen=True):
    """An object at the source: its path is bucket/key."""

    bucket: str
    key: str
    bytes: int
    etag: str

    @property
    def path(self) -> str:
        """Its name below the directory of the newest."""
        return f"{self.bucket}/{self.key}"


def shown(path: str) -> str:
    """Return a path as people read it: whatever a screen would not show is escaped."""
    return path[:300] if path.isprintable() else ascii(path)[1:-1][:300]


class Difference(Struct, frozen=True):
    """One name: at the source, in the list of the last run, and what the copy needs. ``is_odd``: it has no file's name."""

    kind: str
    found: Found | None
    kept: Kept | None
    is_odd: bool = False


def has_file_name(path: str) -> bool:
    """Return whether a file can have this path, and rclone writes it as it is."""
    if _ODD_CHARACTERS.search(path):
        return False
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts:
        return False
    sizes = [len(part.encode()) for part in parts]
    return max(sizes) <= _LONGEST_NAME_BYTES and sum(sizes) + len(sizes) <= _LONGEST_PATH_BYTES


def together(
    first: Iterable[ItemT], second: Iterable[Kept], key: Callable[[ItemT], str]
) -> Iterator[tuple[str, ItemT | None, Kept | None]]:
    """Yield two lists by their paths, each in order: what both have, and what only one of them has."""
    lefts, rights = iter(first), iter(second)
    left, right = next(lefts, None), next(rights, None)
    while left is not None or right is not None:
        path = key(left) if left is not None else ""
        other = right.path if right is not None else ""
        if right is None or (left is not None and path < other):
            yield path, left, None
            left = next(lefts, None)
        elif left is None or other < path:
            yield other, None, right
            right = next(rights, None)
        else:
            yield path, left, right
            left, right = next(lefts, None), next(rights, None)


def compare(
    source: Iterable[Found], last: Iterable[Kept], here: Iterable[tuple[str, int]]
) -> Iterator[Difference]:
    """Yield every name of the source and of the last list, and what it needs.

    ``here`` are the files of the copy, path and bytes; one that is listed and not there, or has another size, is copied
    again. All three are in the order of their paths.
    """
    files = iter(here)
    file = next(files, None)
    above: list[str] = []
    for path, found, kept in together(source, last, lambda each: each.path):
        while file is not None and file[0] < path:
            file = next(files, None)
        if found is None:
            yield Difference(GONE, None, kept)
            continue
        while above and not path.startswith(above[-1]):
            above.pop()
        # A file cannot also be a directory: below an object is only what lies under its sum.
        is_odd = not has_file_name(path) or any(path[len(each)] == "/" for each in above)
        if not is_odd:
            above.append(path)
        if kept is None:
            yield Difference(NEW, found, None, is_odd)
        elif not is_same(found, kept):
            yield Difference(REPLACED, found, kept, is_odd)
        elif is_odd != kept.is_odd or not (is_odd or (file is not None and file == (path, found.bytes))):
            yield Difference(NEW, found, kept, is_odd)
        else:
            yield Difference(SAME, found, kept, is_odd)


def is_same(found: Found, kept: Kept) -> bool:
    """Return whether an object is the one that was kept; one that was put back in one part has its MD5 as ETag."""
    return found.bytes == kept.bytes and found.etag in (kept.etag, kept.md5)


def lost(
    last: dict[str, BucketRun], now: dict[str, BucketRun], most_percent: float
) -> Iterator[tuple[str, int, int]]:
    """Yield the buckets of which more than so many percent are gone or replaced: name, how many of how many."""
    for name, before in last.items():
        met = now.get(name)
        count = before.objects if met is None else met.gone + met.replaced
        if before.objects and count > before.objects * most_percent / 100:
            if met is not None and met.objects and count < _FEWEST_LOST:
                continue
            yield name, count, before.objects


# Of a handful of objects, one or two are no sign of anything.
_FEWEST_LOST = 3
