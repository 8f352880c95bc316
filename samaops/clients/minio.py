"""Talk S3 to MinIO: signed requests, once, without retries, within one time limit."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, BinaryIO
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection, authority_of, whole
from samaops.i18n import _
from samaops.model.failure import FailureKind

REGION = "us-east-1"  # any will do for MinIO
STAGE = "list buckets"
_WORDS_CHARACTERS = 300
# A name has at most 63 characters, a MinIO some tens of buckets.
_LONGEST_NAME, _MOST_BUCKETS = 255, 10_000
_NO_BODY = hashlib.sha256().hexdigest()

# S3's error codes (MinIO, "S3 API error responses").
_KIND_OF_CODE = {
    "InvalidAccessKeyId": FailureKind.AUTHENTICATION,
    "SignatureDoesNotMatch": FailureKind.AUTHENTICATION,
    "AccessDenied": FailureKind.PERMISSION,
    "NoSuchBucket": FailureKind.MISSING,
    "NoSuchKey": FailureKind.MISSING,
    "XMinioServerNotInitialized": FailureKind.UNAVAILABLE,
    "SlowDown": FailureKind.UNAVAILABLE,
    "SlowDownWrite": FailureKind.UNAVAILABLE,
    "XMinioStorageFull": FailureKind.UNAVAILABLE,
    "ServiceUnavailable": FailureKind.UNAVAILABLE,
    "InternalError": FailureKind.UNAVAILABLE,
}


def list_buckets(url: str, access_key: str, secret_key: str, timeout: float) -> tuple[str, ...]:
    """Return the names of the buckets these credentials see, within ``timeout`` in all. Raises ClientError."""
    with S3Connection(url, access_key, secret_key, timeout) as connection:
        return connection.buckets()


class S3Connection:
    """Signed requests over one connection, within one time limit. Raises ClientError."""

    def __init__(self, url: str, access_key: str, secret_key: str, timeout: float) -> None:
        self._authority, self._keys = authority_of(url), (access_key, secret_key)
        self._connection = HttpConnection(url, timeout=timeout)

    def __enter__(self) -> S3Connection:
        return self

    def __exit__(self, *error: Any) -> None:
        self._connection.__exit__(*error)

    def request(
        self,
        method: str,
        target: str,
        body: bytes | BinaryIO = b"",
        *,
        payload: str = "",
        sink: Callable[[bytes], Any] | None = None,
        stage: str = "",
    ) -> HttpAnswer:
        """Make one request of a path, its parameters in order and quoted, and return an answer that is a success.

        ``payload`` is the SHA-256 of a body that is a file; ``sink`` takes a body that may be large.
        """
        payload = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else payload
        headers = signed(
            Request(method, target, payload), self._authority, self._keys, datetime.now(timezone.utc)
        )
        answer = self._connection.request(method, target, body or None, headers, sink)
        if answer.status not in (200, 204):
            raise _refusal(answer, stage or method)
        whole(answer, stage or method)
        return answer

    def buckets(self) -> tuple[str, ...]:
        """Return the names of the buckets these credentials see."""
        document = xml_of(self.request("GET", "/", stage=STAGE), STAGE)
        if document.find("{*}Buckets") is None:
            raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), STAGE)
        names = document.findall("{*}Buckets/{*}Bucket/{*}Name")
        return tuple((name.text or "")[:_LONGEST_NAME] for name in names[:_MOST_BUCKETS])

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket."""
        self.request("PUT", f"/{quote(bucket, safe='')}", stage="make bucket")

    def restart(self, seconds: float) -> None:
        """Let the next request have so long on the same connection."""
        self._connection.limit.restart(seconds)

    def page(self, bucket: str, after: str, most: int = 1000) -> Page:
        """List objects whose names come after this one, at most so many, in the order of their names' bytes."""
        names = {"encoding-type": "url", "list-type": "2", "max-keys": str(most), "start-after": after}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in names.items() if value)
        return _page(xml_of(self.request("GET", f"/{quote(bucket, safe='')}?{query}"), "list objects"))

    def folders(self, bucket: str) -> tuple[str, ...]:
        """Return the first parts of the names up to a slash, of the first thousand names and parts."""
        query = "delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000"
        document = xml_of(self.request("GET", f"/{quote(bucket, safe='')}?{query}"), "list objects")
        decode = unquote if document.findtext("{*}EncodingType") == "url" else str
        return tuple(decode(each.text or "") for each in document.findall("{*}CommonPrefixes/{*}Prefix"))

    def get(self, bucket: str, key: str, sink: Callable[[bytes], Any]) -> HttpAnswer:
        """Get an object, of whatever size, a block at a time; the answer holds its headers."""
        return self.request("GET", _target(bucket, key), sink=sink, stage="GET")

    def put(self, bucket: str, key: str, content: BinaryIO, sha256: str) -> None:
        """Put an object whose SHA-256 is known, from a file at its beginning."""
        self.request("PUT", _target(bucket, key), content, payload=sha256, stage="PUT")

    def pass_through(self, bucket: str, name: str, body: bytes) -> bytes:
        """Put an object, get it, delete it: also its version where the bucket keeps versions."""
        target = f"/{bucket}/{name}"
        version = self.request("PUT", target, body).headers.get("x-amz-version-id", "null")
        try:
            return self.request("GET", target).body
        finally:
            of_version = f"?versionId={quote(version, safe='')}" if version != "null" else ""
            self.request("DELETE", target + of_version)


