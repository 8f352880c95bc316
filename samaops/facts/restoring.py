"""What a restore must know: the server, its databases, the backup that is asked for, and what is in the live database now."""

from __future__ import annotations

import json
from collections.abc import Mapping

from msgspec import Struct, ValidationError, convert, to_builtins

from samaops.facts.backup_run import DatabaseProperties, Grades, Manifest, Survey
from samaops.model.typed import ready

# What our own databases are called. Nothing else is ever dropped.
RESTORED, DRILL, REPLACED = "samaops_restore_", "samaops_drill_", "samaops_replaced_"
OURS = (RESTORED, DRILL, REPLACED)
_KEY = "samaops"


class Mark(Struct, frozen=True):
    """What the comment of a database of ours says, as JSON: PostgreSQL itself keeps what a swap must know to go back.

    ``does`` is ``restore``, ``drill``, ``table`` or ``replaced``; ``of`` the backup, ``database`` whose place it is for or
    had. ``at`` and ``until`` are seconds since 1970. ``comment`` is the comment that it has in its place.
    """

    does: str
    of: str
    database: str
    at: float
    until: float | None = None
    comment: str | None = None

    def written(self) -> str:
        """Return the comment."""
        return json.dumps({_KEY: 1, **to_builtins(self)})


def mark_in(comment: str | None) -> Mark | None:
    """Return what a comment of ours says; None for anybody else's."""
    try:
        raw = json.loads(comment or "")
        return convert(raw, ready(Mark)) if isinstance(raw, dict) and raw.get(_KEY) == 1 else None
    except (ValueError, ValidationError):
        return None


class Database(Struct, frozen=True):
    """A database of the cluster. ``sessions`` are those of clients, ``prepared`` its prepared transactions."""

    name: str
    oid: int
    bytes: int
    allows: bool
    comment: str | None
    sessions: int
    prepared: int

    @property
    def mark(self) -> Mark | None:
        """What its comment says, where its name is one of ours too."""
        return mark_in(self.comment) if self.name.startswith(OURS) else None


class Session(Struct, frozen=True):
    """Who is in the live database now; ``seconds`` is how long its transaction goes on, None where it has none."""

    pid: int
    user: str
    application: str
    client: str
    state: str
    query: str
    type: str
    seconds: float | None = None


class LiveTable(Struct, frozen=True):
    """A table of the live database as it is now. Where it took too long to count, ``rows`` is not exact."""

    rows: int
    is_exact: bool
    newest: str | None = None


class Source(Struct, frozen=True):
    """The backup that is to be restored; a dump of the guide's script has no manifest.

    ``path`` is the archive for pg_restore, ``directory`` that of the whole backup. ``epoch`` is when it was begun.
    """

    id: str
    path: str
    directory: str
    site: str
    database: str
    version: str
    epoch: float
    bytes: int
    state: str
    grades: Grades
    rows: Mapping[str, int]
    newest: Mapping[str, str]
    properties: DatabaseProperties | None
    indexes: int
    constraints: int
    is_ours: bool

    @property
    def major(self) -> int:
        """The major version of the server that it is of; 0 where that is not known."""
        words = self.version.split(".")[0].split()
        return int(words[-1]) if words and words[-1].isdigit() else 0


class RestoringFacts(Struct, frozen=True):
    """All that a plan to restore is made of. ``token`` makes the names of this change its own.

    ``live`` is None where the rows of now were not asked for, ``left_out`` why they could not be read.
    """

    epoch: float
    major: int
    free_bytes: int
    processors: int
    in_recovery: bool
    databases: tuple[Database, ...]
    token: str
    source: Source | None = None
    manifest: Manifest | None = None
    live: Mapping[str, LiveTable] | None = None
    sessions: tuple[Session, ...] = ()
    left_out: str = ""
    # For a point in time, or for a trial of one of pgBackRest: what backups there are. ``tablespaces`` are those of the
    # cluster that lie outside of its directory.
    survey: Survey | None = None
    tablespaces: tuple[str, ...] = ()

    def database(self, name: str) -> Database | None:
        """Return a database by its name."""
        return next((each for each in self.databases if each.name == name), None)

    def replaced(self, database: str) -> tuple[Database, ...]:
        """Return those that once were in a database's place, the newest first."""
        ours = [
            (each.mark.at, each)
            for each in self.databases
            if each.mark and each.name.startswith(REPLACED) and each.mark.database == database
        ]
        return tuple(each for _at, each in sorted(ours, key=lambda pair: -pair[0]))
