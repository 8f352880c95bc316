"""What is observed of MinIO: is it alive, does S3 answer, which buckets are there."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from samaops.facts.written import Written


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
