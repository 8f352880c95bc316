"""Remove a backup that has expired, or say in its row why it is kept for ever."""

from __future__ import annotations

import shlex
from functools import partial

from msgspec import convert
from msgspec.structs import replace

from samaops.changes.backup.copy import directory_at, places
from samaops.changes.backup.pin import PIN, Pinning
from samaops.changes.backup.prune import REMOVE, Removing
from samaops.changes.run.backup_create import stored
from samaops.changes.run.backup_physical import as_typed, asked, ran
from samaops.changes.run.operations import runs
from samaops.clients import pgbackrest, server_job
from samaops.clients.backup_copy import CopyPlace
from samaops.clients.backup_store import Store, is_own_id
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.facts.backup_run import GUIDE, PGBACKREST, WHOLE, Run
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site import shell_words
from samaops.site.commands import on_server
from samaops.site.site import Site


def _remove_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of, backup = convert(operation.arguments, Removing), site.settings.backup
    if of.label and backup is not None:
        command = pgbackrest.expire(backup, of.label, of.repository, of.fulls_with_log)
        return (as_typed(site, operation.server, command),)
    base = backup.directory.rstrip("/") if backup else ""
    path = f"{base}/{of.id}" if of.engine == GUIDE else f"{base}/samaops/{of.id}"
    copies = [place for name in of.copies if backup for place in places(backup, name)]
    there = (
        on_server(
            site, place.server or "", f"rm -rf {shlex.quote(f'{directory_at(place, site.name)}/{of.id}')}"
        )
        for place in copies
    )
    return (*there, on_server(site, operation.server, f"rm -rf {shlex.quote(path)}"))


@runs(REMOVE, lines=_remove_lines)
def remove(operation: Operation, site: Site) -> Outcome:
    """Remove one backup, its copies and its row. Raises ClientError.

    The row stays while a copy does that could not be removed: the next time it goes with it.
    """
    of = convert(operation.arguments, Removing)
    with stored(site) as store:
        row = store.row(of.id)
        if row is not None and row.pinned:  # the last look was a moment ago
            raise ClientError(FailureKind.ERROR, _("{id} was pinned meanwhile").format(id=of.id), "backup")
        if of.label:
            _expire(of, store, operation.timeout_seconds)
        if row is not None and of.copies and is_own_id(of.id):
            left = _remove_copies(of, site, store)
            if left:
                store.remove_data(of.id)
                text = _("{id} is removed here, and its copy is not: {reasons}")
                return Outcome(False, text.format(id=of.id, reasons=joined(left)), is_seen=True)
        store.remove(Run(of.id, site.name, WHOLE, of.engine, ""))
    return Outcome(True, _("{id} is removed").format(id=of.id))


def _remove_copies(of: Removing, site: Site, store: Store) -> list[str]:
    """Remove the copies of a backup on other servers, and from its row; return of each that is left why. Raises ClientError."""
    left: list[str] = []
    shells = ShellPool(site.settings)
    try:
        for name in of.copies:
            for place in places(store.backup, name):
                try:
                    shell = shells.of(place.server or "")
                    there = CopyPlace(shell, directory_at(place, site.name), store.backup.timeout)
                    there.remove(of.id)
                except ClientError as error:
                    left.append(f"{name}: {error}")
                    continue
                store.update(of.id, partial(_without, name))
    finally:
        shells.close()
    return left


def _without(place: str, row: Run | None) -> Run:
    if row is None:
        raise ClientError(FailureKind.MISSING, _("its row is gone"), "backup")
    return replace(row, copies={name: since for name, since in row.copies.items() if name != place})


def _expire(of: Removing, store: Store, seconds: float) -> None:
    """Have pgBackRest remove a backup, if none was made upon it meanwhile. Raises ClientError."""
    backup = store.backup
    with server_job.begun(store.shell, backup.os_user) as job:
        upon = [each for each in asked(job, backup).backups if of.label in each.needs]
        if upon:
            text = _("{label} was made upon it meanwhile")
            raise ClientError(FailureKind.ERROR, text.format(label=upon[-1].label), "pgbackrest")
        command = pgbackrest.expire(backup, of.label, of.repository, of.fulls_with_log)
        ran(job, command, seconds, "pgbackrest expire")


def _pin_lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Pinning)
    if of.reason:
        return (f"samaops backup pin {shell_words.quoted(of.id)} --reason {shell_words.quoted(of.reason)}",)
    return (f"samaops backup unpin {shell_words.quoted(of.id)}",)


@runs(PIN, lines=_pin_lines)
def pin(operation: Operation, site: Site) -> Outcome:
    """Write into the row why it is kept. Raises ClientError."""
    of = convert(operation.arguments, Pinning)

    def change(row: Run | None) -> Run:
        if row is None and of.engine not in (GUIDE, PGBACKREST):
            raise ClientError(FailureKind.MISSING, _("{id} has no row").format(id=of.id), "backup")
        row = row or Run(of.id, site.name, WHOLE, of.engine, of.started_at, of.started_at, bytes=of.bytes)
        return replace(row, pinned=of.reason)

    with stored(site) as store:
        store.update(of.id, change)
    return Outcome(True)
