"""The copy of the objects: what is kept of each, and the runs that made it. See ``docs/objects.md``.

All times are ISO 8601 in UTC, all sizes bytes, all sums in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from msgspec import Struct

# By which the copies on other servers are asked for: no check judges them.
ELSEWHERE = "backup.objects.elsewhere"
# The states of a run; one that is killed stays "started". "stopped": the source had lost too much.
STARTED, WHOLE, FAILED, STOPPED = "started", "ok", "failed", "stopped"


class Kept(Struct, frozen=True, omit_defaults=True):
    """An object as of a run: a line of its list, in the order of bucket and key.

    ``etag`` is what S3 said of it, ``md5`` and ``sha256`` are of the bytes that arrived. ``is_odd``: no file can have its
    name, so it lies under its sum.
    """

    bucket: str
    key: str
    bytes: int
    etag: str
    md5: str
    sha256: str
    is_odd: bool = False

    @property
    def path(self) -> str:
        """Its name below the directory of the newest."""
        return f"{self.bucket}/{self.key}"


class BucketRun(Struct, frozen=True):
    """What a run met in one bucket. ``lost`` are those of the last run that were gone or replaced."""

    objects: int
    bytes: int
    new: int = 0
    replaced: int = 0
    gone: int = 0


class ObjectRun(Struct, frozen=True):
    """One run. ``buckets`` holds what it met, ``left_out`` objects that could not be copied and why, ``sent`` bytes."""

    id: str
    site: str
    state: str
    started_at: str
    ended_at: str | None = None
    by: str = ""
    reason: str = ""
    buckets: Mapping[str, BucketRun] = {}
    left_out: tuple[str, ...] = ()
    sent: int = 0

    @property
    def epoch(self) -> float:
        """When it began, in seconds since 1970."""
        return datetime.fromisoformat(self.started_at).timestamp()

    @property
    def objects(self) -> int:
        """How many objects there were."""
        return sum(each.objects for each in self.buckets.values())

    @property
    def bytes(self) -> int:
        """How many bytes they had together."""
        return sum(each.bytes for each in self.buckets.values())


class ObjectCopyFacts(Struct, frozen=True):
    """The copy of the objects, its runs newest first. ``is_busy``: a samaops works on it now.

    ``free_bytes`` is what its file system has; ``epoch`` the time of looking. ``emptied`` are the buckets that had objects
    as of the newest copy and have none now, None where the storage was not asked.
    """

    # Absent without a reason where there is no copy yet, or nobody asked for it.
    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = ("emptied",)

    directory: str
    exists: bool
    free_bytes: int
    epoch: float
    runs: tuple[ObjectRun, ...] = ()
    is_busy: bool = False
    emptied: tuple[str, ...] | None = None

    @property
    def newest(self) -> ObjectRun | None:
        """The newest run whose objects are all there."""
        return next((run for run in self.runs if run.state == WHOLE), None)


class ObjectsElsewhere(Struct, frozen=True):
    """What one of the places of ``[[backup.copies]]`` on another server has of the copy of the objects.

    ``backups`` are the ids of the copies of backups that lie beside it.
    """

    place: str
    copied: ObjectCopyFacts
    backups: tuple[str, ...] = ()


class ObjectDifferences(Struct, frozen=True):
    """How the storage is different from what a run kept; ``id`` names the work that would put it back.

    ``examples`` are some names of what is missing or different. ``extra`` are objects that the run did not have.
    """

    id: str
    run: str
    taken_at: str
    same: int
    missing: int
    missing_bytes: int
    different: int
    different_bytes: int
    extra: int
    missing_buckets: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
