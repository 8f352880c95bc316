"""Make a backup, from its row to its name. Whatever ends it early, no backup is taken for whole that is not.

The row is written first, before any hook. All that runs on the server ends with us (``server_job``), and holds the
directory of the run meanwhile: whoever comes later sees that it died, and removes it.
"""

from __future__ import annotations

import logging
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

import msgspec
from msgspec import convert
from msgspec.structs import replace

from samaops import __version__
from samaops.changes.backup.create import CREATE, ROOM_FACTOR, Creating
from samaops.changes.run import backup_parts, progress
from samaops.changes.run.objects import copying as object_copy
from samaops.changes.run.operations import runs
from samaops.clients import backup_dump, server_job
from samaops.clients.backup_dump import DATABASE_DIRECTORY, Database, Dumping, ReadThrough
from samaops.clients.backup_store import MANIFEST, Store
from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient
from samaops.clients.server_job import ServerJob
from samaops.clients.shells import ShellPool
from samaops.config.backup_settings import Backup, BackupHook
from samaops.facts.backup_run import (
    DUMP,
    FAILED,
    PARTIAL,
    STARTED,
    WHOLE,
    DatabaseProperties,
    File,
    Grade,
    Grades,
    Manifest,
    Part,
    Run,
)
from samaops.i18n import _, joined
from samaops.journal.lock import this_process_now
from samaops.model.failure import FailureKind
from samaops.model.plan import LeftOut, Operation, Outcome
from samaops.model.quantities import duration, size
from samaops.site import redaction
from samaops.site.commands import on_server
from samaops.site.site import Site

logger = logging.getLogger(__name__)
# Its own words of why it failed, as they stand in its row.
_MOST_REASON = 500


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of, backup = convert(operation.arguments, Creating), configured(site)
    programs = backup_dump.programs_of(of.major)
    directory = shlex.quote(f"{backup.directory.rstrip('/')}/samaops/ID{PARTIAL}")
    wait = round(backup.lock_wait * 1000)
    commands = (
        f"{programs}/pg_dump -F d -Z 1 -j {of.jobs} --lock-wait-timeout={wait} -f {directory}/database {shlex.quote(of.database)}",
        f"{programs}/pg_dumpall --globals-only -f {directory}/globals.sql",
        f"{programs}/pg_restore -f /dev/null {directory}/database",
    )
    as_user = f"sudo -u {backup.os_user}"
    return tuple(on_server(site, operation.server, f"{as_user} {command}") for command in commands)


@runs(CREATE, lines=_lines)
def create(operation: Operation, site: Site) -> Outcome:
    """Make a backup. Raises ClientError where not even its row could be written: then nothing was begun."""
    shells = ShellPool(site.settings)
    backup = configured(site)
    try:
        store = Store(shells.of(backup.server), backup, site.name)
        return Creation(convert(operation.arguments, Creating), store, site, shells).make()
    finally:
        shells.close()


