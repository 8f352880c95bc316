"""What is observed of the Senelec proxy itself: does it answer, and does it open the way to Google."""

from __future__ import annotations

from msgspec import Struct


class TunnelFacts(Struct, frozen=True):
    """What became of CONNECT to one host: a status, or the kind and words of a failure.

    ``schemes`` are the ways to log in that the proxy offers, when it wants one.
    """

    host: str
    port: int
    status: int | None
    words: str
    failure_kind: str
    after_ms: float | None
    schemes: tuple[str, ...] = ()


class ProxyFacts(Struct, frozen=True):
    """The proxy, and the tunnels that were asked of it."""

    address: str
    connect_ms: float
    has_credentials: bool
    tunnels: tuple[TunnelFacts, ...]


def label(host: str, port: int) -> str:
    """Return how a host is named in a subject."""
    return host if port == 443 else f"{host}:{port}"
