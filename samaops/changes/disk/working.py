"""What is done on a disk, as data; ``samaops.changes.run.disk.working`` does it, and measures the disk before and after."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from samaops.facts import selection

CLEANABLE = "maintenance.cleanable"
WORK = "disk.work"
# What is done.
COMPRESS, UNCOMPRESS, EMPTY, EMPTY_DELETED = "compress", "uncompress", "empty", "empty_deleted"
JOURNAL, PACKAGES, COMMAND = "journal", "packages", "command"
RESERVE_SPACE, GIVE_UP = "reserve", "give_up"


class Target(Struct, frozen=True):
    """One file. ``size_bytes`` is 0 where it may have grown meanwhile."""

    path: str
    inode: int
    size_bytes: int = 0


class Working(Struct, frozen=True):
    """One piece of work on the disk ``mount``. ``count`` are bytes: that are kept, or in reserve."""

    what: str
    mount: str
    count: int = 0
    files: tuple[Target, ...] = ()
    command: str = ""


def store_codes(server: str, *_more: object) -> tuple[str, ...]:
    """Return what must be looked at for a reading of what is kept on a server, without a search."""
    return (f"{CLEANABLE}.store@{server}",)


def log_codes(server: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Return what must be looked at for a reading of these files alone."""
    return tuple(f"{selection.of(f'{CLEANABLE}.log', path)}@{server}" for path in paths)
