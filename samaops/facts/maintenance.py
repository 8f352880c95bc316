"""What daily maintenance observes beside what a diagnosis does: logs, growth, unused images, its own history.

Nobody looks at these unless asked by name: reading logs of gigabytes is no part of a diagnosis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from samaops.facts.maintenance_month import AccessSeen, AuditSeen
from samaops.facts.maintenance_week import IndexUse, Sizes, Statements, Use
from samaops.facts.night import MadeContainer
from samaops.facts.postgresql import SchemaVersion


class HistoryFacts(Struct, frozen=True):
    """What earlier runs left: when the last one was (ISO 8601), None when this is the first."""

    last_run_at: str | None


class Past(Struct, frozen=True):
    """What earlier runs saw, by server. ``failure`` says why it is not known."""

    last_run_at: str | None = None
    marks: Mapping[str, LogMarks] = field(default_factory=dict)
    mounts: Mapping[str, tuple[MountUse, ...]] = field(default_factory=dict)
    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    statements: Mapping[str, Statements] = field(default_factory=dict)
    indexes: Mapping[str, IndexUse] = field(default_factory=dict)
    redis: Mapping[str, Use] = field(default_factory=dict)
    broker: Mapping[str, Use] = field(default_factory=dict)
    celery: Mapping[str, Use] = field(default_factory=dict)
    audit: Mapping[str, AuditSeen] = field(default_factory=dict)
    access: Mapping[str, AccessSeen] = field(default_factory=dict)
    running: Mapping[str, tuple[MadeContainer, ...]] = field(default_factory=dict)
    migration: Mapping[str, SchemaVersion | None] = field(default_factory=dict)
    failure: str = ""


NO_PAST = Past()


# A directory that one entry below fills almost alone says nothing that the entry does not say better.
_DOMINANT_SHARE = 0.7


class MountUse(Struct, frozen=True):
    """One disk and what is big on it, sizes in bytes; ``at`` in seconds since the epoch.

    Directories below ``threshold_bytes`` are not listed; ``is_partial`` when time was up before the end.
    """

    mount: str
    at: float
    size_bytes: int
    used_bytes: int
    available_bytes: int
    threshold_bytes: int
    is_partial: bool
    entries: tuple[tuple[str, int], ...]


class Growth(Struct, frozen=True):
    """What became of one disk since an earlier run. ``directories`` are those that grew most, in bytes."""

    mount: str
    since: float
    seconds: float
    used_bytes: int
    directories: tuple[tuple[str, int], ...]


class DirectoriesFacts(Struct, frozen=True):
    """The disks of one server as they are, and as an earlier run saw them (empty when it saw none)."""

    mounts: tuple[MountUse, ...]
    earlier: tuple[MountUse, ...]

    def growth(self, mount: str) -> Growth | None:
        """Return what became of a disk since the earlier run; None when that did not see it."""
        now = next((disk for disk in self.mounts if disk.mount == mount), None)
        then = next((disk for disk in self.earlier if disk.mount == mount), None)
        if now is None or then is None or now.at <= then.at:
            return None
        return Growth(mount, then.at, now.at - then.at, now.used_bytes - then.used_bytes, _grown(now, then))


def _grown(now: MountUse, then: MountUse) -> tuple[tuple[str, int], ...]:
    """Return who grew: of a directory and what is in it, whichever says more."""
    before = dict(then.entries)
    # Who is not in a complete list was smaller than its threshold; of a partial one nothing is known.
    grown = {
        path: size - before.get(path, 0)
        for path, size in now.entries
        if (path in before or not then.is_partial) and size - before.get(path, 0) >= now.threshold_bytes
    }
    telling: list[tuple[str, int]] = []
    for path, size in sorted(grown.items(), key=lambda entry: (-entry[1], -len(entry[0]))):
        inside = path.rstrip("/") + "/"
        is_filled = any(
            other.startswith(inside) and below >= _DOMINANT_SHARE * size
            for other, below in grown.items()
            if other != path
        )
        is_named = any(path.startswith(other.rstrip("/") + "/") for other, _size in telling)
        if not (is_filled or is_named or path == now.mount):
            telling.append((path, size))
    return tuple(telling[:5])


# An image whose tag was given to a newer one: releases that are rebuilt under one tag end so.
UNTAGGED = "<none>"


class Image(Struct, frozen=True):
    """One image. Times in seconds since the epoch, None where nobody knows them.

    ``created_at`` is when it was built, ``tagged_at`` when this engine named it, ``arrived_at`` when this engine wrote
    it down. ``size_bytes`` counts layers that it shares with others too.
    """

    id: str
    tags: tuple[str, ...]
    repositories: tuple[str, ...]
    created_at: float | None
    tagged_at: float | None
    size_bytes: int
    is_used: bool
    arrived_at: float | None = None

    @property
    def since(self) -> float | None:
        """Since when it has been here as it is: built, pulled or named, whichever was last; None when nobody knows."""
        known = (at for at in (self.created_at, self.tagged_at, self.arrived_at) if at is not None)
        return max(known, default=None)

    @property
    def names(self) -> tuple[str, ...]:
        """By what it is removed: all its tags, its id without any."""
        return self.tags or (self.id,)


class ImagesFacts(Struct, frozen=True):
    """One reading of an engine's images. ``disk_bytes`` is what all layers take, None when docker did not say."""

    epoch: float
    images: tuple[Image, ...]
    disk_bytes: int | None

    def kept_as_release(self, releases_kept: int) -> frozenset[str]:
        """Return the ids of the newest images of each repository; those without a name are one repository."""
        by_repository: dict[str, list[Image]] = {}
        for image in self.images:
            for repository in image.repositories or (UNTAGGED,):
                by_repository.setdefault(repository, []).append(image)
        newest = (
            sorted(images, key=lambda image: (_release_at(image), image.since or 0.0), reverse=True)[
                :releases_kept
            ]
            for images in by_repository.values()
        )
        return frozenset(image.id for images in newest for image in images)

    def removable(self, age_hours: float, releases_kept: int) -> tuple[Image, ...]:
        """Return the images that no container uses, older than this, and no recent release; oldest first.

        One whose age nobody knows stays: it may be the release that was pulled a minute ago.
        """
        kept = self.kept_as_release(releases_kept)
        ages = {image.id: self.epoch - image.since for image in self.images if image.since is not None}
        images = [
            image
            for image in self.images
            if not image.is_used and image.id not in kept and ages.get(image.id, 0.0) > age_hours * 3600
        ]
        return tuple(sorted(images, key=lambda image: ages[image.id], reverse=True))


