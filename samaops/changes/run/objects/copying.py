"""Take a copy of all objects: list, compare with the last list, have the rest copied, hash it, keep the list.

The lists lie in files without a name meanwhile, however many objects there are.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from samaops.changes.objects.comparing import (
    GONE,
    NEW,
    REPLACED,
    SAME,
    Difference,
    Found,
    compare,
    lost,
    shown,
)
from samaops.changes.objects.copying import COPY
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.lists import nameless, read, written
from samaops.clients.object_store import Arrived, Copying, ObjectStore
from samaops.clients.s3_listing import PAGE_SECONDS, Storage, listing
from samaops.clients.shells import ShellPool
from samaops.collect.minio import url_of_server
from samaops.collect.objects import runs_in
from samaops.facts.objects import FAILED, STARTED, STOPPED, WHOLE, BucketRun, Kept, ObjectRun
from samaops.i18n import _, joined
from samaops.journal.owner import this_process
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site.site import Site

STAGE = "objects"
_LOOK_SECONDS = 30.0
# Room for what else is written meanwhile.
_SPARE_SHARE = 1.05
_MOST_NAMED = 20
# And in the sentence that says how it ended.
_MOST_TOLD = 5
# A thousand objects are a page; a part of a listing is never smaller than some of these.
_PART_OBJECTS = 5_000
Tell = Callable[[str], None]


def storage_of(site: Site) -> Storage:
    """Return where the objects are. Raises ClientError."""
    minio = site.settings.minio
    if minio is None or not minio.access_key or minio.secret_key is None:
        message = _("[minio] access_key and secret_key are not configured")
        raise ClientError(FailureKind.MISSING, message, "configuration")
    return Storage(url_of_server(minio, site), minio.access_key, minio.secret_key.reveal())


def store_of(site: Site, shells: ShellPool) -> ObjectStore:
    """Return where they are kept. Raises ClientError."""
    backup = site.settings.backup
    if backup is None or backup.objects is None:
        raise ClientError(FailureKind.MISSING, _("[backup.objects] is not configured"), "configuration")
    shell = shells.of(backup.server)
    return ObjectStore(shell, backup.objects.directory.rstrip("/"), backup.os_user, backup.timeout)


def take(site: Site, run: str, tell: Tell) -> ObjectRun:
    """Copy what is new under the id of a run, and return the run as it ended; its row says so too.

    Raises ClientError where not even that could be written.
    """
    shells = ShellPool(site.settings)
    try:
        store = store_of(site, shells)
        store.prepare()
        who = this_process(_now())
        row = ObjectRun(run, site.settings.site, STARTED, who.since, by=f"{who.user}@{who.host}")
        earlier = runs_in(store.look(_LOOK_SECONDS))
        store.write(row)
        try:
            ended = _Taking(site, store, row, earlier, tell).take()
        except ClientError as error:
            ended = replace(row, state=FAILED, reason=f"{error.stage}: {error.message}")
        except BaseException as error:
            store.write(replace(row, state=FAILED, reason=type(error).__name__, ended_at=_now()))
            raise
        ended = replace(ended, ended_at=_now())
        store.write(ended)
        return ended
    finally:
        shells.close()


class _Taking:
    """One run."""

    def __init__(
        self,
        site: Site,
        store: ObjectStore,
        row: ObjectRun,
        earlier: tuple[ObjectRun, ...],
        tell: Tell,
    ) -> None:
        self._site, self._store, self._row, self._tell = site, store, row, tell
        self._storage = storage_of(site)
        self._last = next((each for each in earlier if each.state == WHOLE), None)
        self._counts: dict[str, BucketRun] = {}
        self._left_out: list[str] = []
        self._wanted = self._wanted_bytes = self._copied = 0

    def take(self) -> ObjectRun:
        """Do all of it. Raises ClientError."""
        buckets = self._buckets()
        differences, names = nameless(), nameless()
        self._decide(buckets, differences, names)
        settings = self._site.settings.backup
        assert settings is not None
        assert settings.objects is not None
        if self._last is not None:
            losses = list(lost(dict(self._last.buckets), self._counts, settings.objects.most_lost_percent))
            if losses:
                return replace(self._ended(STOPPED), reason=_stopped(losses, self._last.id))
        self._require_room()
        arrived = self._fetch(names)
        lines, unfit = nameless(), nameless()
        count = self._compose(differences, arrived, lines, unfit)
        if unfit.tell():
            self._store.drop("incoming", unfit)
        self._tell(_("writes the list of {count} objects").format(count=count))
        self._store.store(self._row.id, lines, count)
        return self._ended(WHOLE)

    def _ended(self, state: str) -> ObjectRun:
        left_out = (*self._left_out[:_MOST_NAMED], *(["…"] if len(self._left_out) > _MOST_NAMED else []))
        return replace(
            self._row, state=state, buckets=self._counts, left_out=left_out, sent=self._wanted_bytes
        )

    def _buckets(self) -> list[str]:
        """Return the buckets: those configured and those of the last run, and what else there is where we may see it."""
        minio = self._site.settings.minio
        names = {*(minio.buckets if minio else ()), *(self._last.buckets if self._last else ())}
        with self._storage.connect(PAGE_SECONDS) as connection:
            try:
                seen: set[str] | None = set(connection.buckets())
            except ClientError as error:
                if error.kind is not FailureKind.PERMISSION or not names:
                    raise
                seen = None
        gone = sorted(names - seen) if seen is not None else []
        if gone and (self._last is None or set(gone) - set(self._last.buckets)):
            # Of the last run: told as lost, with how many objects it had.
            text = _("the bucket {name} is not there")
            raise ClientError(FailureKind.MISSING, text.format(name=", ".join(gone)), STAGE)
        return sorted((names | (seen or set())) - set(gone), key=lambda name: name + "/")

    def _decide(self, buckets: list[str], differences: BinaryIO, names: BinaryIO) -> None:
        """Write what each name needs, and the names that rclone copies."""
        last = self._kept()
        cuts = _cuts(last)
        encoder = msgspec.json.Encoder()
        found = self._found(buckets, cuts)
        counts = {name: [0, 0, 0, 0, 0] for name in buckets}
        for each in compare(found, read(last, Kept), self._store.files()):
            bucket = (each.found or each.kept).bucket  # type: ignore[union-attr]
            count = counts.setdefault(bucket, [0, 0, 0, 0, 0])
            if each.found is not None:
                count[0] += 1
                count[1] += each.found.bytes
            count[2] += each.kind == NEW
            count[3] += each.kind == REPLACED
            count[4] += each.kind == GONE
            if each.kind == GONE:
                continue
            differences.write(encoder.encode(each) + b"\n")
            if each.kind != SAME and each.found is not None:
                self._wanted_bytes += each.found.bytes
                if not each.is_odd:
                    self._wanted += 1
                    names.write(each.found.path.encode() + b"\n")
        self._counts = {name: BucketRun(*count) for name, count in counts.items() if name in buckets}

    def _kept(self) -> BinaryIO:
        """Return the list of the last run; an empty one where there is none."""
        if self._last is None:
            return nameless()
        self._tell(_("reads the list of {run}").format(run=self._last.id))
        return written(self._store.kept(self._last.id))

    def _found(self, buckets: list[str], cuts: dict[str, list[str]]) -> Iterator[Found]:
        for bucket in buckets:

            def tell(count: int, bucket: str = bucket) -> None:
                self._tell(_("lists {bucket}: {count} objects").format(bucket=bucket, count=count))

            for each in listing(self._storage, bucket, cuts.get(bucket, ()), tell):
                yield Found(bucket, each.key, each.bytes, each.etag)

    def _require_room(self) -> None:
        free = next(
            (int(line.split()[1]) for line in self._store.look(_LOOK_SECONDS) if line.startswith("free ")), 0
        )
        if self._wanted_bytes * _SPARE_SHARE > free:
            text = _("{needed} are to be copied, and {free} are free in {directory}")
            words = text.format(
                needed=size(self._wanted_bytes), free=size(free), directory=self._store.directory
            )
            raise ClientError(FailureKind.ERROR, words, STAGE)

    def _fetch(self, names: BinaryIO) -> Iterator[Arrived]:
        if self._wanted:
            self._tell(_("copies {count} objects").format(count=self._wanted))
        brought = self._store.fetch(
            self._storage, names, "incoming", lambda copying: self._tell(told(copying))
        )
        # What came is counted here, whatever rclone says: an object that is gone meanwhile is no error to it.
        arrived = nameless()
        encoder, count = msgspec.json.Encoder(), 0
        for each in brought.arrived:
            arrived.write(encoder.encode(each) + b"\n")
            count += 1
        if brought.exit_code and count < self._wanted:
            text = _("rclone ended with {code} after {count} of {wanted} objects: {reason}")
            words = text.format(
                code=brought.exit_code, count=count, wanted=self._wanted, reason=brought.complaint
            )
            raise ClientError(FailureKind.ERROR, words, "rclone")
        return read(arrived, Arrived)

    def _compose(
        self, differences: BinaryIO, arrived: Iterator[Arrived], lines: BinaryIO, unfit: BinaryIO
    ) -> int:
        """Write the list of this run, and what came and is not what was listed; return how many lines it has."""
        differences.seek(0)
        decoder, encoder, count = msgspec.json.Decoder(Difference), msgspec.json.Encoder(), 0
        came = next(arrived, None)
        for line in differences:
            each: Difference = decoder.decode(line)
            kept = each.kept if each.kind == SAME else None
            if each.kind != SAME and each.is_odd:
                kept = self._take_odd(each)
            elif each.kind != SAME and came is not None and each.found and came.path == each.found.path:
                kept = self._fitting(each.found, came)
                if kept is None:
                    unfit.write(came.path.encode() + b"\n")
                    self._leave_out(each.found, _("it changed while it was copied"))
                came = next(arrived, None)
            elif each.kind != SAME and each.found is not None and each.kept is None:
                continue  # gone meanwhile
            kept = kept or each.kept
            if kept is not None:
                lines.write(encoder.encode(kept) + b"\n")
                count += 1
        if came is not None:
            raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), STAGE)
        return count

    def _fitting(self, found: Found, came: Arrived) -> Kept | None:
        """Return what is kept of an object that came, None where it is another than was listed."""
        is_in_parts = "-" in found.etag
        if came.bytes != found.bytes or not (is_in_parts or came.md5 == found.etag):
            return None
        return Kept(found.bucket, found.key, found.bytes, found.etag, came.md5, came.sha256)

    def _leave_out(self, found: Found, reason: str) -> None:
        self._left_out.append(f"{shown(found.path)}: {reason}")

    def _take_odd(self, each: Difference) -> Kept | None:
        """Bring an object through us: it has no name that a file, or a line of a list, could have."""
        assert each.found is not None
        try:
            return take_odd(self._storage, self._store, each.found)
        except ClientError as error:
            if error.kind is not FailureKind.MISSING and error.stage != "GET":
                raise
            self._leave_out(each.found, error.message)
            return None


def take_odd(storage: Storage, store: ObjectStore, found: Found) -> Kept:
    """Bring one object through this machine, and keep it under its sum. Raises ClientError."""
    sha256, md5, count = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with nameless() as file, storage.connect(store.seconds) as connection:

        def sink(block: bytes) -> None:
            nonlocal count
            count += len(block)
            sha256.update(block)
            md5.update(block)
            file.write(block)

        connection.get(found.bucket, found.key, sink)
        store.take_odd(file, sha256.hexdigest())
    etag = found.etag if "-" in found.etag else md5.hexdigest()
    return Kept(found.bucket, found.key, count, etag, md5.hexdigest(), sha256.hexdigest(), is_odd=True)


def _cuts(last: BinaryIO) -> dict[str, list[str]]:
    """Return the names at which listings are cut: those that stand so many objects apart in the last list."""
    last.seek(0)
    cuts: dict[str, list[str]] = {}
    decoder = msgspec.json.Decoder(Kept)
    for number, line in enumerate(last):
        if number % _PART_OBJECTS == 0:
            kept = decoder.decode(line)
            cuts.setdefault(kept.bucket, []).append(kept.key)
    return cuts


def _stopped(losses: list[tuple[str, int, int]], last: str) -> str:
    text = _("{bucket}: {count} of {before} objects are gone or replaced since {run}")
    return "; ".join(
        text.format(bucket=name, count=count, before=before, run=last) for name, count, before in losses
    )


def told(copying: Copying) -> str:
    """Return how far rclone has come, in a sentence."""
    text = _("copies objects: {files} of {total}, {bytes} of {total_bytes}")
    return text.format(
        files=copying.files,
        total=copying.total_files,
        bytes=size(copying.bytes),
        total_bytes=size(copying.total_bytes),
    )


def new_id() -> str:
    """Return an id for a run or a restore that begins now."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _lines(_operation: Operation, site: Site) -> tuple[str, ...]:
    backup = site.settings.backup
    directory = backup.objects.directory if backup and backup.objects else ""
    return (f"rclone copy minio: {directory}/incoming --files-from-raw LIST --no-traverse",)


@runs(COPY, lines=_lines)
def run_copy(_operation: Operation, site: Site) -> Outcome:
    """Take a copy, and say how it ended. Raises ClientError."""
    run = take(site, new_id(), progress.tell)
    if run.state != WHOLE:
        return Outcome(False, run.reason, is_seen=True)
    return Outcome(True, said(run), is_seen=True, measured={"objects": run.objects, "bytes": run.bytes})


def said(run: ObjectRun) -> str:
    """Return what a run brought, in a sentence."""
    counts = [(each.new, each.replaced, each.gone) for each in run.buckets.values()]
    new, replaced, gone = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0, 0)
    text = _("{run}: {count} objects, {size}; {new} new, {replaced} replaced, {gone} gone at the source")
    words = [text.format(run=run.id, count=run.objects, size=size(run.bytes), new=new, replaced=replaced, gone=gone)]  # fmt: skip
    if run.left_out:
        left = _("left out: {names}")
        words.append(left.format(names=joined(run.left_out[:_MOST_TOLD])))
    return joined(words)
