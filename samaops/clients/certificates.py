"""Look at the certificate a TLS server shows. Nothing is sent over the connection but the handshake."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients import footprint, tls
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.time_limit import TimeLimit
from samaops.i18n import _
from samaops.model.failure import FailureKind


class ShownCertificate(Struct, frozen=True):
    """The certificate as it was shown (DER), and why nobody should trust it, if so."""

    der: bytes
    tls_version: str
    verify_error: str | None


def look(host: str, port: int, server_name: str, ca_file: Path | None, timeout: float) -> ShownCertificate:
    """Shake hands with a TLS server within ``timeout`` in all. Raises ClientError.

    A chain that does not verify costs a second handshake, to see the certificate all the same.
    """
    context = tls.chain_only(ca_file)
    with TimeLimit(timeout) as limit:
        try:
            return _shake_hands(context, limit.connect(host, port), server_name, limit)
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message or str(error)
        certificate = _shake_hands(tls.unverified(), limit.connect(host, port), server_name, limit)
        return replace(certificate, verify_error=reason)


def _shake_hands(
    context: ssl.SSLContext, plain: socket.socket, server_name: str, limit: TimeLimit
) -> ShownCertificate:
    try:
        with plain, context.wrap_socket(plain, server_hostname=server_name) as secured:
            der = secured.getpeercert(binary_form=True) or b""
            footprint.count(bytes_read=len(der))
            return ShownCertificate(der, secured.version() or "", None)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as error:
        reason = TimeoutError(_("the TLS handshake did not end")) if limit.is_expired else error
        raise ClientError(_kind(reason), _reason(reason), "TLS handshake") from error


def _kind(error: Exception) -> FailureKind:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return FailureKind.CLOSED
    if isinstance(error, ssl.SSLError) and error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return FailureKind.GARBAGE  # no TLS at all: the first bytes are not a TLS record
    return kind_of_os_error(error, connected=True)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