def _release_at(image: Image) -> float:
    """Return what orders the releases of a repository: when each was built, else since when it is here."""
    return image.created_at or image.since or 0.0


class FileErrors(Struct, frozen=True):
    """What was counted in one file, from one byte (of the unpacked text) to another, None for its end.

    ``problem`` says why it could not be read to the end; what was counted until then does not count.
    """

    name: str
    from_byte: int
    to_byte: int | None
    errors: int
    criticals: int
    problem: str = ""


class LogMessage(Struct, frozen=True):
    """A message that repeats, its numbers and ids left out; ``count`` is estimated when lines were sampled."""

    text: str
    count: int


class _Counted(Struct, frozen=True):
    """What one file's section of the output says."""

    numbers: Mapping[str, int]
    messages: Counter[str]
    complaints: Sequence[str]
    is_sampled: bool


class LogFacts(Struct, frozen=True):
    """One reading of a server's logs. ``since`` is the earlier reading, None when this is the first.

    ``marks`` are what the next run needs. ``left_out`` names what else is in the directory, and was not read.
    """

    directory: str
    pattern: str
    since: float | None
    files_listed: int
    files: tuple[FileErrors, ...]
    messages: tuple[LogMessage, ...]
    is_sampled: bool
    marks: LogMarks
    left_out: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """How many ERROR and CRITICAL lines there are in all files."""
        return sum(file.errors + file.criticals for file in self.files)

    @property
    def unread(self) -> tuple[FileErrors, ...]:
        """The files that could not be read."""
        return tuple(file for file in self.files if file.problem)


PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst")


# A last line without an end that is longer than this is no line that somebody is just writing.
LONGEST_UNENDED = 65536


class LogMark(Struct, frozen=True):
    """How far one file was read: to which byte, and how it is known again."""

    name: str
    inode: int
    to_byte: int
    head_bytes: int
    head_sum: str


class LogMarks(Struct, frozen=True):
    """How far all files of one server were read, at which time of that server (seconds since the epoch)."""

    epoch: float
    files: tuple[LogMark, ...] = ()


class ListedFile(Struct, frozen=True):
    """One file of the log directory. ``sums`` are checksums of its first bytes (unpacked), by how many these are.

    ``is_current`` where the application writes, by its name. ``unended_bytes`` is the length of a last line that has
    no end yet.
    """

    name: str
    inode: int
    size_bytes: int
    modified_at: float
    is_current: bool
    unended_bytes: int
    sums: tuple[tuple[int, str], ...]

    @property
    def is_packed(self) -> bool:
        return self.name.endswith(PACKED_ENDINGS)

    @property
    def end_byte(self) -> int:
        """Where its whole lines end: a line that is still written is left to the next reading."""
        is_written = self.is_current and 0 < self.unended_bytes < LONGEST_UNENDED
        return self.size_bytes - self.unended_bytes if is_written else self.size_bytes

    def begins_like(self, mark: LogMark) -> bool:
        """Return whether its first bytes are those of the marked file."""
        return (mark.head_bytes, mark.head_sum) in self.sums


class Part(Struct, frozen=True):
    """A part of a file that is to be read; ``to_byte`` is None for the end of a packed file."""

    name: str
    inode: int
    from_byte: int
    to_byte: int | None
