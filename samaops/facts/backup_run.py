"""One backup that samaops made: its row in the catalogue, and the manifest that lies in it. See ``docs/backup.md``.

All times are ISO 8601 in UTC, all sizes bytes, all sums SHA-256 in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from msgspec import Struct
from msgspec.structs import replace

SCHEMA = "samaops/backup/1"
# The states of a run; one that is killed stays "started", and its directory keeps PARTIAL in its name.
STARTED, WHOLE, FAILED = "started", "ok", "failed"
# What is seen of one besides: its process lives, or died; its directory is gone; it is there and has no row.
RUNNING, KILLED, MISSING, UNLISTED = "running", "killed", "missing", "unlisted"
# Between its row and its directory, which it holds, a run has two calls: at most 20 seconds each.
_YOUNG_SECONDS = 45.0
PARTIAL = ".partial"
# The engines.
DUMP, PGBACKREST, GUIDE = "dump", "pgbackrest", "guide"


class Grade(Struct, frozen=True):
    """How far a backup is proved, when, and what was wrong. ``seconds`` is how long the proof took."""

    at: str
    is_good: bool
    reason: str = ""
    seconds: float | None = None


class Grades(Struct, frozen=True):
    """The three grades: its checksums are right, it was read through to its end, it was restored (a drill)."""

    stored: Grade | None = None
    readable: Grade | None = None
    restored: Grade | None = None


class Run(Struct, frozen=True):
    """A row of the catalogue. ``by`` is user@machine; ``reason`` says why it failed; ``pinned`` why it is kept for ever.

    ``engine`` is ``dump``, ``pgbackrest``, or ``guide`` for a dump that the guide's own script wrote: its id is the name
    of its file. ``manifest_sha256`` is the sum of its manifest, which has those of all its other files; of a guide's dump that
    of the file itself, once it was read.
    """

    id: str
    site: str
    state: str
    engine: str
    started_at: str
    ended_at: str | None = None
    by: str = ""
    reason: str = ""
    bytes: int | None = None
    grades: Grades = Grades()
    pinned: str = ""
    # Where copies are, by the names of [[backup.copies]], and since when.
    copies: Mapping[str, str] = {}
    manifest_sha256: str = ""
    # Of pgBackRest: its own name of the backup, "full", "diff" or "incr", and the ids of those without which it is nothing.
    label: str = ""
    kind: str = ""
    needs: tuple[str, ...] = ()
    # The moment whose state it holds, where that is another than when it was made: a recovery to a point in time.
    recovered_to: str = ""


class Physical(Struct, frozen=True):
    """A backup in pgBackRest's repository. Times in seconds since the epoch; ``bytes`` are those that it takes there.

    ``run`` is the id of the run of samaops that made it, "" where that was somebody else. ``wal_start`` and ``wal_stop``
    are the first and the last segment of the log without which it cannot be restored.
    """

    label: str
    kind: str
    started: float
    stopped: float
    bytes: int
    database_bytes: int
    repository: int
    needs: tuple[str, ...] = ()
    run: str = ""
    has_error: bool = False
    wal_start: str = ""
    wal_stop: str = ""
    version: str = ""


class Stanza(Struct, frozen=True):
    """What pgBackRest tells of a stanza: its state (``code`` 0: ok), its backups, oldest first, the archive's newest segment.

    ``reason`` says why it could not be asked; then the rest is nothing.
    """

    name: str
    code: int
    message: str
    backups: tuple[Physical, ...] = ()
    wal_newest: str = ""
    is_working: bool = False
    reason: str = ""


class Catalogue(Struct, frozen=True):
    """All rows of a site, newest first; the ids of those of other sites; and what could not be read, with why."""

    rows: tuple[Run, ...] = ()
    foreign: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


class Left(Struct, frozen=True):
    """A directory that is no whole backup: of a run (``.partial``) or a removal (``.expired``) that goes on, or died.

    ``changed_at`` in seconds since the epoch, by the server's clock.
    """

    name: str
    is_running: bool
    changed_at: float
    bytes: int


class Survey(Struct, frozen=True):
    """All that one look at the directory of the backups shows.

    ``whole`` are the ids whose directory is there, ``dumps`` the guide's own files, newest first. ``is_on_data_disk``
    is None where PostgreSQL's data directory was not found. ``epoch`` is the server's time, ``majors`` are those of which it
    has PostgreSQL's programs, ``programs`` those of age, restic, rclone and pgbackrest that it has.
    """

    catalogue: Catalogue
    left: tuple[Left, ...]
    whole: tuple[str, ...]
    dumps: tuple[Run, ...]
    free_bytes: int
    is_on_data_disk: bool | None
    epoch: float
    processors: int
    majors: tuple[int, ...]
    programs: tuple[str, ...]
    # Of the stanza of [backup], where pgBackRest is the engine.
    stanza: Stanza | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """All backups, those of samaops, pgBackRest and the guide, newest first, each with the state that is seen."""
        rows = {row.id: row for row in self.catalogue.rows}
        own = [self._seen(row) for row in rows.values() if row.engine not in (GUIDE, PGBACKREST)]
        own += self._physical(rows)
        unlisted = [
            Run(name, "", UNLISTED, DUMP, moment_of(name))
            for name in self.whole
            if name not in rows and name not in self.catalogue.foreign and name not in {run.id for run in own}
        ]
        dumps = [_with_row(dump, rows.get(dump.id)) for dump in self.dumps]
        return tuple(sorted((*own, *unlisted, *dumps), key=lambda run: run.started_at, reverse=True))

    def _physical(self, rows: Mapping[str, Run]) -> list[Run]:
        """Return the backups of pgBackRest's repository, and the runs of ours that are not, or not yet, there."""
        if self.stanza is None or self.stanza.reason:  # what is there is not known: the rows are all that is
            return [self._seen(row) for row in rows.values() if row.engine == PGBACKREST]
        site = next((row.site for row in rows.values()), "")
        names = {backup.label: backup.run or backup.label for backup in self.stanza.backups}
        there = [
            _of_physical(backup, rows.get(names[backup.label]), names, site) for backup in self.stanza.backups
        ]
        known = {run.id for run in there}
        for row in rows.values():
            if row.engine != PGBACKREST or row.id in known:
                continue
            there.append(replace(row, state=MISSING) if row.state == WHOLE else self._seen(row))
        return there

    def _seen(self, row: Run) -> Run:
        if row.state == WHOLE and row.engine == DUMP and row.id not in self.whole:
            return replace(row, state=MISSING)
        if row.state != STARTED:
            return row
        held = {left.name: left.is_running for left in self.left}.get(row.id + PARTIAL)
        if held is None:
            held = self.epoch - epoch_of(row.started_at) < _YOUNG_SECONDS
        return replace(row, state=RUNNING if held else KILLED)


