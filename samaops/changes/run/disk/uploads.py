"""Abort an unfinished upload, as a step of a plan."""

from __future__ import annotations

from msgspec import convert

from samaops.changes.disk.uploads import ABORT, Aborting
from samaops.changes.run.operations import runs
from samaops.clients import s3_uploads
from samaops.clients.errors import ClientError
from samaops.collect.maintenance.uploads import storage_of
from samaops.collect.minio import url_of_server
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site import shell_words
from samaops.site.site import Site


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Aborting)
    url = url_of_server(site.settings.minio, site) if site.settings.minio else ""
    words = (
        "aws",
        "--endpoint-url",
        url,
        "s3api",
        "abort-multipart-upload",
        "--bucket",
        of.bucket,
        "--key",
        of.key,
    )
    return (shell_words.joined((*words, "--upload-id", of.id)),)


@runs(ABORT, lines=_lines)
def abort(operation: Operation, site: Site) -> Outcome:
    """Abort it; one that is gone meanwhile is well. Raises ClientError."""
    of = convert(operation.arguments, Aborting)
    minio = site.settings.minio
    if minio is None:
        raise ClientError(FailureKind.ABSENT, _("[minio] is not configured"), "configuration")
    with storage_of(minio, site).connect(minio.timeout) as connection:
        was_there = s3_uploads.abort(connection, of.bucket, of.key, of.id)
    words = _("{size} given back").format(size=size(of.bytes)) if was_there else _("it was gone already")
    return Outcome(True, words, measured={"bytes": of.bytes if was_there else 0})
