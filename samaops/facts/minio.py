"""What is observed of MinIO: is it alive, does S3 answer, which buckets are there."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from samaops.facts.probing import Written


class MinioFacts(Struct, frozen=True):
    """One look at the object storage. ``buckets`` is None when they could not be listed.

    ``write_status`` and ``write_headers`` are what MinIO says of its write quorum; None where it was not asked.
    ``default_credentials`` is "configured", "accepted", "refused", or "" when it was not tried.
    """

    # Absent without a reason where nobody asked for them, and in looks of an earlier samaops: their checks say so.
    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = ("buckets",)
    url: str
    health_status: int
    health_ms: float
    server_header: str
    buckets: tuple[str, ...] | None
    default_credentials: str
    write_status: int | None = None
    write_headers: dict[str, str] | None = None


class MinioProbe(Written, frozen=True):
    """An object that was put into a bucket, read and deleted."""


class Upload(Struct, frozen=True):
    """An upload in parts that was begun and neither finished nor aborted. Times in seconds since 1970.

    ``latest`` is when its newest part came, or when it was begun. ``parts`` and ``bytes`` are None where they were not
    counted.
    """

    bucket: str
    key: str
    id: str
    begun: float
    latest: float
    parts: int | None = None
    bytes: int | None = None

    @property
    def name(self) -> str:
        """Return its object's name, with its bucket."""
        return f"{self.bucket}/{self.key}"


class UploadsFacts(Struct, frozen=True):
    """The unfinished uploads that the storage lists. ``epoch`` is when it was asked, ``buckets`` are those that were asked.

    ``unread`` are buckets that could not be asked, with why; ``is_partial`` where there are more than were read.
    """

    epoch: float
    buckets: tuple[str, ...]
    uploads: tuple[Upload, ...]
    unread: tuple[tuple[str, str], ...] = ()
    is_partial: bool = False

    def find(self, bucket: str, key: str, id_: str) -> Upload | None:
        """Return one upload."""
        return next(
            (each for each in self.uploads if (each.bucket, each.key, each.id) == (bucket, key, id_)), None
        )
