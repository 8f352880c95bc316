"""Put objects back from the copy, and see that what lies in the copy is what was kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct, convert

from samaops.changes.objects.comparing import Found, is_same, shown, together
from samaops.changes.objects.proving import VERIFY, Proving
from samaops.changes.objects.restoring import PROVE, PUT_BACK, RESTORE, Part, Restoring
from samaops.changes.run import progress
from samaops.changes.run.objects.copying import storage_of, store_of, take_odd, told
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.lists import nameless, read, written
from samaops.clients.object_store import ObjectStore
from samaops.clients.s3_listing import PAGE_SECONDS, Storage, listing
from samaops.clients.shells import ShellPool
from samaops.facts.objects import Kept, ObjectDifferences
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site.site import Site

STAGE = "objects"
_EXAMPLES, _MOST_NAMED = 5, 10
_BLOCK_BYTES = 256 * 1024


class Place(Struct, frozen=True):
    """Both ends: where the objects are kept, and where they belong."""

    store: ObjectStore
    storage: Storage


class Proof(Struct, frozen=True):
    """What a copy is worth: how many objects of a run were looked at, their bytes, and those that are not as kept."""

    objects: int
    bytes: int
    damaged: tuple[str, ...]


@contextmanager
def place_of(site: Site) -> Iterator[Place]:
    """Yield both ends. Raises ClientError."""
    shells = ShellPool(site.settings)
    try:
        yield Place(store_of(site, shells), storage_of(site))
    finally:
        shells.close()


def differences(site: Site, run: str, taken_at: str, part: Part, identifier: str) -> ObjectDifferences:
    """Compare the storage with what a run kept. Raises ClientError."""
    counts = {"same": 0, "missing": 0, "missing_bytes": 0, "different": 0, "different_bytes": 0, "extra": 0}
    examples: list[str] = []
    gone: list[str] = []
    with place_of(site) as place:
        for found, kept in _compared(place, run, part, gone):
            if kept is None:
                counts["extra"] += 1
            elif found is not None and is_same(found, kept):
                counts["same"] += 1
            else:
                kind = "missing" if found is None else "different"
                counts[kind] += 1
                counts[f"{kind}_bytes"] += kept.bytes
                if len(examples) < _EXAMPLES:
                    examples.append(shown(kept.path))
    return ObjectDifferences(
        id=identifier,
        run=run,
        taken_at=taken_at,
        missing_buckets=tuple(gone),
        examples=tuple(examples),
        **counts,
    )


def prove(site: Site, run: str, part: Part | None = None) -> Proof:
    """Read all that was kept of a run through, and compare its sums with the list. Raises ClientError."""
    with place_of(site) as place:
        wanted = written(
            kept for kept in place.store.kept(run) if (part or Part()).holds(kept.bucket, kept.key)
        )
        proof = _proved(place.store, run, "proof", wanted)
        place.store.clear()
        return proof


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    wanted = convert(operation.arguments, Restoring)
    directory = (
        site.settings.backup.objects.directory
        if site.settings.backup and site.settings.backup.objects
        else ""
    )
    if operation.kind == PROVE:
        return (f"cp -al {directory}/current … {directory}/outgoing/{wanted.id}; sha256sum …",)
    source = f"kept/{wanted.id}" if operation.kind == PUT_BACK else f"outgoing/{wanted.id}"
    return (f"rclone copy {directory}/{source} minio: --ignore-times",)


@runs(PROVE, lines=_lines)
def run_prove(operation: Operation, site: Site) -> Outcome:
    """Lay together what is to be put back, and see that it is what was kept; what is not is left out. Raises ClientError."""
    wanted = convert(operation.arguments, Restoring)
    with place_of(site) as place:
        missing = written((kept for _found, kept in _to_put(place, wanted)))
        proof = _proved(place.store, wanted.run, wanted.id, missing)
    return _outcome(
        proof, _("{count} objects are damaged in the copy, or not there, and are left out: {names}")
    )


def _outcome(proof: Proof, of_damaged: str) -> Outcome:
    if proof.damaged:
        words = of_damaged.format(count=len(proof.damaged), names=", ".join(proof.damaged[:_MOST_NAMED]))
        return Outcome(False, words, is_seen=True)
    text = _("{count} objects, {size}: their sums are right")
    words = text.format(count=proof.objects, size=size(proof.bytes))
    return Outcome(True, words, is_seen=True, measured={"objects": proof.objects, "bytes": proof.bytes})


def _lines_of_verify(_operation: Operation, site: Site) -> tuple[str, ...]:
    backup = site.settings.backup
    directory = backup.objects.directory if backup and backup.objects else ""
    return (f"sha256sum {directory}/current/…",)


@runs(VERIFY, lines=_lines_of_verify)
def run_verify(operation: Operation, site: Site) -> Outcome:
    """Read all objects of a run, and say which are not as they were kept. Raises ClientError."""
    proof = prove(site, convert(operation.arguments, Proving).run)
    return _outcome(proof, _("{count} objects are damaged in the copy, or not there: {names}"))


@runs(RESTORE, lines=_lines)
def run_restore(operation: Operation, site: Site) -> Outcome:
    """Keep what would be overwritten, put back, list again. Raises ClientError."""
    wanted = convert(operation.arguments, Restoring)
    with place_of(site) as place:
        return _Restore(place, wanted).run()


@runs(PUT_BACK, lines=_lines)
def run_put_back(operation: Operation, site: Site) -> Outcome:
    """Put back what a restore has overwritten. Raises ClientError."""
    wanted = convert(operation.arguments, Restoring)
    with place_of(site) as place:
        code, complaint = place.store.put(place.storage, f"kept/{wanted.id}", _tell)
        if code:
            return Outcome(False, complaint)
        decoder = msgspec.json.Decoder(Kept)
        for line in place.store.noted(f"kept/{wanted.id}.jsonl"):
            _put_odd(place, decoder.decode(line))
    return Outcome(True)


class _Restore:
    """One restore."""

    def __init__(self, place: Place, wanted: Restoring) -> None:
        self._place, self._wanted = place, wanted

    def run(self) -> Outcome:
        overwritten, names, odd = nameless(), nameless(), []
        count = 0
        for found, kept in _to_put(self._place, self._wanted):
            if found is not None:
                count += 1
                if not kept.is_odd:
                    names.write(found.path.encode() + b"\n")
            if kept.is_odd:
                odd.append((found, kept))
        if count > self._wanted.most_different:
            text = _("{count} objects would be overwritten now, and the plan said {planned}: look again")
            words = text.format(count=count, planned=self._wanted.most_different)
            return Outcome(False, words, is_seen=True)
        self._keep(names, [found for found, _kept in odd if found is not None], overwritten)
        self._make_buckets()
        code, complaint = self._place.store.put(self._place.storage, f"outgoing/{self._wanted.id}", _tell)
        if code:
            return Outcome(False, f"rclone: {complaint}")
        for _found, kept in odd:
            _put_odd(self._place, kept)
        return self._seen([kept for _found, kept in odd])

    def _keep(self, names: BinaryIO, odd: list[Found], overwritten: BinaryIO) -> None:
        """Keep what is there now and would be overwritten. Raises ClientError where not all of it could be."""
        place, storage = f"kept/{self._wanted.id}", self._place.storage
        names.seek(0)
        expected = sum(1 for _line in names)
        if expected:
            brought = self._place.store.fetch(storage, names, place, _tell)
            came = sum(1 for _each in brought.arrived)
            if came < expected:
                text = _("only {count} of {wanted} objects that would be overwritten could be kept: {reason}")
                words = text.format(count=came, wanted=expected, reason=brought.complaint)
                raise ClientError(FailureKind.ERROR, words, STAGE)
        if odd:
            encoder = msgspec.json.Encoder()
            for found in odd:
                overwritten.write(encoder.encode(take_odd(storage, self._place.store, found)) + b"\n")
            self._place.store.note(f"kept/{self._wanted.id}.jsonl", overwritten)

    def _make_buckets(self) -> None:
        with self._place.storage.connect(PAGE_SECONDS) as connection:
            seen = set(_buckets(connection))
            wanted = {kept.bucket for kept in self._place.store.kept(self._wanted.run)}
            for name in sorted(wanted - seen):
                if self._wanted.part.bucket in ("", name):
                    connection.make_bucket(name)

    def _seen(self, odd: list[Kept]) -> Outcome:
        """List again: what was laid together must be there now, as it was kept."""
        there = self._place.store.files(f"outgoing/{self._wanted.id}")
        put, put_bytes = len(odd), sum(kept.bytes for kept in odd)
        paths = nameless()
        for path, count in there:
            put, put_bytes = put + 1, put_bytes + count
            paths.write(path.encode() + b"\n")
        paths.seek(0)
        lines = iter(paths)
        left = []
        path = next(lines, b"").decode().rstrip("\n")
        for _found, kept in _to_put(self._place, self._wanted):
            while path and path < kept.path:
                path = next(lines, b"").decode().rstrip("\n")
            if path == kept.path or kept.is_odd:
                left.append(shown(kept.path))
        if left:
            text = _("{count} objects are not as they were, after they were put back: {names}")
            return Outcome(False, text.format(count=len(left), names=", ".join(left[:_MOST_NAMED])))
        self._place.store.clear()
        words = _("{count} objects put back, {size}").format(count=put, size=size(put_bytes))
        return Outcome(True, words, is_seen=True, measured={"objects": put, "bytes": put_bytes})


def _tell(copying: Any) -> None:
    progress.tell(told(copying))


def _to_put(place: Place, wanted: Restoring) -> Iterator[tuple[Found | None, Kept]]:
    """Yield what is missing (None) or different, with what was kept of it."""
    for found, kept in _compared(place, wanted.run, wanted.part, []):
        if kept is not None and not (found is not None and is_same(found, kept)):
            yield found, kept


def _compared(
    place: Place, run: str, part: Part, gone: list[str]
) -> Iterator[tuple[Found | None, Kept | None]]:
    """Yield what is there and what was kept, side by side; buckets that are not there go into ``gone``."""
    kept = written(each for each in place.store.kept(run) if part.holds(each.bucket, each.key))
    buckets = {each.bucket for each in read(kept, Kept)}
    with place.storage.connect(PAGE_SECONDS) as connection:
        seen = set(_buckets(connection))
    gone += sorted(buckets - seen)
    asked = sorted((buckets | ({part.bucket} & seen)) & seen, key=lambda name: name + "/")

    def found() -> Iterator[Found]:
        for bucket in asked:
            for each in listing(place.storage, bucket):
                if part.holds(bucket, each.key):
                    yield Found(bucket, each.key, each.bytes, each.etag)

    for _path, there, then in together(found(), read(kept, Kept), lambda each: each.path):
        yield there, then


def _proved(store: ObjectStore, run: str, identifier: str, wanted: BinaryIO) -> Proof:
    """Lay together what is wanted of a run, drop what is not as it was kept, and return what that was."""
    names, damaged = (
        nameless(),
        nameless(),
    )
    bad: list[str] = []
    count = total = 0
    for kept in read(wanted, Kept):
        count, total = count + 1, total + kept.bytes
        if not kept.is_odd:
            names.write(kept.path.encode() + b"\n")
        elif not _is_odd_whole(store, kept):
            bad.append(shown(kept.path))
    sums = store.build(run, identifier, names)
    path, digest = next(sums, ("", ""))
    for kept in read(wanted, Kept):
        if kept.is_odd:
            continue
        is_whole = path == kept.path and digest == kept.sha256
        if path == kept.path:
            if not is_whole:
                damaged.write(path.encode() + b"\n")
            path, digest = next(sums, ("", ""))
        if not is_whole:
            bad.append(shown(kept.path))
    if damaged.tell():
        store.drop(f"outgoing/{identifier}", damaged)
    return Proof(count, total, tuple(bad))


def _is_odd_whole(store: ObjectStore, kept: Kept) -> bool:
    try:
        with store.odd(kept.sha256) as file:
            digest = hashlib.sha256()
            for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
                digest.update(block)
            return digest.hexdigest() == kept.sha256
    except ClientError as error:
        if error.kind is FailureKind.ERROR:  # not there
            return False
        raise


def _put_odd(place: Place, kept: Kept) -> None:
    with place.store.odd(kept.sha256) as file, place.storage.connect(place.store.seconds) as connection:
        connection.put(kept.bucket, kept.key, file, kept.sha256)


def _buckets(connection: Any) -> tuple[str, ...]:
    return tuple(connection.buckets())
