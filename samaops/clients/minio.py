"""Talk S3 to MinIO: list the buckets, once, without retries.

The one request is signed here (AWS Signature Version 4): importing the SDK takes longer than the answer.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timezone
from urllib.parse import urlsplit

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, get, kind_of_status
from samaops.i18n import _
from samaops.model.failure import FailureKind

# Any will do for MinIO; naming one saves a question about the bucket's own.
REGION = "us-east-1"
STAGE = "list buckets"
_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED_HEADERS = "host;x-amz-content-sha256;x-amz-date"
_NO_BODY = hashlib.sha256(b"").hexdigest()

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
    host = parts.netloc.rpartition("@")[2]
    headers = signed_headers(host, access_key, secret_key, datetime.now(timezone.utc))
    try:
        answer = get(f"{parts.scheme}://{host}/", timeout=timeout, headers=headers)
    except ClientError as error:
        raise ClientError(error.kind, error.message, STAGE) from error
    if answer.status != 200:
        raise _refused(answer)
    texts = _texts(answer)
    if texts is None or "ListAllMyBucketsResult" not in texts:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), STAGE)
    return tuple(texts.get("Name", ()))


def signed_headers(host: str, access_key: str, secret_key: str, now: datetime) -> dict[str, str]:
    """Return the headers of a signed ``GET /`` (AWS, "Create a signed AWS API request")."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{REGION}/s3/aws4_request"
    canonical = (
        f"GET\n/\n\nhost:{host}\nx-amz-content-sha256:{_NO_BODY}\nx-amz-date:{moment}\n\n"
        f"{_SIGNED_HEADERS}\n{_NO_BODY}"
    )
    to_sign = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return {
        "Host": host,
        "x-amz-content-sha256": _NO_BODY,
        "x-amz-date": moment,
        "Authorization": f"{_ALGORITHM} Credential={access_key}/{scope},"
        f" SignedHeaders={_SIGNED_HEADERS}, Signature={signature}",
    }


def _refused(answer: HttpAnswer) -> ClientError:
    texts = _texts(answer) or {}
    if "Error" not in texts:
        if answer.status >= 500:
            return ClientError(kind_of_status(answer.status), f"HTTP {answer.status}", STAGE)
        return ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), STAGE)
    code, message = (next(iter(texts.get(name, ())), "") for name in ("Code", "Message"))
    return ClientError(_KIND_OF_CODE.get(code, FailureKind.ERROR), f"{code}: {message}"[:200], STAGE)


def _texts(answer: HttpAnswer) -> dict[str, list[str]] | None:
    """Return the texts of an XML answer by the names of their elements; None when it is no XML."""
    from xml.etree import ElementTree

    if b"<!" in answer.body:  # S3 declares nothing; entities are how a small document becomes a huge one
        return None
    try:
        root = ElementTree.fromstring(answer.body)  # noqa: S314 - bounded in size, and without declarations
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    texts: dict[str, list[str]] = {}
    for element in root.iter():
        texts.setdefault(element.tag.rpartition("}")[2], []).append(element.text or "")
    return texts