def new_id(now: datetime) -> str:
    """Return the id of a run: the time in UTC, and four digits by chance."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


class Creation:
    """One run on its way. What is made of the database is a dump; of another engine, another ``_make``."""

    engine = DUMP

    def __init__(
        self, of: Creating, store: Store, site: Site, shells: ShellPool, identifier: str = ""
    ) -> None:
        self._of, self._store, self._site, self._shells = of, store, site, shells
        self._backup = store.backup
        now = datetime.now(timezone.utc)
        owner = this_process_now()
        self._row = Run(
            identifier or new_id(now),
            site.name,
            STARTED,
            self.engine,
            # To the millisecond: which of two runs of one second is the newer one is told by it.
            now.isoformat(timespec="milliseconds"),
            by=f"{owner.user}@{owner.host}",
        )
        self._read_seconds = 0.0
        self._began = time.monotonic()
        self._warnings: list[str] = []

    @property
    def _id(self) -> str:
        return self._row.id

    def make(self) -> Outcome:
        """Write the row, run, write the row again; the hooks around it."""
        self._store.write_row(self._row)
        try:
            summary = self._run()
        except ClientError as error:
            words = f"{error.stage}: {error.message}" if error.stage else error.message
            return self._failed(words)
        except KeyboardInterrupt:
            return self._failed(_("interrupted"), is_interrupted=True)
        except (OSError, ValueError, KeyError) as error:  # a file of this machine, an answer that is none
            logger.exception("the backup %s failed", self._id)
            return self._failed(f"{type(error).__name__}: {error}")
        self._after("after_success", WHOLE)
        measured = {
            "id": self._id,
            "bytes": self._row.bytes,
            "seconds": round(time.monotonic() - self._began, 1),
        }
        return Outcome(True, summary, is_seen=True, measured=measured, left_out=self._left_out())

    def _left_out(self) -> tuple[LeftOut, ...]:
        return tuple(LeftOut(f"backup/{self._id}", words) for words in self._warnings)

    def _run(self) -> str:
        path = self._store.begin(self._id)
        with server_job.begun(self._store.shell, self._backup.os_user, path) as job:
            self._remove_the_dead()
            self._hook(job, "before", STARTED)
            manifest = self._make(job, path)
        raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        self._store.put(self._id, MANIFEST, raw)
        progress.tell(_("all of it goes to the disk"))
        self._store.finish(self._id)
        self._end(manifest, raw)
        return self._summary(manifest)

    def _summary(self, manifest: Manifest) -> str:
        text = _("{id}: {size} in {seconds}, {rows} rows in {tables} tables; read through to its end")
        return text.format(
            id=self._id, size=size(self._row.bytes or 0), seconds=duration(time.monotonic() - self._began),
            rows=sum(manifest.rows.values()), tables=len(manifest.rows),
        )  # fmt: skip

    def _end(self, manifest: Manifest, raw: bytes) -> None:
        """Write the row of a run that is whole."""
        changes: dict[str, Any] = {
            "state": WHOLE,
            "ended_at": now(),
            "bytes": sum(file.bytes for file in manifest.files) + len(raw),
            "grades": self._grades(),
            "manifest_sha256": backup_parts.sha256(raw),
            **self._known(),
        }
        self._row = self._store.update(self._id, lambda row: replace(row or self._row, **changes))

    def _grades(self) -> Grades:
        good = Grade(now(), is_good=True)
        return Grades(stored=good, readable=replace(good, seconds=round(self._read_seconds, 1)))

    def _known(self) -> dict[str, Any]:
        """Return what is written into the row of a whole run besides."""
        return {}

    # --- before ----------------------------------------------------------------------------------------------

    def _remove_the_dead(self) -> None:
        """Remove what is left of runs that died and of removals that did not end; never where somebody is at work."""
        for left in self._store.left():
            if not left.is_running and self._store.discard(left.name):
                self._warn(_("{name} was left by a run that died, and is removed").format(name=left.name))
        for row in self._store.rows().rows:
            if row.state == STARTED and row.id != self._id and row.id in self._of.dead:
                died = replace(row, state=FAILED, ended_at=now(), reason=_("it was killed"))
                self._store.update(row.id, lambda _row, died=died: died)  # type: ignore[misc]
                if row.id in self._store.whole():  # killed before its row said so: nobody vouches for it
                    self._store.remove(died)
                    self._store.write_row(died)

    # --- the run itself --------------------------------------------------------------------------------------

    def _make(self, job: ServerJob, path: str) -> Manifest:
        return self._dumped(job, path, self._database())

    def _dumped(self, job: ServerJob, path: str, database: Database) -> Manifest:
        """Dump a database, gather what a bad day needs besides, read the dump, and say what there is."""
        version = backup_dump.version(job, database)
        about = backup_dump.about(job, database)
        self._require_fit(version, about)
        self._dump(job, database, path)
        parts = self._parts(job, database, about)
        seen = self._read(job, database, path)
        return self._manifest(job, path, about, parts, version=version, seen=seen, objects=self._objects())

    def _parts(self, job: ServerJob, database: Database, about: Mapping[str, Any]) -> tuple[Part, ...]:
        parts = tuple(
            backup_parts.gather(job, database, self._store, self._id, self._site, about, self._shells)
        )
        for part in parts:
            if part.left_out and part.is_failure:
                self._warn(f"{part.part.name}: {part.left_out}")
        return tuple(part.part for part in parts)

    def _manifest(
        self, job: ServerJob, path: str, about: Mapping[str, Any], parts: tuple[Part, ...],
        *, version: str, seen: ReadThrough, objects: str | None,
    ) -> Manifest:  # fmt: skip
        return Manifest(
            id=self._id, site=self._site.name, server=self._backup.server, database=self._of.database, engine=self.engine,
            started_at=self._row.started_at, ended_at=now(), by=self._row.by,
            server_version=about["server_version"], client_version=version, lsn=about["lsn"] or "",
            properties=convert(about["properties"], DatabaseProperties), rows=seen.rows, files=self._files(job, path),
            parts=parts, newest=seen.newest, revision=seen.revision, images=self._of.images,
            objects=objects, encrypted_to=self._backup.recipient or "", samaops_version=__version__,
        )  # fmt: skip

    def _database(self) -> Database:
        settings = self._site.settings.postgresql
        assert settings is not None
        directory = ""
        client = PostgresClient(self._site.host_of(settings), settings, settings.timeout)
        with suppress(ClientError):  # then it is where Debian has it
            try:
                client.connect()
                directory = backup_dump.socket_directory_of(
                    client.read_one("socket_directories")["directories"]
                )
            finally:
                client.close()
        return Database(self._of.database, self._of.port, directory, backup_dump.programs_of(self._of.major))

    def _require_fit(self, version: str, about: Mapping[str, Any]) -> None:
        """Raise ClientError where the program is of another major than the server, or there is no room."""
        majors = int(version.split(".", 1)[0]), int(about["version_number"]) // 10_000
        if majors[0] != majors[1]:
            text = _("pg_dump is of version {version}, the server of {server}")
            raise ClientError(
                FailureKind.ERROR, text.format(version=version, server=about["server_version"]), "pg_dump"
            )
        needed = round((self._of.bytes or 0) * ROOM_FACTOR)
        free = self._store.free_bytes()
        if free < needed:
            text = _("{free} are free, and it may need {needed}")
            raise ClientError(FailureKind.ERROR, text.format(free=size(free), needed=size(needed)), "df")

    def _dump(self, job: ServerJob, database: Database, path: str) -> None:
        directory = f"{path}/{DATABASE_DIRECTORY}"
        moments = backup_dump.ask(job, database, "backup_moments")
        self._store.put(self._id, backup_parts.MOMENTS, moments.encode("utf-8"))
        began = time.monotonic()
        script = backup_dump.dump_script(
            database, directory, Dumping(self._of.jobs, self._backup.lock_wait, self._of.major)
        )
        done = job.run(
            script,
            self._backup.timeout,
            f"du -sb {shlex.quote(directory)} | cut -f 1",
            lambda words: progress.tell(_so_far(words, self._of.bytes, time.monotonic() - began)),
        )
        if done.exit_code:
            words = backup_dump.last_words(done.stderr) or _("exit code {code}").format(code=done.exit_code)
            if waited_for := backup_dump.waited_for(done.stderr):
                text = _("others have locked a table for more than {seconds:g} s: {statement}")
                words = text.format(seconds=self._backup.lock_wait, statement=waited_for)
            raise ClientError(FailureKind.ERROR, words, "pg_dump")

    def _read(self, job: ServerJob, database: Database, path: str) -> ReadThrough:
        """Read the dump through to its end, as it lies on the disk, and count what is in it."""
        began = time.monotonic()
        script = backup_dump.read_script(
            database.programs, f"{path}/{DATABASE_DIRECTORY}", f"{path}/{backup_parts.MOMENTS}"
        )
        text = _("it is read through to its end, since {seconds}")
        done = job.run(
            script,
            self._backup.timeout,
            "echo",
            lambda _words: progress.tell(text.format(seconds=duration(time.monotonic() - began))),
        )
        if done.exit_code:
            words = backup_dump.last_words(done.stderr) or _("exit code {code}").format(code=done.exit_code)
            raise ClientError(FailureKind.ERROR, words, "pg_restore")
        seen = backup_dump.read_through(done.stdout)
        self._read_seconds = time.monotonic() - began
        return seen

    def _files(self, job: ServerJob, path: str) -> tuple[File, ...]:
        progress.tell(_("its sums are made"))
        done = job.run(f"rm -f {shlex.quote(path)}/{backup_parts.MOMENTS}; " + backup_dump.sums_script(path, self._of.jobs),
                       self._backup.timeout)  # fmt: skip
        if done.exit_code:
            raise ClientError(FailureKind.ERROR, backup_dump.last_words(done.stderr), "sha256sum")
        sums, there = backup_dump.sums_in(done.stdout), self._store.files(path)
        if sums.keys() != there.keys():
            text = _("{count} files have no sum")
            raise ClientError(
                FailureKind.ERROR, text.format(count=len(there.keys() ^ sums.keys())), "sha256sum"
            )
        return tuple(File(name, there[name][1], sums[name]) for name in sorted(sums))

    def _objects(self) -> str | None:
        """Copy the objects, after the database: objects too many do no harm. The dump is whole also without them."""
        if self._backup.objects is None or self._site.settings.minio is None:
            return None
        try:
            run = object_copy.take(self._site, self._id, progress.tell)
        except ClientError as error:
            self._warn(_("objects: {reason}").format(reason=f"{error.stage}: {error.message}"))
            return None
        for words in (run.reason, *run.left_out):
            if words:
                self._warn(_("objects: {reason}").format(reason=words))
        return run.id if run.state == WHOLE else None

    # --- after -----------------------------------------------------------------------------------------------

    def _failed(self, reason: str, *, is_interrupted: bool = False) -> Outcome:
        """Write why it failed, remove what there is of it, and run the hooks of a failure."""
        reason = str(redaction.redacted(reason, self._site))[:_MOST_REASON]
        progress.tell(_("it has failed: {reason}").format(reason=reason))
        left = ""
        try:
            self._fresh()
            self._store.update(
                self._id, lambda row: replace(row or self._row, state=FAILED, ended_at=now(), reason=reason)
            )
            self._store.discard(self._id + PARTIAL)
        except ClientError as error:
            text = _("its row could not be written: {reason}; the next run says that it died")
            left = text.format(reason=error.message)
        self._after("after_failure", FAILED)
        words = joined(filter(None, (reason, left, *self._warnings)))
        return Outcome(False, words, is_seen=True, is_interrupted=is_interrupted)

    def _fresh(self) -> None:
        """Use a connection of which nothing bad is known."""
        if not self._store.shell.is_well:
            self._shells.close()
            self._shells = ShellPool(self._site.settings)
            self._store = replace(self._store, shell=self._shells.of(self._backup.server))

    def _after(self, name: BackupHook, state: str) -> None:
        """Run the hooks after a run; that one fails is told, and changes nothing about the run."""
        for hook in (name, "finally"):
            if not self._backup.hooks.get(hook):
                continue
            try:
                with server_job.begun(self._store.shell, self._backup.os_user) as job:
                    self._hook(job, hook, state)
            except ClientError as error:
                self._warn(f"{error.stage}: {error.message}")

    def _hook(self, job: ServerJob, name: BackupHook, state: str) -> None:
        """Run a command line of the site. Raises ClientError where it fails."""
        command = self._backup.hooks.get(name, "")
        if not command:
            return
        progress.tell(_("the hook {name} runs").format(name=name))
        values = {"ID": self._id, "STATE": state, "DIRECTORY": self._backup.directory}
        exports = "".join(
            f"SAMAOPS_BACKUP_{key}={shlex.quote(value)}; export SAMAOPS_BACKUP_{key}\n"
            for key, value in values.items()
        )
        done = job.run(exports + command, self._backup.hook_timeout)
        if done.exit_code:
            text = _("exit code {code}: {words}").format(code=done.exit_code, words=done.reason())
            raise ClientError(FailureKind.ERROR, text, _("the hook {name}").format(name=name))

    def _warn(self, words: str) -> None:
        self._warnings.append(str(redaction.redacted(words, self._site))[:_MOST_REASON])


def _so_far(words: str, expected: int | None, seconds: float) -> str:
    """Say how much is written; how much is left only where the last one tells it."""
    written = int(words) if words.isdecimal() else 0
    if not expected or not written or written > expected:
        return _("dump: {written} written").format(written=size(written))
    left = seconds * (expected - written) / written
    text = _("dump: {written} of about {expected}, {percent:.0f} %, about {left} left")
    percent = 100 * written / expected
    return text.format(written=size(written), expected=size(expected), percent=percent, left=duration(left))


def now() -> str:
    """Return the time as the rows have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def configured(site: Site) -> Backup:
    """Return the section of the backups. Raises ClientError."""
    if site.settings.backup is None:
        raise ClientError(FailureKind.MISSING, _("[backup] is not configured"), "backup")
    return site.settings.backup


@contextmanager
def stored(site: Site) -> Iterator[Store]:
    """Yield the store of a site's backups. Raises ClientError."""
    shells, backup = ShellPool(site.settings), configured(site)
    try:
        yield Store(shells.of(backup.server), backup, site.name)
    finally:
        shells.close()
