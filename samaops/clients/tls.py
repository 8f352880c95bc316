"""The one place that makes TLS contexts: what is trusted, and what is only looked at."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.time_limit import TimeLimit
from samaops.config import files
from samaops.config.settings import Tls
from samaops.model.failure import FailureKind

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME
_NO_CHECK_TIME = 0x200000
# All authorities of a system have 250 kB.
_LARGEST_BYTES = 4 * 1024 * 1024


def verifying(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the context of every conversation: it trusts the system's authorities, and those of a file.

    Raises ClientError (MISSING) when the file cannot be used.
    """
    context = _default_context(None)
    if ca_file is not None:
        with _naming(ca_file):
            context.load_verify_locations(cadata=_authorities(ca_file))
    return context


def of(settings: Tls) -> ssl.SSLContext:
    """Return the context of a service that is reached over TLS as it is configured. Raises ClientError (MISSING)."""
    context = verifying(settings.ca_file) if settings.verify else unverified()
    if settings.certificate_file is not None:
        with _naming(settings.certificate_file):
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    return context


def wrap(
    context: ssl.SSLContext, connection: socket.socket, server_name: str, limit: TimeLimit
) -> ssl.SSLSocket:
    """Shake hands on a connection that the limit watches. Raises ClientError."""
    try:
        return context.wrap_socket(connection, server_hostname=server_name)
    except OSError as error:
        connection.close()
        raise limit.failure(error, "TLS handshake", is_connected=True) from error


def chain_only(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies who signed, and leaves name and dates to be judged one by one.

    It trusts the system's authorities, or those of the file alone: the certificate is to be from one of these.
    Raises ClientError (MISSING) when the file cannot be used.
    """
    with _naming(ca_file):
        context = _default_context(ca_file)
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    return context


def unverified() -> ssl.SSLContext:
    """Return a context that trusts everybody: only to look at what is shown, nothing is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _default_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=_authorities(ca_file) if ca_file else None)
    # Python 3.13 began to refuse authorities that curl and the application's own Python accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _authorities(ca_file: Path) -> str | bytes:
    """Return the certificates of a file. Raises OSError. OpenSSL itself would wait for a pipe, and read without end."""
    content = files.read_trusted(ca_file, _LARGEST_BYTES)
    # The words between them may be in any language; Python takes none but ASCII.
    return content.decode("ascii", "ignore") if b"-----BEGIN" in content else content


@contextmanager
def _naming(ca_file: Path | None) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; an empty file is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise ClientError(FailureKind.MISSING, f"{ca_file}: {reason}", "ca_file") from error
