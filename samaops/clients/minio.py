"""Talk S3 to MinIO: list the buckets, once, without retries."""

from __future__ import annotations

from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
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
    """Return the names of the buckets these credentials see. Raises ClientError."""
    parts = urlsplit(url)
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=timeout, read=timeout, total=timeout),
        retries=False,
        ssl_context=tls_context() if parts.scheme == "https" else None,
    )
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
        raise _client_error(error) from error
    finally:
        pool.clear()
    footprint.count(connections=1, commands=1)
    return buckets


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
