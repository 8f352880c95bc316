"""Prove one backup: by its sums, and by reading it through to its end. What is found stands in its row.

A damage is a finding of the proof and is written as such; that the proof could not be made is not.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from datetime import datetime, timezone

from msgspec import convert
from msgspec.structs import replace

from samaops.changes.backup.verify import READABLE, STORED, VERIFY, Verifying
from samaops.changes.run import backup_parts, progress
from samaops.changes.run.backup_create import stored
from samaops.changes.run.operations import runs
from samaops.clients import backup_dump, server_job
from samaops.clients.backup_dump import DATABASE_DIRECTORY, ReadThrough
from samaops.clients.backup_store import MANIFEST, Store
from samaops.clients.errors import ClientError
from samaops.clients.server_job import ServerJob
from samaops.facts.backup_run import GUIDE, WHOLE, Grade, Grades, Manifest, Run
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import duration, size
from samaops.site.commands import on_server
from samaops.site.site import Site

_MOST_NAMED = 5
_ARCHIVE = b"PGDMP"


class DamagedError(Exception):
    """A backup is not what it was: which part of it, and how, in a sentence."""


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of, backup = convert(operation.arguments, Verifying), site.settings.backup
    base = backup.directory.rstrip("/") if backup else ""
    path = f"{base}/{of.id}" if of.engine == GUIDE else f"{base}/samaops/{of.id}"
    lines = []
    if of.engine != GUIDE:
        lines.append(f"find {shlex.quote(path)} -type f -exec sha256sum {{}} +")
    if of.grade == READABLE:
        archive = path if of.engine == GUIDE else f"{path}/{DATABASE_DIRECTORY}"
        lines.append(f"pg_restore -f /dev/null {shlex.quote(archive)}")
    return tuple(on_server(site, operation.server, line) for line in lines)


@runs(VERIFY, lines=_lines)
def verify(operation: Operation, site: Site) -> Outcome:
    """Prove one backup; where that cannot be done, nothing is said about it."""
    of = convert(operation.arguments, Verifying)
    try:
        with stored(site) as store, server_job.begun(store.shell, store.backup.os_user) as job:
            return Proof(of, store, job, operation.timeout_seconds).make()
    except ClientError as error:
        text = _("{id} could not be proved: {reason}")
        words = f"{error.stage}: {error.message}" if error.stage else error.message
        return Outcome(False, text.format(id=of.id, reason=words), is_seen=True)
    except KeyboardInterrupt:
        return Outcome(False, _("interrupted"), is_seen=True, is_interrupted=True)


class Proof:
    """One backup under proof."""

    def __init__(self, of: Verifying, store: Store, job: ServerJob, seconds: float) -> None:
        self._of, self._store, self._job, self._seconds = of, store, job, seconds
        self._run = Run(of.id, store.site, WHOLE, of.engine, of.started_at, of.started_at, bytes=of.bytes)
        self._row = store.row(of.id)
        self._sum = ""
        self._path = store.path_of(self._run)

    def make(self) -> Outcome:
        """Prove it, write what was found into its row, and say it."""
        began, grade = time.monotonic(), STORED
        manifest, seen = None, None
        try:
            if self._of.engine != GUIDE:
                manifest = self._stored()
                self._write(STORED, self._grade(began), manifest)
            if self._of.grade == READABLE:
                grade, began = READABLE, time.monotonic()
                seen = self._readable(manifest)
                self._write(READABLE, self._grade(began), manifest)
        except DamagedError as damage:
            self._write(grade, self._grade(began, str(damage)), manifest)
            text = _("{id} is damaged: {reason}")
            return Outcome(False, text.format(id=self._of.id, reason=damage), is_seen=True)
        took = duration(time.monotonic() - began)
        if seen is None:
            words = _("{id}: all sums are right ({seconds})").format(id=self._of.id, seconds=took)
        else:
            text = _("{id}: {rows} rows in {tables} tables, read through to its end ({seconds})")
            rows = sum(seen.rows.values())
            words = text.format(id=self._of.id, rows=rows, tables=len(seen.rows), seconds=took)
        return Outcome(True, words, is_seen=True, measured={"id": self._of.id, "grade": self._of.grade})

    # --- stored ----------------------------------------------------------------------------------------------

    def _stored(self) -> Manifest:
        """Compare all that lies there with the manifest. Raises DamagedError, ClientError."""
        progress.tell(_("{id}: its sums are checked").format(id=self._of.id))
        manifest = self._manifest()
        there = self._store.files(self._path)
        self._require_none((path for path in there if there[path][0] != "f"), _("is no file"))
        there.pop(MANIFEST, None)
        listed = {file.path: file for file in manifest.files}
        self._require_none(listed.keys() - there.keys(), _("is missing"))
        self._require_none(there.keys() - listed.keys(), _("is not in the manifest"))
        self._require_none(
            (path for path in there if there[path][1] != listed[path].bytes), _("has another size")
        )
        done = self._job.run(backup_dump.sums_script(self._path, self._of.jobs), self._seconds)
        if done.exit_code:
            raise self._not_made(done.stderr)
        sums = backup_dump.sums_in(done.stdout)
        self._require_none((path for path in listed if path not in sums), _("cannot be read"))
        self._require_none(
            (path for path in listed if sums[path] != listed[path].sha256), _("has another sum")
        )
        return manifest

    def _manifest(self) -> Manifest:
        """Return the manifest, if it is the one that was written. Raises DamagedError, ClientError."""
        try:
            raw = self._store.manifest_bytes(self._of.id)
            manifest = self._store.decoded_manifest(self._of.id, raw)
        except ClientError as error:
            if error.kind is FailureKind.MISSING:
                raise DamagedError(_("{path} is missing").format(path=MANIFEST)) from error
            if error.kind is FailureKind.GARBAGE:
                raise DamagedError(error.message) from error
            raise
        written = self._row.manifest_sha256 if self._row else ""
        if written and backup_parts.sha256(raw) != written:
            raise DamagedError(_("{path} is not the one that was written").format(path=MANIFEST))
        if _major(manifest.client_version) != _major(manifest.server_version):
            text = _("pg_dump {client} dumped a server of {server}")
            words = {"client": manifest.client_version, "server": manifest.server_version}
            raise DamagedError(text.format(**words))
        return manifest

    def _require_none(self, paths: object, what: str) -> None:
        names = sorted(paths)  # type: ignore[call-overload]
        if names:
            more = "" if len(names) <= _MOST_NAMED else f" (+{len(names) - _MOST_NAMED})"
            raise DamagedError(f"{', '.join(names[:_MOST_NAMED])}{more} {what}")

    # --- readable --------------------------------------------------------------------------------------------

    def _readable(self, manifest: Manifest | None) -> ReadThrough:
        """Read it through to its end and compare what it holds. Raises DamagedError, ClientError."""
        archive = self._path if manifest is None else f"{self._path}/{DATABASE_DIRECTORY}"
        if manifest is None:
            self._sum = self._sum_of_dump()
        programs = backup_dump.programs_of(self._major_to_read(manifest))
        self._require_versions(programs, archive, manifest)
        began = time.monotonic()
        text = _("{id} ({size}) is read through to its end, since {seconds}")
        done = self._job.run(
            backup_dump.read_script(programs, archive),
            self._seconds,
            "echo",
            lambda _words: progress.tell(
                text.format(
                    id=self._of.id, size=size(self._of.bytes or 0), seconds=duration(time.monotonic() - began)
                )
            ),
        )
        if done.exit_code:
            raise self._not_made(done.stderr)
        try:
            seen = backup_dump.read_through(done.stdout)
        except ClientError as error:
            raise DamagedError(error.message) from error
        if manifest is not None and seen.rows != dict(manifest.rows):
            raise DamagedError(_difference(manifest.rows, seen.rows))
        return seen

    def _sum_of_dump(self) -> str:
        """Return the sum of a guide's dump, which is that of its first proof. Raises DamagedError, ClientError."""
        if not self._of.bytes:
            raise DamagedError(_("it has 0 bytes"))
        done = self._job.run(f"sha256sum -b -- {shlex.quote(self._path)}", self._seconds)
        found = done.stdout.split(" ", 1)[0]
        if done.exit_code or not found:
            raise self._not_made(done.stderr)
        is_same_file = self._row is not None and self._is_seen(self._row)
        if self._row is not None and is_same_file and self._row.manifest_sha256 not in ("", found):
            raise DamagedError(_("it has another sum than when it was first read"))
        return found

    def _is_seen(self, row: Run) -> bool:
        """Return whether a row is that of the guide's dump that lies there now."""
        return (row.bytes, row.started_at) == (self._of.bytes, self._of.started_at)

    def _major_to_read(self, manifest: Manifest | None) -> int:
        majors = self._of.majors
        wanted = _major(manifest.server_version) if manifest else max(majors, default=0)
        if wanted not in majors:
            text = _("the server has no pg_restore of PostgreSQL {major}")
            raise ClientError(FailureKind.MISSING, text.format(major=wanted or "?"), "pg_restore")
        return wanted

    def _require_versions(self, programs: str, archive: str, manifest: Manifest | None) -> None:
        done = self._job.run(backup_dump.header_script(programs, archive), backup_dump.ASK_SECONDS)
        server, client = backup_dump.versions_in(done.stdout)
        if not server or not client:
            raise self._not_made(done.stderr)
        if manifest is not None and (server, client) != (
            manifest.server_version.split(" ")[0],
            manifest.client_version,
        ):
            text = _("it is a dump of {server} by pg_dump {client}, which its manifest does not say")
            raise DamagedError(text.format(server=server, client=client))
        if _major(server) != _major(client):
            text = _("pg_dump {client} dumped a server of {server}")
            raise DamagedError(text.format(server=server, client=client))

    # --- what was found --------------------------------------------------------------------------------------

    def _not_made(self, errors: str) -> Exception:
        """Return the damage that PostgreSQL's programs name, or that they could not look."""
        words = backup_dump.last_words(errors)
        is_damage = (
            words.startswith(("pg_restore: error:", "pg_restore: fatal:"))
            and "Permission denied" not in words
        )
        if is_damage or "did not find magic string" in words:
            return DamagedError(words)
        return ClientError(FailureKind.ERROR, words or _("no answer came"), "pg_restore")

    def _grade(self, began: float, reason: str = "") -> Grade:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return Grade(now, not reason, reason[:500], round(time.monotonic() - began, 1))

    def _write(self, name: str, grade: Grade, manifest: Manifest | None) -> None:
        """Write a grade into the row; one whose row was lost gets it back from its manifest, where it is good."""
        if self._row is None and self._of.engine != GUIDE and (manifest is None or not grade.is_good):
            return

        def change(row: Run | None) -> Run:
            row = row or (self._from_manifest(manifest) if manifest else self._run)
            if self._of.engine == GUIDE and not self._is_seen(row):
                row = replace(self._run, pinned=row.pinned)  # another file under the same name
            if self._sum:
                row = replace(row, manifest_sha256=self._sum)
            grades: Mapping[str, Grade] = {name: grade}
            return replace(row, grades=replace(row.grades, **grades))

        self._row = self._store.update(self._of.id, change)

    def _from_manifest(self, manifest: Manifest) -> Run:
        return Run(
            manifest.id, manifest.site, WHOLE, manifest.engine, manifest.started_at, manifest.ended_at, manifest.by,
            bytes=sum(file.bytes for file in manifest.files), grades=Grades(),
        )  # fmt: skip


def _major(version: str) -> int:
    digits = version.split(".", 1)[0].split(" ", 1)[0]
    return int(digits) if digits.isdecimal() else 0


def _difference(listed: Mapping[str, int], seen: Mapping[str, int]) -> str:
    """Say of which tables the rows are others than the manifest's."""
    tables = [table for table in sorted({*listed, *seen}) if listed.get(table) != seen.get(table)]
    text = _("{table} has {seen} rows, not {listed}")
    sentences = [
        text.format(table=table, seen=seen.get(table, 0), listed=listed.get(table, 0)) for table in tables
    ]
    return "; ".join(sentences[:_MOST_NAMED])
