"""Talk S3 to MinIO: list the buckets, once, without retries, within one time limit."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timezone
from xml.etree import ElementTree

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection, authority_of
from samaops.i18n import _
from samaops.model.failure import FailureKind

REGION = "us-east-1"  # any will do for MinIO
STAGE = "list buckets"
_NO_BODY = hashlib.sha256().hexdigest()

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
    headers = signed(authority_of(url), access_key, secret_key, datetime.now(timezone.utc))
    with HttpConnection(url, timeout=timeout) as connection:
        answer = connection.get("/", headers=headers)
    document = _document(answer)
    if answer.status != 200:
        code = document.findtext("{*}Code") or f"HTTP {answer.status}"
        kind = _KIND_OF_CODE.get(code, FailureKind.ERROR)
        raise ClientError(kind, f"{code}: {document.findtext('{*}Message')}", STAGE)
    if document.find("{*}Buckets") is None:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), STAGE)
    return tuple(name.text or "" for name in document.findall("{*}Buckets/{*}Bucket/{*}Name"))


def signed(authority: str, access_key: str, secret_key: str, moment: datetime) -> Mapping[str, str]:
    """Return the headers of ``GET /``, signed for a host and a moment (AWS Signature Version 4).

    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": authority, "x-amz-content-sha256": _NO_BODY, "x-amz-date": stamp}
    lines, names = "".join(f"{name}:{value}\n" for name, value in headers.items()), ";".join(headers)
    request = hashlib.sha256(f"GET\n/\n\n{lines}\n{names}\n{_NO_BODY}".encode()).hexdigest()
    scope = (stamp[:8], REGION, "s3", "aws4_request")
    key = b"AWS4" + secret_key.encode()
    for word in (*scope, "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), request))):
        key = hmac.digest(key, word.encode(), "sha256")
    credential = f"{access_key}/{'/'.join(scope)}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": authorization}


def _document(answer: HttpAnswer) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(answer.body)  # noqa: S314 - bounded, and expat resolves nothing from outside
    except ElementTree.ParseError as error:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), STAGE) from error
