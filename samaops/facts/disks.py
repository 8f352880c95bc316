"""What can be given back on the disks of one server. Nobody looks at it unless asked by name. Sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

# A directory that one entry below fills almost alone says nothing that the entry does not say better.
_DOMINANT_SHARE = 0.7

# Of the flags that a file was opened with (open(2)).
_ACCESS_MODE, _APPEND = 0o3, 0o2000


class Holder(Struct, frozen=True):
    """A process that has a file open, by which descriptor, with which flags."""

    pid: int
    descriptor: int
    flags: int

    @property
    def writes(self) -> bool:
        """Return whether it may write."""
        return bool(self.flags & _ACCESS_MODE)

    @property
    def appends(self) -> bool:
        """Return whether all it writes goes to the end, wherever that is: then the file may be emptied under it."""
        return bool(self.flags & _APPEND)


class LogFile(Struct, frozen=True):
    """One log. ``held_bytes`` is what it takes of the disk; ``holders`` is None where nobody could look."""

    path: str
    mount: str
    inode: int
    size_bytes: int
    held_bytes: int
    modified_at: float
    holders: tuple[Holder, ...] | None

    @property
    def is_at_rest(self) -> bool:
        """Return whether nobody has it open; never where that is not known."""
        return self.holders == ()

    @property
    def can_be_emptied(self) -> bool:
        """Return whether each who writes to it goes on at its new end."""
        writers = [holder for holder in self.holders or () if holder.writes]
        return bool(writers) and all(holder.appends for holder in writers)


class CleanDisk(Struct, frozen=True):
    """One disk, and the reserve that is kept on it: 0 where there is none."""

    mount: str
    size_bytes: int
    used_bytes: int
    available_bytes: int
    reserve_bytes: int

    @property
    def used_percent(self) -> float:
        """Return the share that is used, as df has it."""
        usable = self.used_bytes + self.available_bytes
        return round(100 * self.used_bytes / usable, 1) if usable else 0.0


class Store(Struct, frozen=True):
    """What a program of the system keeps, and can be asked to give up: the journal, the packages that were installed."""

    path: str
    size_bytes: int


class CleanableFacts(Struct, frozen=True):
    """One reading of a server. ``epoch`` in seconds since 1970; ``is_root`` where all could be seen, ``is_partial`` where
    time was up before all logs were found.
    """

    epoch: float
    is_root: bool
    disks: tuple[CleanDisk, ...]
    logs: tuple[LogFile, ...]
    journal: Store | None
    packages: Store | None
    is_partial: bool = False

    def disk(self, mount: str) -> CleanDisk | None:
        """Return a disk by its mount point."""
        return next((disk for disk in self.disks if disk.mount == mount), None)

    def log(self, path: str) -> LogFile | None:
        """Return a log by its path."""
        return next((log for log in self.logs if log.path == path), None)


def most_telling(sizes: Mapping[str, int], root: str, count: int) -> tuple[tuple[str, int], ...]:
    """Return the directories and files that say most: not the root itself, nor a directory that one entry below fills.

    None of them lies in another.
    """
    telling: list[tuple[str, int]] = []
    for path, size in sorted(sizes.items(), key=lambda entry: (-entry[1], -len(entry[0]))):
        inside = path.rstrip("/") + "/"
        is_filled = any(
            other.startswith(inside) and below >= _DOMINANT_SHARE * size for other, below in sizes.items()
        )
        is_named = any(path.startswith(other.rstrip("/") + "/") for other, _size in telling)
        is_above = any(other.startswith(inside) for other, _size in telling)
        if path != root and not (is_filled or is_named or is_above):
            telling.append((path, size))
    return tuple(telling[:count])
