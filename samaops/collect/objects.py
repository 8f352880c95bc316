"""What is observed of the copy of the objects: its runs, and the room it has."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from samaops.clients.errors import ClientError
from samaops.clients.object_store import ObjectStore
from samaops.clients.s3_listing import Storage
from samaops.collect.engine import Probe
from samaops.collect.minio import url_of_server
from samaops.collect.registry import Target, collects
from samaops.config.backup_settings import Backup, BackupCopy
from samaops.facts.objects import ELSEWHERE, ObjectCopyFacts, ObjectRun, ObjectsElsewhere
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.typed import ready
from samaops.site.site import Site

SCRIPT_SECONDS = 6.0
_MOST_BUCKETS = 50


def place(site: Site) -> Iterator[Target]:
    """Yield the place of the copy, where one is configured."""
    backup = site.settings.backup
    if backup is not None and backup.objects is not None:
        seconds = site.shell_seconds(backup.server, SCRIPT_SECONDS)
        seconds += site.settings.minio.timeout if site.settings.minio else 0.0
        yield Target(f"{backup.server}-objects", backup, backup.server, seconds)


@collects("backup", ObjectCopyFacts, targets=place, feeds=("backup.objects",))
def look(backup: Backup, site: Site, probe: Probe) -> ObjectCopyFacts:
    """Read the rows of the runs over the server's shell."""
    assert backup.objects is not None
    directory = backup.objects.directory.rstrip("/")
    store = ObjectStore(probe.shell(backup.server), directory, backup.os_user, backup.timeout)
    probe.stage("runs")
    copied = read(store.look(min(SCRIPT_SECONDS, probe.remaining())), directory, site.settings.site)
    minio = site.settings.minio
    if copied.newest is None or minio is None or not minio.access_key or minio.secret_key is None:
        return copied
    buckets = [name for name, run in copied.newest.buckets.items() if run.objects][:_MOST_BUCKETS]
    seconds = min(minio.timeout, probe.remaining())
    storage = Storage(url_of_server(minio, site), minio.access_key, minio.secret_key.reveal())
    return replace(copied, emptied=probe.attempt("emptied", lambda: _emptied(storage, buckets, seconds)))


def places(site: Site) -> Iterator[Target]:
    """Yield the places on other servers from which copies go with what has expired."""
    backup = site.settings.backup
    if backup is None or backup.objects is None:
        return
    for each in backup.copies:
        if each.kind == "server" and not each.keep_expired and each.server in site.settings.servers:
            seconds = site.shell_seconds(each.server, SCRIPT_SECONDS)
            yield Target(each.name, each, each.server, seconds)


@collects(
    "backup", ObjectsElsewhere, targets=places, feeds=(ELSEWHERE,), kind="objects_elsewhere", on_request=True
)
def look_elsewhere(place: BackupCopy, site: Site, probe: Probe) -> ObjectsElsewhere:
    """Read the rows of the runs that were copied to another server."""
    directory = place.objects_of(site.name)
    probe.stage("runs")
    store = ObjectStore(probe.shell(place.server or ""), directory, "", SCRIPT_SECONDS)
    lines = store.look(min(SCRIPT_SECONDS, probe.remaining()))
    beside = tuple(line.removeprefix("backup ") for line in lines if line.startswith("backup "))
    return ObjectsElsewhere(place.name, read(lines, directory, site.settings.site), beside)


def _emptied(storage: Storage, buckets: Iterable[str], seconds: float) -> tuple[str, ...]:
    """Return those of the buckets that have no object, or are not there. Raises ClientError."""
    emptied = []
    with storage.connect(seconds) as connection:
        for bucket in buckets:
            try:
                is_empty = not connection.page(bucket, "", 1).objects
            except ClientError as error:
                if error.kind is not FailureKind.MISSING:
                    raise
                is_empty = True
            if is_empty:
                emptied.append(bucket)
    return tuple(emptied)


def read(lines: Iterable[str], directory: str, site: str) -> ObjectCopyFacts:
    """Return the facts that the program's answer holds. Raises ClientError."""
    lines = list(lines)
    free = [line for line in lines if line.startswith("free ")]
    if not free:
        raise ClientError(FailureKind.GARBAGE, _("the server's answer is not complete"), "runs")
    return ObjectCopyFacts(
        directory=directory,
        exists="absent" not in lines,
        free_bytes=int(free[0].split()[1]),
        epoch=time.time(),
        runs=tuple(run for run in runs_in(lines) if run.site == site),
        is_busy="busy" in lines,
    )


def runs_in(lines: Iterable[str]) -> tuple[ObjectRun, ...]:
    """Return the rows in the program's answer, newest first; one that cannot be read is none."""
    runs = []
    for line in lines:
        if line.startswith("run "):
            try:
                runs.append(msgspec.json.decode(line[4:], type=ready(ObjectRun)))
            except msgspec.MsgspecError:
                continue  # cut off, or written by hand: the list it names is not relied on then
    return tuple(sorted(runs, key=lambda run: (run.started_at, run.id), reverse=True))
