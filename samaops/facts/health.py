"""How a health path answers, asked of one API member or of the virtual address: the same look at both."""

from __future__ import annotations

import statistics
from typing import Annotated

from msgspec import Meta, Struct


class HealthAnswer(Struct, frozen=True):
    """The first answer of a health path, and how long it and the next ones took, in milliseconds.

    ``samples_ms`` is from request to complete answer on one connection, without the connecting.
    ``body_status`` and ``version`` are None where the body is not the JSON object it should be.
    """

    url: str
    status: int
    server_header: str
    content_type: str
    body_status: str | None
    version: str | None
    excerpt: str
    connect_ms: float
    first_byte_ms: float
    samples_ms: Annotated[tuple[float, ...], Meta(min_length=1)]

    @property
    def median_ms(self) -> float:
        """The median of the samples."""
        return round(statistics.median(self.samples_ms), 1)

    @property
    def best_ms(self) -> float:
        """The quickest of the samples: what noise on this machine can only have made slower."""
        return round(min(self.samples_ms), 1)

    def serves(self, expected_status: str) -> bool:
        """Return whether status and body are what the balancer's monitor looks for."""
        return self.status == 200 and self.body_status == expected_status
