"""Bring a backup to another place, and see that it is whole there, before the catalogue says so."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone

from msgspec import convert
from msgspec.structs import replace

from samaops.changes.backup.copy import COPY, Copying, directory_at, places, where
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients.backup_copy import CopyPlace, Source
from samaops.clients.backup_store import MANIFEST, Store
from samaops.clients.errors import ClientError
from samaops.clients.restic_copy import Repository
from samaops.clients.shells import ShellPool
from samaops.config.backup_settings import Backup, BackupCopy
from samaops.facts.backup_run import Run
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site.site import Site

STAGE = "backup copy"
_ROOM_FACTOR = 1.1
# So much of a repository is read again after each copy, another part each day: all of it in a week.
CHECK_PARTS = 7
_DAY_SECONDS = 86_400


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Copying)
    backup = site.settings.backup or Backup()
    place = places(backup, of.to)[0]
    source = f"{backup.directory.rstrip('/')}/samaops/{of.id}"
    if place.kind == "server":
        return (
            f"tar -c -C {source} . | ssh {place.server} tar -x -C {directory_at(place, site.name)}/{of.id}.partial",
        )
    return (
        f"restic -r {place.repository} backup --tag {of.id} {source}",
        f"restic -r {place.repository} check --read-data-subset=N/{CHECK_PARTS}",
    )


@runs(COPY, lines=_lines)
def copy(operation: Operation, site: Site) -> Outcome:
    """Copy a backup. Raises ClientError."""
    of, backup = convert(operation.arguments, Copying), site.settings.backup
    if backup is None:
        raise ClientError(FailureKind.MISSING, _("[backup] is not configured"), STAGE)
    place = places(backup, of.to)[0]
    shells = ShellPool(site.settings)
    try:
        store = Store(shells.of(backup.server), backup, site.name)
        row = store.row(of.id)
        if row is None:
            return Outcome(False, _("{id} is not in the catalogue").format(id=of.id), is_seen=True)
        if place.kind == "server":
            summary = _to_server(site, store, row, place, shells)
        else:
            summary = _to_restic(site, store, of, row, place)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        store.update(
            of.id,
            lambda row: replace(_there(row, of.id), copies={**_there(row, of.id).copies, place.name: now}),
        )
    finally:
        shells.close()
    return Outcome(True, summary, measured={"place": place.name, "bytes": row.bytes or 0})


def _there(row: Run | None, identifier: str) -> Run:
    if row is None:
        raise ClientError(FailureKind.MISSING, _("{id} is not in the catalogue").format(id=identifier), STAGE)
    return row


def _to_server(site: Site, store: Store, row: Run, place: BackupCopy, shells: ShellPool) -> str:
    backup = store.backup
    source = Source(store.shell, backup.os_user)
    there = CopyPlace(shells.of(place.server or ""), directory_at(place, site.name), backup.timeout)
    is_there, free = there.look(row.id)
    expected = {file.path: file.sha256 for file in store.manifest(row.id).files}
    expected[MANIFEST] = row.manifest_sha256
    if not is_there:
        if (row.bytes or 0) * _ROOM_FACTOR > free:
            text = _("{free} are free at {place}, and it has {needed}")
            raise ClientError(
                FailureKind.ERROR,
                text.format(free=size(free), place=where(place), needed=size(row.bytes or 0)),
                STAGE,
            )
        try:
            there.take(row.id, source, store.path_of(row), lambda count: _tell(row.id, place, count))
            progress.tell(_("reads {id} again at {place}").format(id=row.id, place=place.name))
            _require_same(expected, there.sums(row.id), place)
        except BaseException:
            with suppress(ClientError):  # the next copy begins by removing it
                there.discard(row.id)
            raise
        there.finish(row.id)
    words = [_("{size} at {place}, all {count} sums are right").format(
        size=size(row.bytes or 0), place=where(place), count=len(expected)
    )]  # fmt: skip
    if backup.objects is not None:
        objects = CopyPlace(there.shell, place.objects_of(site.name), backup.timeout)
        count, total = objects.add_objects(
            source, backup.objects.directory.rstrip("/"), lambda count: _tell("objects", place, count)
        )
        words.append(_("{count} files of objects, {size}").format(count=count, size=size(total)))
    return joined(words)


def _require_same(expected: dict[str, str], seen: dict[str, str], place: BackupCopy) -> None:
    wrong = sorted(path for path in expected.keys() | seen.keys() if expected.get(path) != seen.get(path))
    if wrong:
        text = _("{count} files are not at {place} as they are here: {names}")
        words = text.format(count=len(wrong), place=where(place), names=", ".join(wrong[:5]))
        raise ClientError(FailureKind.ERROR, words, STAGE)


def _to_restic(site: Site, store: Store, of: Copying, row: Run, place: BackupCopy) -> str:
    backup = store.backup
    if place.password is None:
        raise ClientError(FailureKind.MISSING, _("no password is configured"), STAGE)
    repository = Repository(
        store.shell,
        backup.os_user,
        place.repository,
        place.rclone_program,
        place.password.reveal(),
        backup.timeout,
    )
    made = ""
    if not repository.is_there():
        if of.has_others:  # an empty disk in its place would be taken for it
            text = _("there is no repository at {place} any more, and it held copies")
            raise ClientError(FailureKind.MISSING, text.format(place=where(place)), STAGE)
        repository.make()
        made = _("the repository was made")
    directories = [store.path_of(row)]
    if backup.objects is not None:
        directories.append(backup.objects.directory.rstrip("/"))

    def tell(share: float) -> None:
        text = _("copies {id} to {place}: {percent:.0f} %")
        progress.tell(text.format(id=row.id, place=place.name, percent=100 * share))

    added = repository.add(row.id, site.name, tuple(directories), tell)
    if not repository.has(row.id):
        text = _("restic says that it added {id}, and has no snapshot of it")
        raise ClientError(FailureKind.ERROR, text.format(id=row.id), STAGE)
    part = int(datetime.now(timezone.utc).timestamp() // _DAY_SECONDS) % CHECK_PARTS + 1
    progress.tell(_("reads part {part} of {parts} of the repository").format(part=part, parts=CHECK_PARTS))
    repository.check(part, CHECK_PARTS)
    text = _(
        "snapshot {snapshot}, {size} new; part {part} of {parts} of the repository was read and is right"
    )
    words = text.format(snapshot=added.id[:8], size=size(added.bytes_added), part=part, parts=CHECK_PARTS)
    return joined(filter(None, (made, words)))


def _tell(what: str, place: BackupCopy, count: int) -> None:
    progress.tell(_("copies {what} to {place}: {size}").format(what=what, place=place.name, size=size(count)))
