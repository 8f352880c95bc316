"""What is observed of uploads to MinIO that were never finished: which, since when, how large."""

from __future__ import annotations

import time
from collections.abc import Iterator

from samaops.clients import s3_uploads
from samaops.clients.errors import ClientError
from samaops.clients.minio import S3Connection
from samaops.clients.s3_listing import Storage
from samaops.collect.engine import Probe
from samaops.collect.minio import url_of_server
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import MinIO
from samaops.facts.minio import Upload, UploadsFacts
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

# One upload by its bucket and the name of its object: ``selection.of``.
OF = "maintenance.uploads.of"
# For all listings and counts of one look.
LOOK_SECONDS = 20.0
# Of the largest interest are the oldest: a request for each.
_MOST_COUNTED, _MOST_UPLOADS = 200, 5000


def _storage(site: Site) -> Iterator[Target]:
    minio = site.settings.minio
    if minio is not None:
        yield Target(minio.server, minio, minio.server, LOOK_SECONDS + SPARE_SECONDS)


@collects(
    "maintenance",
    UploadsFacts,
    targets=_storage,
    feeds=("maintenance.uploads",),
    kind="uploads",
    on_request=True,
)
def look(minio: MinIO, site: Site, probe: Probe) -> UploadsFacts:
    """List them, of all buckets or of the objects that are asked for by name. Raises ClientError."""
    storage = storage_of(minio, site)
    named = tuple(name.partition("/") for name in probe.named(OF))
    with storage.connect(min(LOOK_SECONDS, probe.remaining())) as connection:
        if named:
            return _of_objects(connection, tuple((bucket, key) for bucket, _slash, key in named))
        return _of_buckets(connection, probe)


def storage_of(minio: MinIO, site: Site) -> Storage:
    """Return where the objects are, and who asks. Raises ClientError where nobody is configured."""
    if not minio.access_key or minio.secret_key is None:
        message = _("[minio] access_key and secret_key are not configured")
        raise ClientError(FailureKind.MISSING, message, "configuration")
    return Storage(url_of_server(minio, site), minio.access_key, minio.secret_key.reveal())


def _of_objects(connection: S3Connection, named: tuple[tuple[str, str], ...]) -> UploadsFacts:
    """List those of some objects: by its exact name every MinIO lists them."""
    found: list[Upload] = []
    for bucket, key in dict.fromkeys(named):
        listed, _is_all = s3_uploads.uploads(connection, bucket, key)
        found += (s3_uploads.parts(connection, each) for each in listed)
    return UploadsFacts(time.time(), tuple(dict.fromkeys(bucket for bucket, _key in named)), tuple(found))


def _of_buckets(connection: S3Connection, probe: Probe) -> UploadsFacts:
    probe.stage("list buckets")
    buckets = connection.buckets()
    found: list[Upload] = []
    unread: list[tuple[str, str]] = []
    is_partial = False
    for bucket in buckets:
        probe.stage(s3_uploads.LIST)
        try:
            listed, is_all = s3_uploads.uploads(connection, bucket, most=_MOST_UPLOADS)
        except ClientError as error:
            if error.kind is not FailureKind.PERMISSION:
                raise
            unread.append((bucket, error.message))
            continue
        found += listed
        is_partial |= not is_all
    found.sort(key=lambda upload: upload.begun)
    probe.stage(s3_uploads.PARTS)
    counted = tuple(_counted(connection, each) for each in found[:_MOST_COUNTED])
    is_partial |= len(found) > _MOST_COUNTED
    present = tuple(each for each in counted if each is not None)
    return UploadsFacts(time.time(), buckets, (*present, *found[_MOST_COUNTED:]), tuple(unread), is_partial)


def _counted(connection: S3Connection, upload: Upload) -> Upload | None:
    """Return an upload with its parts; None where it was finished or aborted meanwhile."""
    try:
        return s3_uploads.parts(connection, upload)
    except ClientError as error:
        if error.message.startswith("NoSuchUpload"):
            return None
        raise
