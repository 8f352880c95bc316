"""One backup that samaops made: its row in the catalogue, and the manifest that lies in it. See ``docs/backup.md``.

All times are ISO 8601 in UTC, all sizes bytes, all sums SHA-256 in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

SCHEMA = "samaops/backup/1"
# The states of a run; one that is killed stays "started", and its directory keeps PARTIAL in its name.
STARTED, WHOLE, FAILED = "started", "ok", "failed"
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
    of its file. ``manifest_sha256`` is the sum of its manifest, which has those of all its other files.
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


class Catalogue(Struct, frozen=True):
    """All rows of a site, newest first; the ids of those of other sites; and what could not be read: name to reason."""

    rows: tuple[Run, ...] = ()
    foreign: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = {}


class Left(Struct, frozen=True):
    """A directory that is no whole backup: of a run (``.partial``) or a removal (``.expired``) that goes on, or died.

    ``changed_at`` in seconds since the epoch, by the server's clock.
    """

    name: str
    is_running: bool
    changed_at: float
    bytes: int


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
