"""Talk S3 to MinIO through its SDK: list the buckets, once, without retries, within one time limit."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from samaops.clients import footprint
from samaops.clients.errors import ClientError, kind_of_os_error
from samaops.clients.http import tls_context
from samaops.clients.minio_library import (
    InvalidResponseError,
    Minio,
    MinioException,
    S3Error,
    ServerError,
)
from samaops.clients.time_limit import TimeLimit
from samaops.i18n import _
from samaops.model.failure import FailureKind

# Any will do for MinIO; naming one saves the SDK a question about the bucket's own.
REGION = "us-east-1"
STAGE = "list buckets"

# S3's error codes (MinIO, "S3 API error responses").
_KIND_OF_CODE = {
    "InvalidAccessKeyId": FailureKind.AUTHENTICATION,
    "SignatureDoesNotMatch": FailureKind.AUTHENTICATION,
    "AccessDenied": FailureKind.PERMISSION,
    "XMinioServerNotInitialized": FailureKind.UNAVAILABLE,
    "SlowDown": FailureKind.UNAVAILABLE,
    "ServiceUnavailable": FailureKind.UNAVAILABLE,
    "InternalError": FailureKind.UNAVAILABLE,
}


def list_buckets(url: str, access_key: str, secret_key: str, timeout: float) -> tuple[str, ...]:
    """Return the names of the buckets these credentials see, within ``timeout`` in all. Raises ClientError."""
    parts = urlsplit(url)
    limit = TimeLimit(timeout)
    pool = _pool(limit, is_tls=parts.scheme == "https")
    try:
        client = Minio(
            parts.netloc.rpartition("@")[2],
            access_key,
            secret_key,
            secure=parts.scheme == "https",
            region=REGION,
            http_client=pool,
        )
        buckets = tuple(bucket.name for bucket in client.list_buckets())
    except (MinioException, HTTPError, ParseError, ValueError) as error:
        raise _too_late(limit) if limit.is_expired else _client_error(error) from error
    finally:
        limit.cancel()
        pool.clear()
    footprint.count(connections=1, commands=1)
    return buckets


def _pool(limit: TimeLimit, is_tls: bool) -> urllib3.PoolManager:
    """Return urllib3's pool, whose connections end with the limit: its own timeouts start anew with each byte."""

    class WatchedConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _watched(limit, super()._new_conn())

    class WatchedTlsConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _watched(limit, super()._new_conn())

    class Pool(HTTPConnectionPool):
        ConnectionCls = WatchedConnection

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = WatchedTlsConnection

    options: dict[str, Any] = {"ssl_context": tls_context()} if is_tls else {}
    timeout = urllib3.Timeout(connect=limit.seconds, read=limit.seconds, total=limit.seconds)
    pool = urllib3.PoolManager(timeout=timeout, retries=False, **options)
    pool.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
    return pool


def _watched(limit: TimeLimit, opened: socket.socket) -> socket.socket:
    limit.watch(opened)
    return opened


def _too_late(limit: TimeLimit) -> ClientError:
    words = _("no answer within {seconds:.1f} s").format(seconds=limit.seconds)
    return ClientError(FailureKind.NO_ANSWER, words, STAGE)


def _client_error(error: Exception) -> ClientError:
    if isinstance(error, S3Error):
        kind = _KIND_OF_CODE.get(error.code or "", FailureKind.ERROR)
        return ClientError(kind, f"{error.code}: {error.message}", STAGE)
    if isinstance(error, ServerError):
        return ClientError(FailureKind.UNAVAILABLE, str(error), STAGE)
    if isinstance(error, HTTPError):
        return ClientError(_kind_of_transport(error), _words(error), STAGE)
    if isinstance(error, (InvalidResponseError, ParseError)):
        return ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), STAGE)
    return ClientError(FailureKind.ERROR, _words(error), STAGE)


def _kind_of_transport(error: HTTPError) -> FailureKind:
    if isinstance(error, NameResolutionError):
        return FailureKind.NAME
    if isinstance(error, SSLError):
        return FailureKind.TLS
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return FailureKind.SILENT
    if isinstance(error, UrllibTimeoutError) and not isinstance(error, NewConnectionError):
        return FailureKind.NO_ANSWER
    cause = error.__cause__ or error.__context__
    if isinstance(error, ProtocolError) and not isinstance(cause, OSError):
        return FailureKind.GARBAGE
    return kind_of_os_error(cause, isinstance(error, ProtocolError)) if cause else FailureKind.ERROR


def _words(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    return " ".join(str(cause or error).split())[:200]
