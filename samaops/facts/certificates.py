"""What is observed of the TLS certificates that services show."""

from __future__ import annotations

from msgspec import Struct


class CertificateFacts(Struct, frozen=True):
    """One certificate as it was shown. Times in seconds since the epoch.

    ``names`` are the DNS names and addresses it is for; ``verify_error`` says why its chain is not trusted,
    None when it is. Whether it has expired is not part of that.
    """

    host: str
    port: int
    server_name: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    valid_from: float
    valid_until: float
    serial: str
    tls_version: str
    verify_error: str | None
    seen_at: float
