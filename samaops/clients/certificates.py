"""Look at the certificate a TLS server shows. Nothing is sent over the connection but the handshake."""

from __future__ import annotations

import select
import socket
import ssl
import time
from pathlib import Path

from msgspec import Struct

from samaops.clients import footprint
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.i18n import _
from samaops.model.failure import FailureKind

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME: an expired certificate is a fault of its own, told apart from the chain.
_NO_CHECK_TIME = 0x200000


class ShownCertificate(Struct, frozen=True):
    """The certificate as it was shown (DER), and why nobody should trust it, if so."""

    der: bytes
    tls_version: str
    verify_error: str | None


def look(host: str, port: int, server_name: str, ca_file: Path | None, timeout: float) -> ShownCertificate:
    """Shake hands with a TLS server within ``timeout`` in all. Raises ClientError.

    A chain that does not verify costs a second handshake, to see the certificate all the same.
    """
    ends_at = time.monotonic() + timeout
    strict = _strict_context(ca_file)
    try:
        return _shake_hands(strict, (host, port), server_name, ends_at, None)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message or str(error)
    return _shake_hands(_lax_context(), (host, port), server_name, ends_at, reason)


def _strict_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(FailureKind.MISSING, f"{ca_file}: {error}", "ca_file") from error
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    return context


def _lax_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to look at what is shown; nothing is sent
    return context


def _shake_hands(
    context: ssl.SSLContext,
    address: tuple[str, int],
    server_name: str,
    ends_at: float,
    verify_error: str | None,
) -> ShownCertificate:
    with _open_socket(address, ends_at) as plain:
        footprint.count(connections=1)
        plain.setblocking(False)
        try:
            with context.wrap_socket(
                plain, server_hostname=server_name, do_handshake_on_connect=False
            ) as secured:
                _complete_handshake(secured, ends_at)
                der = secured.getpeercert(binary_form=True) or b""
                footprint.count(bytes_read=len(der))
                return ShownCertificate(der, secured.version() or "", verify_error)
        except ssl.SSLCertVerificationError:
            raise
        except (OSError, ValueError) as error:
            raise ClientError(_kind(error), _reason(error), "TLS handshake") from error


def _open_socket(address: tuple[str, int], ends_at: float) -> socket.socket:
    try:
        return socket.create_connection(address, timeout=max(0.01, ends_at - time.monotonic()))
    except (OSError, UnicodeError) as error:
        raise ClientError(kind_of_os_error(error, connected=False), str(error), "connect") from error


def _complete_handshake(secured: ssl.SSLSocket, ends_at: float) -> None:
    """Shake hands with one limit for the whole of it, which a socket's own timeout is not."""
    while True:
        to_read, to_write = [secured], [secured]
        try:
            secured.do_handshake()
        except ssl.SSLWantReadError:
            to_write = []
        except ssl.SSLWantWriteError:
            to_read = []
        else:
            return
        if not any(select.select(to_read, to_write, [], max(0.0, ends_at - time.monotonic()))):
            raise TimeoutError(_("the TLS handshake did not end"))


def _kind(error: Exception) -> FailureKind:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return FailureKind.CLOSED
    if isinstance(error, ssl.SSLError) and error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return FailureKind.GARBAGE  # no TLS at all: the first bytes are not a TLS record
    return kind_of_os_error(error, connected=True)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
