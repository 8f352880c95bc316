"""Reach one of Google's hosts as the application does: through the proxy, over verified TLS.

When the certificate does not verify, it is read once more without verification, only to name who issued it.
"""

from __future__ import annotations

import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.clients.bounded import BoundedSocket, Deadline, connect, os_error
from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection, tls_context
from samaops.clients.proxy import Tunnel, name
from samaops.config.settings import Firebase, Proxy
from samaops.i18n import _
from samaops.model.failure import FailureKind


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
    deadline = Deadline(settings.timeout)
    context = tls_context(settings.ca_file)
    started = time.monotonic()
    sock = _open(url, proxy, deadline)
    try:
        return _ask_over(sock, url, context, started)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message or str(error)
    finally:
        sock.abort()
    return _untrusted(url, proxy, deadline, reason, started)


def _ask_over(sock: BoundedSocket, url: str, context: ssl.SSLContext, started: float) -> GoogleAnswer:
    tunnel_ms = _milliseconds_since(started)
    shaking = time.monotonic()
    _start_tls(sock, context, url)
    tls_ms = _milliseconds_since(shaking)
    certificate = _of_verified(sock.raw.getpeercert() or {})  # type: ignore[attr-defined]
    with HttpConnection.over(sock, url) as connection:
        answer = connection.get(max_bytes=4096)
    return GoogleAnswer(certificate, answer.status, tunnel_ms, tls_ms, answer.first_byte_ms)


def _untrusted(
    url: str, proxy: Proxy | None, deadline: Deadline, reason: str, started: float
) -> GoogleAnswer:
    sock = _open(url, proxy, deadline)
    tunnel_ms = _milliseconds_since(started)
    try:
        shaking = time.monotonic()
        _start_tls(sock, _lax_context(), url)
        der = sock.raw.getpeercert(binary_form=True) or b""  # type: ignore[attr-defined]
    finally:
        sock.abort()
    return GoogleAnswer(_of_der(der, reason), None, tunnel_ms, _milliseconds_since(shaking), None)


def _open(url: str, proxy: Proxy | None, deadline: Deadline) -> BoundedSocket:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    if proxy is None:
        return connect(host, port, deadline)
    try:
        return _tunnel(proxy, host, port, deadline)
    except ClientError as error:
        message = _("the proxy {proxy}: {words}").format(proxy=name(proxy), words=error.message)
        raise ClientError(FailureKind.DEPENDENCY, message, "proxy") from error


def _tunnel(proxy: Proxy, host: str, port: int, deadline: Deadline) -> BoundedSocket:
    tunnel = Tunnel(proxy, host, port, deadline)
    try:
        tunnel.ask()
        answer = tunnel.answer()
    except ClientError:
        tunnel.close()
        raise
    if 200 <= answer.status < 300:
        return tunnel.sock
    tunnel.close()
    raise ClientError(FailureKind.ERROR, f"HTTP {answer.status} {answer.reason}", "CONNECT")


def _start_tls(sock: BoundedSocket, context: ssl.SSLContext, url: str) -> None:
    try:
        sock.start_tls(context, urlsplit(url).hostname or "")
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        raise os_error(error, "tls", True, sock.deadline) from error


def _lax_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to read what is shown; nothing is sent over it
    return context


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
        shown = x509.load_der_x509_certificate(der)
        issuer, subject = shown.issuer, shown.subject
        not_after = shown.not_valid_after_utc.isoformat()
    except ValueError as error:
        raise ClientError(FailureKind.TLS, f"{reason}; {error}", "certificate") from error

    def first(names: x509.Name, oid: x509.ObjectIdentifier) -> str:
        found = names.get_attributes_for_oid(oid)
        return str(found[0].value) if found else ""

    return Certificate(
        issuer_organisation=first(issuer, NameOID.ORGANIZATION_NAME),
        issuer_name=first(issuer, NameOID.COMMON_NAME),
        subject_name=first(subject, NameOID.COMMON_NAME),
        not_after=not_after,
        verify_error=reason,
    )


def _milliseconds_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 2)
