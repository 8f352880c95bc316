"""Look at the certificate a TLS server shows. Nothing is sent over the connection but the handshake."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients import footprint, tls
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.time_limit import TimeLimit
from samaops.i18n import _
from samaops.model.failure import FailureKind

# The message of PostgreSQL's protocol by which a client asks for TLS: its length, and its code.
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_LONGEST_ANSWER_BYTES = 8192


class ShownCertificate(Struct, frozen=True):
    """The certificate as it was shown (DER), and why nobody should trust it, if so."""

    der: bytes
    tls_version: str
    verify_error: str | None


class Place(Struct, frozen=True):
    """Where a certificate is shown, for which name, and by whom it must be signed.

    ``protocol`` is what is spoken before the handshake: "postgresql", "smtp", or "" for TLS from the first byte.
    """

    host: str
    port: int
    server_name: str
    ca_file: Path | None = None
    protocol: str = ""


def look(place: Place, timeout: float) -> ShownCertificate:
    """Shake hands with a TLS server within ``timeout`` in all. Raises ClientError.

    A chain that does not verify costs a second handshake, to see the certificate all the same.
    """
    context = tls.chain_only(place.ca_file)
    with TimeLimit(timeout) as limit:
        try:
            return _shake_hands(context, _open(place, limit), place.server_name, limit)
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message or str(error)
        certificate = _shake_hands(tls.unverified(), _open(place, limit), place.server_name, limit)
        return replace(certificate, verify_error=reason)


def _open(place: Place, limit: TimeLimit) -> socket.socket:
    """Open a connection, and ask for TLS where the protocol begins without it."""
    connection = limit.connect(place.host, place.port)
    try:
        if place.protocol == "postgresql":
            connection.sendall(_SSL_REQUEST)
            _require(connection.recv(1) == b"S")
        elif place.protocol == "smtp":
            _require(_smtp_answer(connection) == b"220")
            connection.sendall(b"EHLO samaops\r\n")
            _require(_smtp_answer(connection) == b"250")
            connection.sendall(b"STARTTLS\r\n")
            _require(_smtp_answer(connection) == b"220")
    except OSError as error:
        connection.close()
        raise limit.failure(error, "STARTTLS", is_connected=True) from error
    except ClientError:
        connection.close()
        raise
    return connection


def _require(is_offered: bool) -> None:
    if not is_offered:
        raise ClientError(FailureKind.TLS, _("TLS is not offered there"), "STARTTLS")


def _smtp_answer(connection: socket.socket) -> bytes:
    """Return the code of one answer; all lines of it but the last have a dash behind the code."""
    answer = b""
    while len(answer) < _LONGEST_ANSWER_BYTES:
        block = connection.recv(1024)
        if not block:
            break
        answer += block
        last = answer.splitlines()[-1]
        if answer.endswith(b"\n") and last[3:4] != b"-":
            return last[:3]
    return b""


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
