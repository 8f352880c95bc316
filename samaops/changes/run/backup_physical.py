"""Make a backup with pgBackRest, and prove all that its repository has. What a bad day needs besides is gathered as for a dump."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from msgspec import convert
from msgspec.structs import replace

from samaops.changes.backup.create import Creating
from samaops.changes.backup.physical import CREATE
from samaops.changes.backup.verify import REPOSITORY
from samaops.changes.run import progress
from samaops.changes.run.backup_create import Creation, configured, now, stored
from samaops.changes.run.operations import runs
from samaops.clients import backup_dump, pgbackrest, server_job
from samaops.clients.backup_dump import ASK_SECONDS, ReadThrough
from samaops.clients.backup_store import Store
from samaops.clients.database_server import DatabaseServer
from samaops.clients.errors import ClientError
from samaops.clients.server_job import ServerJob
from samaops.clients.shells import ShellPool
from samaops.config.backup_settings import Backup
from samaops.facts.backup_run import (
    PGBACKREST,
    WHOLE,
    Grade,
    Grades,
    Manifest,
    Physical,
    Run,
    Stanza,
    moment_at,
)
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import duration, size
from samaops.site.commands import on_server
from samaops.site.site import Site

STAGE = "pgbackrest"
# To list a repository that is on another server.
INFO_SECONDS = 60.0
# A segment that is archived late: pgbackrest's own archive-timeout is a minute.
_CHECK_SECONDS = 180.0
_MOST_NAMED = 5


def as_typed(site: Site, server: str | None, command: str) -> str:
    """Return a command line of pgBackRest as a person types it."""
    command = command.replace(pgbackrest.SILENT, "")
    return on_server(site, server, f"sudo -u {configured(site).os_user} {command}")


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of, backup = convert(operation.arguments, Creating), configured(site)
    commands = (pgbackrest.check(backup), pgbackrest.make(backup, of.kind, "ID"))
    return tuple(as_typed(site, operation.server, command) for command in commands)


@runs(CREATE, lines=_lines)
def create(operation: Operation, site: Site) -> Outcome:
    """Make a backup. Raises ClientError where not even its row could be written: then nothing was begun."""
    shells, backup = ShellPool(site.settings), configured(site)
    try:
        store = Store(shells.of(backup.server), backup, site.name)
        return PhysicalCreation(convert(operation.arguments, Creating), store, site, shells).make()
    finally:
        shells.close()


class PhysicalCreation(Creation):
    """A run of pgBackRest on its way: its directory has the manifest, and what a bad day needs besides."""

    engine = PGBACKREST

    def _make(self, job: ServerJob, path: str) -> Manifest:
        database = self._database()
        about = backup_dump.about(job, database)
        parts = self._parts(job, database, about)
        progress.tell(_("the log is switched, and waited for in the archive"))
        ran(job, pgbackrest.check(self._backup), _CHECK_SECONDS, "pgbackrest check")
        self._back_up(job)
        self._made = self._in_repository(job)
        objects = self._objects()
        manifest = self._manifest(
            job,
            path,
            about,
            parts,
            version=pgbackrest_version(job),
            seen=ReadThrough({}, {}, None),
            objects=objects,
        )
        return replace(manifest, label=self._made.label)

    def _back_up(self, job: ServerJob) -> None:
        began = time.monotonic()
        text = _("pgBackRest makes a backup ({kind}), since {seconds}")

        def tell(_words: str) -> None:
            progress.tell(text.format(kind=self._of.kind, seconds=duration(time.monotonic() - began)))

        command = pgbackrest.make(self._backup, self._of.kind, self._id)
        done = job.run(f"exec nice -n 10 {command}", self._backup.timeout, "echo", tell)
        if done.exit_code:
            raise ClientError(FailureKind.ERROR, pgbackrest.last_words(done.stderr or done.stdout), STAGE)

    def _in_repository(self, job: ServerJob) -> Physical:
        for backup in reversed(asked(job, self._backup).backups):
            if backup.run == self._id:
                if backup.has_error:
                    text = _("PostgreSQL has found pages that are damaged while it was read: {label}")
                    self._warn(text.format(label=backup.label))
                return backup
        raise ClientError(
            FailureKind.ERROR, _("pgBackRest says that it made it, and does not list it"), STAGE
        )

    def _grades(self) -> Grades:
        return Grades()  # nobody has read it again yet

    def _known(self) -> dict[str, Any]:
        made = self._made
        return {"label": made.label, "kind": made.kind, "bytes": made.bytes}

    def _summary(self, _manifest: Manifest) -> str:
        text = _("{id}: {kind}, {label}, {size} in the repository for {all} of the cluster, in {seconds}")
        return text.format(
            id=self._id, kind=self._made.kind, label=self._made.label, size=size(self._made.bytes),
            all=size(self._made.database_bytes), seconds=duration(time.monotonic() - self._began),
        )  # fmt: skip


def ran(job: ServerJob, command: str, seconds: float, stage: str) -> str:
    """Run a command line of pgBackRest and return what it wrote. Raises ClientError with its own reason."""
    done = job.run(f"exec {command}", seconds)
    if done.exit_code:
        raise ClientError(FailureKind.ERROR, pgbackrest.last_words(done.stderr or done.stdout), stage)
    return done.stdout


def asked(job: ServerJob, backup: Backup) -> Stanza:
    """Return what pgBackRest tells of the stanza. Raises ClientError."""
    stanza = pgbackrest.stanza_in(
        ran(job, pgbackrest.info(backup), INFO_SECONDS, "pgbackrest info"), backup.stanza
    )
    if stanza.reason:
        raise ClientError(FailureKind.GARBAGE, stanza.reason, "pgbackrest info")
    return stanza


def pgbackrest_version(job: ServerJob) -> str:
    """Return the version of pgBackRest. Raises ClientError."""
    return ran(job, f"{pgbackrest.PROGRAM} version", ASK_SECONDS, STAGE).strip().rpartition(" ")[2]


# --- proving ---------------------------------------------------------------------------------------------------


def _proving_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    backup = configured(site)
    commands = (pgbackrest.verify(backup), pgbackrest.segments(backup))
    return tuple(as_typed(site, operation.server, command) for command in commands)


@runs(REPOSITORY, lines=_proving_lines)
def prove(operation: Operation, site: Site) -> Outcome:
    """Prove all backups of the repository; where that cannot be done, nothing is said about them."""
    try:
        with stored(site) as store, server_job.begun(store.shell, store.backup.os_user) as job:
            return _proved(store, job, site, operation.timeout_seconds)
    except ClientError as error:
        text = _("the repository could not be proved: {reason}")
        words = f"{error.stage}: {error.message}" if error.stage else error.message
        return Outcome(False, text.format(reason=words), is_seen=True)
    except KeyboardInterrupt:
        return Outcome(False, _("interrupted"), is_seen=True, is_interrupted=True)


def _segment_bytes(store: Store, site: Site) -> int:
    """Return how large a segment of the log is; what nobody has changed where PostgreSQL does not answer."""
    settings = site.settings.postgresql
    server = DatabaseServer(store.shell, store.backup.os_user, settings.port if settings else 5432)
    try:
        return int(server.ask("segment", ASK_SECONDS)[0]["bytes"])
    except (ClientError, LookupError):
        return pgbackrest.SEGMENT_BYTES


def _proved(store: Store, job: ServerJob, site: Site, seconds: float) -> Outcome:
    began, backup = time.monotonic(), store.backup
    text = _("pgBackRest reads its repository through to its end, since {seconds}")

    def tell(_words: str) -> None:
        progress.tell(text.format(seconds=duration(time.monotonic() - began)))

    done = job.run(f"exec nice -n 10 {pgbackrest.verify(backup)}", seconds, "echo", tell)
    if done.exit_code:
        raise ClientError(
            FailureKind.ERROR, pgbackrest.last_words(done.stderr or done.stdout), "pgbackrest verify"
        )
    found = pgbackrest.damages_in(done.stdout)
    stanza = asked(job, backup)
    found = _with_log(found, stanza, job, backup, _segment_bytes(store, site))
    took = round(time.monotonic() - began, 1)
    damaged = []
    for physical in stanza.backups:
        if physical.label not in found:
            continue  # made since, or in a repository that was not read
        reason = found[physical.label]
        _write(store, physical, site, Grade(now(), not reason, reason, took))
        if reason:
            name = physical.run or physical.label
            damaged.append(_("{id} is damaged: {reason}").format(id=name, reason=reason))
    if damaged:
        return Outcome(False, "; ".join(damaged[:_MOST_NAMED]), is_seen=True)
    words = _(
        "{count} backups of the repository and the log that they need: all of it was read, and is right ({seconds})"
    )
    return Outcome(
        True,
        words.format(count=len(found), seconds=duration(took)),
        is_seen=True,
        measured={"backups": len(found)},
    )


def _with_log(
    found: Mapping[str, str], stanza: Stanza, job: ServerJob, backup: Backup, segment_bytes: int
) -> dict[str, str]:
    """Return the damages with those that ``verify`` does not see: segments that are gone from the archive."""
    repositories = {physical.repository for physical in stanza.backups if physical.label in found}
    there = {repository: _segments(job, backup, repository) for repository in repositories}
    damages = dict(found)
    for physical in stanza.backups:
        if found.get(physical.label) != "":
            continue
        gone = pgbackrest.missing_segments(
            physical.wal_start, physical.wal_stop, there[physical.repository], segment_bytes
        )
        if gone:
            text = _("the log that it needs is not in the archive any more: {segments}")
            damages[physical.label] = text.format(segments=", ".join(gone))
    return _with_needs(damages, stanza)


def _with_needs(damages: dict[str, str], stanza: Stanza) -> dict[str, str]:
    """Return the damages with those of backups that are nothing without a damaged one."""
    for physical in stanza.backups:  # the oldest first
        broken = [label for label in physical.needs if damages.get(label)]
        if broken and damages.get(physical.label) == "":
            damages[physical.label] = _("it needs {label}, which is damaged").format(label=broken[0])
    return damages


def _segments(job: ServerJob, backup: Backup, repository: int) -> frozenset[str]:
    """Return the segments of the log that are in an archive. Raises ClientError."""
    done = job.run(pgbackrest.segments_script(backup, repository), INFO_SECONDS)
    if done.exit_code:
        raise ClientError(FailureKind.ERROR, pgbackrest.last_words(done.stderr), "pgbackrest repo-ls")
    return frozenset(backup_dump.unpacked(done.stdout, "pgbackrest repo-ls"))


def _write(store: Store, physical: Physical, site: Site, grade: Grade) -> None:
    """Write how far a backup is proved into its row; one that samaops has not made gets a row by it."""
    identifier = physical.run or physical.label
    fresh = Run(
        identifier, site.name, WHOLE, PGBACKREST, moment_at(physical.started), moment_at(physical.stopped),
        bytes=physical.bytes, label=physical.label, kind=physical.kind,
    )  # fmt: skip

    def change(row: Run | None) -> Run:
        row = row or fresh
        return replace(row, grades=replace(row.grades, stored=grade, readable=grade))

    store.update(identifier, change)
