"""Reach one of Google's hosts as the application does: through the proxy, over verified TLS.

When the certificate does not verify, it is read once more without verification, only to name who issued it.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.clients import tls
from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection
from samaops.clients.proxy import connect_tunnel
from samaops.clients.time_limit import TimeLimit
from samaops.config.settings import Firebase, Proxy
from samaops.model.failure import FailureKind

if TYPE_CHECKING:
    from samaops.clients.transport import Route


class Certificate(Struct, frozen=True):
    """Who a host's certificate is from. ``verify_error`` is OpenSSL's reason not to trust it, "" if trusted."""

    issuer_organisation: str
    issuer_name: str
    subject_name: str
    not_after: str
    verify_error: str


class GoogleAnswer(Struct, frozen=True):
    """How one host answered. ``status`` is None when the certificate was not trusted: nothing was asked then."""

    certificate: Certificate
    status: int | None
    tunnel_ms: float
    tls_ms: float
    first_byte_ms: float | None


def ask(url: str, settings: Firebase, proxy: Proxy | None) -> GoogleAnswer:
    """Open the way to a URL's host, check its certificate and GET the URL.

    Raises ClientError; its kind is DEPENDENCY when the proxy is the reason.
    """
    parts = urlsplit(url)
    target = parts.hostname or "", parts.port or 443

    def open_socket(limit: TimeLimit) -> socket.socket:
        return limit.connect(*target) if proxy is None else connect_tunnel(proxy, *target, limit)

    with HttpConnection(
        url, timeout=settings.timeout, ca_file=settings.ca_file, open_socket=open_socket
    ) as connection:
        route = connection.route
        try:
            answer = connection.get(max_bytes=4096)
        except ClientError as error:
            if not isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise
            reason = error.__cause__.verify_message or str(error.__cause__)
            return _untrusted(route, target[0], reason)
    certificate = _of_verified(route.certificate)
    return GoogleAnswer(certificate, answer.status, route.open_ms, route.tls_ms, answer.first_byte_ms)


def _untrusted(route: Route, host: str, reason: str) -> GoogleAnswer:
    first_ms = route.open_ms
    plain = route.open()
    started = time.monotonic()
    try:
        with plain, tls.unverified().wrap_socket(plain, server_hostname=host) as secured:
            der = secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise route.limit.failure(error, "tls", is_connected=True) from error
    tls_ms = round((time.monotonic() - started) * 1000, 2)
    return GoogleAnswer(_of_der(der, reason), None, round(first_ms + route.open_ms, 2), tls_ms, None)


def _of_verified(shown: dict[str, Any]) -> Certificate:
    issuer = {key: value for part in shown.get("issuer", ()) for key, value in part}
    subject = {key: value for part in shown.get("subject", ()) for key, value in part}
    return Certificate(
        issuer_organisation=str(issuer.get("organizationName", "")),
        issuer_name=str(issuer.get("commonName", "")),
        subject_name=str(subject.get("commonName", "")),
        not_after=str(shown.get("notAfter", "")),
        verify_error="",
    )


def _of_der(der: bytes, reason: str) -> Certificate:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_der_x509_certificate(der)
        issuer, subject = certificate.issuer, certificate.subject
        not_after = certificate.not_valid_after_utc.isoformat()
    except ValueError as error:
        raise ClientError(FailureKind.TLS, f"{reason}; {error}", "certificate") from error

    def first(names: x509.Name, oid: x509.ObjectIdentifier) -> str:
        attributes = names.get_attributes_for_oid(oid)
        return str(attributes[0].value) if attributes else ""

    return Certificate(
        issuer_organisation=first(issuer, NameOID.ORGANIZATION_NAME),
        issuer_name=first(issuer, NameOID.COMMON_NAME),
        subject_name=first(subject, NameOID.COMMON_NAME),
        not_after=not_after,
        verify_error=reason,
    )
