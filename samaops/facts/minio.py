"""What is observed of MinIO: is it alive, does S3 answer, which buckets are there."""

from __future__ import annotations

from msgspec import Struct


class MinioFacts(Struct, frozen=True):
    """One look at the object storage. ``buckets`` is None when they could not be listed.

    ``default_credentials`` is "configured", "accepted", "refused", or "" when it was not tried.
    """

    url: str
    health_status: int
    health_ms: float
    server_header: str
    buckets: tuple[str, ...] | None
    default_credentials: str
