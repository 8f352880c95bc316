"""What is observed of Google's OAuth and FCM hosts, each for itself, by the way the application takes."""

from __future__ import annotations

from msgspec import Struct


class FirebaseFacts(Struct, frozen=True):
    """One host. ``verify_error`` is why its certificate is not trusted, "" when it is.

    ``status`` and ``first_byte_ms`` are None when the certificate was not trusted: nothing was asked then.
    """

    host: str
    port: int
    through_proxy: bool
    status: int | None
    issuer_organisation: str
    issuer_name: str
    certificate_name: str
    certificate_ends: str
    verify_error: str
    tunnel_ms: float
    tls_ms: float
    first_byte_ms: float | None

    @property
    def issuer(self) -> str:
        """The issuer's organisation and name, as one text."""
        return " / ".join(part for part in (self.issuer_organisation, self.issuer_name) if part) or "?"
