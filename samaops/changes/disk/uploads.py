"""Abort uploads to MinIO that were never finished: each is named, none that a part came to lately."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, to_builtins

from samaops.changes.readings import facts_in, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts import selection
from samaops.facts.minio import Upload, UploadsFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import duration, size
from samaops.site.site import Site

NAME = "disk abort-uploads"
ABORT = "minio.abort_upload"
USUAL_HOURS = "24"
_ALL, _OF = "maintenance.uploads.all", "maintenance.uploads.of"
# A plan of more is read by nobody.
MOST_UPLOADS = 50
_HOUR = 3600.0


class Aborting(Struct, frozen=True):
    """One upload. ``bytes`` is what its parts had when it was planned, 0 where nobody counted them."""

    bucket: str
    key: str
    id: str
    bytes: int = 0


def _codes_of_upload(bucket: str, key: str, *_more: object) -> tuple[str, ...]:
    return (selection.of(_OF, f"{bucket}/{key}"),)


@reading("minio.upload_is_left", codes=_codes_of_upload)
def upload_is_left(snapshot: Snapshot, bucket: str, key: str, id_: str, hours: int = 0) -> Scalar:
    """Return whether an upload is still unfinished, and nothing came to it for so many hours."""
    facts = facts_in(snapshot, UploadsFacts)
    upload = facts.find(bucket, key, id_)
    return upload is not None and facts.epoch - upload.latest >= int(hours) * _HOUR


def _typed(bucket: str = "", hours: str = USUAL_HOURS) -> tuple[str, ...]:
    return (*((bucket,) if bucket else ()), *(() if hours == USUAL_HOURS else ("--older-than", hours)))


def _looks(site: Site, _bucket: str = "", hours: str = USUAL_HOURS) -> tuple[str, ...]:
    if site.settings.minio is None:
        raise RefusedError(_("[minio] is not configured"))
    if not hours.isdigit() or int(hours) < 1:
        raise UsageError(_("{hours!r} is no number of hours, from 1 on").format(hours=hours))
    return (_ALL,)


@verb(NAME, looks=_looks, typed=_typed)
def plan_abort_uploads(snapshot: Snapshot, site: Site, bucket: str = "", hours: str = USUAL_HOURS) -> Plan:
    """Plan that unfinished uploads are aborted to which nothing came for so many hours, of one bucket or of all.

    Guards: each is listed again just before, by the name of its object, and once more after it.
    """
    facts = facts_in(snapshot, UploadsFacts)
    if bucket and bucket not in facts.buckets:
        known = ", ".join(facts.buckets)
        raise UsageError(
            _("there is no bucket {name!r}; there are: {known}").format(name=bucket, known=known)
        )
    of_bucket = [each for each in facts.uploads if bucket in ("", each.bucket)]
    old = [each for each in of_bucket if facts.epoch - each.latest >= int(hours) * _HOUR]
    # What nobody counted may be written to just now.
    left = sorted((each for each in old if each.parts is not None), key=lambda each: -(each.bytes or 0))
    server = site.settings.minio.server if site.settings.minio else ""
    steps = tuple(_step(each, facts.epoch, hours, server) for each in left[:MOST_UPLOADS])
    total = size(sum(each.bytes or 0 for each in left[:MOST_UPLOADS]))
    title = ngettext(
        "Abort {count} unfinished upload of {where}: {size}",
        "Abort {count} unfinished uploads of {where}: {size}",
        len(steps),
    )
    where = bucket or _("all buckets")
    return Plan(
        NAME,
        (bucket, hours),
        title.format(count=len(steps), where=where, size=total),
        target=bucket or server,
        steps=steps,
        nothing_to_do=_("no unfinished upload is listed to which nothing came for {hours} hours").format(
            hours=hours
        ),
        notes=tuple(_notes(facts, of_bucket, left, hours)),
        steps_stand_alone=True,
    )


def _step(upload: Upload, epoch: float, hours: str, server: str) -> Step:
    text = ngettext(
        "Abort the upload of {name} in {bucket}: {size} in {count} part, untouched for {age}",
        "Abort the upload of {name} in {bucket}: {size} in {count} parts, untouched for {age}",
        upload.parts or 0,
    )
    words = {
        "name": upload.key,
        "bucket": upload.bucket,
        "age": duration(epoch - upload.latest),
        "size": size(upload.bytes or 0),
        "count": upload.parts or 0,
    }
    of = (upload.bucket, upload.key, upload.id)
    is_left = _("it is still unfinished, and nothing came to it for {hours} hours").format(hours=hours)
    lost = _("what was sent of {name} in {bucket}; whoever still wants it begins again")
    return Step(
        "minio.abort_upload",
        text.format(**words),
        Risk.DESTRUCTIVE,
        Operation(ABORT, to_builtins(Aborting(*of, upload.bytes or 0)), server, 30.0),
        before=(Condition("minio.upload_is_left", (*of, int(hours)), True, is_left),),
        after=(Condition("minio.upload_is_left", of, False, _("it is listed no more")),),
        no_undo=_("its parts are gone"),
        destroys=lost.format(**words),
        servers=(server,),
        about=f"minio/{server}",
    )


def _notes(facts: UploadsFacts, of_bucket: list[Upload], left: list[Upload], hours: str) -> Iterator[str]:
    young = [each for each in of_bucket if facts.epoch - each.latest < int(hours) * _HOUR]
    if young:
        text = ngettext(
            "{count} is younger than {hours} hours, and stays",
            "{count} are younger than {hours} hours, and stay",
            len(young),
        )
        yield text.format(count=len(young), hours=hours)
    if len(left) > MOST_UPLOADS:
        yield _("{count} more in a next run: {most} at most in one").format(
            count=len(left) - MOST_UPLOADS, most=MOST_UPLOADS
        )
    if facts.is_partial:
        yield _("there are more than were read: the oldest come first")
    for bucket, reason in facts.unread:
        yield _("{bucket}: could not look: {reason}").format(bucket=bucket, reason=reason)
    if not of_bucket:
        yield _(
            "a MinIO before 2024 lists them only by the exact name of an object, and it removes those of a day by itself"
        )