class Listed(Struct, frozen=True, array_like=True):
    """An object as S3 lists it; ``etag`` is no checksum of one that was put in parts."""

    key: str
    bytes: int
    etag: str


class Page(Struct, frozen=True):
    """A part of a listing; more follows where it is not the last."""

    objects: tuple[Listed, ...]
    is_last: bool


def _page(document: ElementTree.Element) -> Page:
    """Return what a page of a listing holds. Raises ClientError."""
    if not document.tag.endswith("ListBucketResult"):
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), "list objects")
    decode = unquote if document.findtext("{*}EncodingType") == "url" else str
    objects = []
    for element in document.iterfind("{*}Contents"):
        words = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
        try:
            size = int(words["Size"])
            objects.append(Listed(decode(words["Key"]), size, words.get("ETag", "").strip('"')))
        except (KeyError, ValueError) as error:
            raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), "list objects") from error
    return Page(tuple(objects), document.findtext("{*}IsTruncated") != "true")


def _target(bucket: str, key: str) -> str:
    return f"/{quote(bucket, safe='')}/{quote(key, safe='/-_.~')}"


class Request(Struct, frozen=True):
    """What is signed of a request: its method, its path with its parameter, and the SHA-256 of its body."""

    method: str
    target: str
    payload: str = _NO_BODY


def signed(request: Request, authority: str, keys: tuple[str, str], moment: datetime) -> Mapping[str, str]:
    """Return the headers of a request, signed for a host and a moment (AWS Signature Version 4).

    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    path, _mark, query = request.target.partition("?")
    headers = {"host": authority, "x-amz-content-sha256": request.payload, "x-amz-date": stamp}
    lines, names = "".join(f"{name}:{value}\n" for name, value in headers.items()), ";".join(headers)
    canonical = "\n".join((request.method, path, query, lines, names, request.payload))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = (stamp[:8], REGION, "s3", "aws4_request")
    key = b"AWS4" + keys[1].encode()
    for word in (*scope, "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), digest))):
        key = hmac.digest(key, word.encode(), "sha256")
    credential = f"{keys[0]}/{'/'.join(scope)}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": authorization}


def _refusal(answer: HttpAnswer, stage: str) -> ClientError:
    document = xml_of(answer, stage)
    code = document.findtext("{*}Code") or f"HTTP {answer.status}"
    words = f"{code}: {document.findtext('{*}Message')}"
    return ClientError(_KIND_OF_CODE.get(code, FailureKind.ERROR), words[:_WORDS_CHARACTERS], stage)


class _WithoutDoctype(ElementTree.TreeBuilder):
    """S3 declares no entities: with those, a hundred bytes become a gigabyte."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Refuse it before it is read."""
        raise ElementTree.ParseError(f"{name}, {public}, {system}")


def xml_of(answer: HttpAnswer, stage: str) -> ElementTree.Element:
    """Return an answer's XML, read without entities. Raises ClientError."""
    parser = ElementTree.XMLParser(target=_WithoutDoctype())  # noqa: S314 - bounded, without entities
    try:
        return ElementTree.fromstring(whole(answer, stage), parser)  # noqa: S314
    except (
        ElementTree.ParseError,
        LookupError,
        ValueError,
    ) as error:  # an encoding that is none, or cannot be read
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), stage) from error
