"""Uploads in parts that were begun and never finished: list them, count their parts, abort one.

MinIO lists all of a bucket without a prefix, and with one only those whose name it is exactly; before 2024 it lists
nothing without the exact name (minio#11686, minio#20989). So a listing that is empty proves little, and one by a name proves all.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from samaops.clients.errors import ClientError
from samaops.clients.minio import S3Connection, xml_of
from samaops.facts.minio import Upload
from samaops.i18n import _
from samaops.model.failure import FailureKind

LIST, PARTS, ABORT = "list uploads", "list parts", "abort upload"
_PAGE = 1000
# S3 takes at most ten thousand parts.
_MOST_PAGES = 10


def uploads(
    connection: S3Connection, bucket: str, key: str = "", most: int = _PAGE
) -> tuple[tuple[Upload, ...], bool]:
    """Return the unfinished uploads of a bucket, or of one object, and whether these are all. Raises ClientError."""
    found: list[Upload] = []
    after = ("", "")
    while True:
        names = {
            "encoding-type": "url",
            "key-marker": after[0],
            "max-uploads": str(min(_PAGE, most)),
            "prefix": key,
            "upload-id-marker": after[1],
        }
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in names.items() if value)
        # The parameters are signed in their order: "uploads" stands between the others.
        target = f"/{quote(bucket, safe='')}?{_ordered(query, 'uploads=')}"
        page = xml_of(connection.request("GET", target, stage=LIST), LIST)
        found += _page(page, bucket)
        if page.findtext("{*}IsTruncated") != "true":
            return _of(found, key), True
        following = (_text(page, "NextKeyMarker"), _text(page, "NextUploadIdMarker"))
        if len(found) >= most:
            return _of(found, key), False
        if following == after or not following[0]:
            raise ClientError(
                FailureKind.GARBAGE,
                _("the listing does not go on after {name}").format(name=ascii(after[0])[:100]),
                LIST,
            )
        after = following


def parts(connection: S3Connection, upload: Upload) -> Upload:
    """Return an upload with how many parts it has, their bytes, and when the newest came. Raises ClientError."""
    count = total = 0
    latest, after = upload.latest, ""
    for _each in range(_MOST_PAGES):
        query = f"max-parts={_PAGE}"
        query = f"{query}&part-number-marker={after}" if after else query
        target = f"{_target(upload)}?{query}&uploadId={quote(upload.id, safe='')}"
        page = xml_of(connection.request("GET", target, stage=PARTS), PARTS)
        if page.findtext("{*}UploadId") != upload.id:
            raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), PARTS)
        for part in page.iterfind("{*}Part"):
            count, total = count + 1, total + _number(part.findtext("{*}Size"))
            latest = max(latest, _moment(part.findtext("{*}LastModified"), PARTS))
        if page.findtext("{*}IsTruncated") != "true":
            break
        after = page.findtext("{*}NextPartNumberMarker") or ""
    return Upload(upload.bucket, upload.key, upload.id, upload.begun, latest, count, total)


def abort(connection: S3Connection, bucket: str, key: str, id_: str) -> bool:
    """Abort an upload: its parts are gone. Return whether it was still there. Raises ClientError."""
    upload = Upload(bucket, key, id_, 0.0, 0.0)
    try:
        connection.request("DELETE", f"{_target(upload)}?uploadId={quote(id_, safe='')}", stage=ABORT)
    except ClientError as error:
        if error.message.startswith("NoSuchUpload"):
            return False
        raise
    return True


def _ordered(query: str, more: str) -> str:
    return "&".join(sorted([*query.split("&"), more]))


def _of(found: list[Upload], key: str) -> tuple[Upload, ...]:
    return tuple(each for each in found if key in ("", each.key))


def _page(page: ElementTree.Element, bucket: str) -> Iterator[Upload]:
    if not page.tag.endswith("ListMultipartUploadsResult"):
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), LIST)
    decode = unquote if page.findtext("{*}EncodingType") == "url" else str
    for element in page.iterfind("{*}Upload"):
        key, id_ = element.findtext("{*}Key"), element.findtext("{*}UploadId")
        if not key or not id_:
            raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), LIST)
        begun = _moment(element.findtext("{*}Initiated"), LIST)
        yield Upload(bucket, decode(key), id_, begun, begun)


def _text(page: ElementTree.Element, name: str) -> str:
    decode = unquote if page.findtext("{*}EncodingType") == "url" and name == "NextKeyMarker" else str
    return decode(page.findtext(f"{{*}}{name}") or "")


def _moment(text: str | None, stage: str) -> float:
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), stage) from error


def _number(text: str | None) -> int:
    if not text or not text.isdigit():
        raise ClientError(FailureKind.GARBAGE, _("the answer is not S3's"), PARTS)
    return int(text)


def _target(upload: Upload) -> str:
    return f"/{quote(upload.bucket, safe='')}/{quote(upload.key, safe='/-_.~')}"