def _of_physical(backup: Physical, row: Run | None, names: Mapping[str, str], site: str) -> Run:
    """Return the run of a backup that pgBackRest has: what it says, and of our row how far it is proved and why it is kept."""
    run = row or Run(names[backup.label], site, WHOLE, PGBACKREST, "")
    return replace(
        run,
        engine=PGBACKREST,
        # Whatever became of who asked for it: pgBackRest names only what it has ended.
        state=WHOLE,
        started_at=moment_at(backup.started),
        ended_at=moment_at(backup.stopped),
        bytes=backup.bytes,
        label=backup.label,
        kind=backup.kind,
        needs=tuple(names[label] for label in backup.needs if label in names),
    )


def _with_row(dump: Run, row: Run | None) -> Run:
    """Return what is known of a guide's dump; of another file under its name only that it is to be kept."""
    if row is None:
        return dump
    is_same = (row.bytes, row.started_at) == (dump.bytes, dump.started_at)
    return row if is_same else replace(dump, pinned=row.pinned)


def moment_of(identifier: str) -> str:
    """Return when a run of ours began, as its id has it."""
    return datetime.strptime(identifier[:16] + "+0000", "%Y%m%dT%H%M%SZ%z").isoformat(timespec="seconds")


def moment_at(epoch: float) -> str:
    """Return a moment in seconds since the epoch as the rows have it."""
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="seconds")


def epoch_of(moment: str) -> float:
    """Return a moment of a row in seconds since the epoch; 0 for what is none."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0


class File(Struct, frozen=True):
    """A file of a backup; ``path`` is relative to its directory."""

    path: str
    bytes: int
    sha256: str


class Part(Struct, frozen=True):
    """What a backup holds besides the dump, such as ``globals`` or ``redis``; ``left_out`` says why it does not."""

    name: str
    paths: tuple[str, ...] = ()
    left_out: str = ""


class DatabaseProperties(Struct, frozen=True):
    """What ``pg_restore`` does not bring back under another name, but for the extensions, which are compared.

    ``acl`` are the entries of pg_database.datacl as text, None where it is the default; ``settings`` are those of
    ``ALTER DATABASE SET`` ("" as role) and of ``ALTER ROLE … IN DATABASE SET``: role to name=value.
    """

    owner: str
    encoding: str
    collate: str
    ctype: str
    connection_limit: int
    acl: tuple[str, ...] | None
    comment: str | None
    settings: Mapping[str, tuple[str, ...]]
    extensions: Mapping[str, str]


class Manifest(Struct, frozen=True):
    """What a backup holds. ``rows`` counts those of each table ("schema.name") in the dump itself.

    ``newest`` is the newest moment in each table that has one, as PostgreSQL writes it. ``revision`` is the migration
    that the database was at, None where the application keeps none; ``images`` are the ids of the application's images by container.
    ``objects`` is the name of the generation of the buckets that goes with it. ``encrypted_to`` is the public recipient
    of what is encrypted, "" where nothing is.
    """

    id: str
    site: str
    server: str
    database: str
    engine: str
    started_at: str
    ended_at: str
    by: str
    server_version: str
    client_version: str
    lsn: str
    properties: DatabaseProperties
    rows: Mapping[str, int]
    files: tuple[File, ...]
    parts: tuple[Part, ...]
    schema: str = SCHEMA
    newest: Mapping[str, str] = {}
    revision: str | None = None
    images: Mapping[str, str] = {}
    objects: str | None = None
    encrypted_to: str = ""
    samaops_version: str = ""
    # Of pgBackRest: its own name of the backup. The directory of the manifest has then only what a bad day needs besides.
    label: str = ""
    # Of a recovery to a point in time: that moment.
    recovered_to: str = ""

    @property
    def revisions(self) -> tuple[str, ...]:
        """All revisions that stood in the table of the application's migrations: one for each branch."""
        return tuple(self.revision.split(",")) if self.revision else ()
