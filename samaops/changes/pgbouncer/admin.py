"""What all changes of PgBouncer share: its console as it was observed, and one command of it as an operation."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict

from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.config.settings import PgBouncer
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.pgbouncer import Console, PgBouncerFacts, PooledDatabase
from samaops.i18n import _
from samaops.model.plan import Operation, Scalar
from samaops.site.site import Site

CONSOLE = ("pgbouncer.pool.paused",)
SERVERS, FILE, GUARD = "pgbouncer.servers", "pgbouncer.file", "pgbouncer.guard"
COMMAND = "pgbouncer.command"
_SECONDS = 15.0


class Command(Struct, frozen=True):
    """A file of ``sql/pgbouncer``, and the database or the size that it has."""

    file: str
    database: str = ""
    size: int = 0


def command(of: Command, site: Site) -> Operation:
    """Return the operation that runs a command on the console."""
    return Operation(COMMAND, asdict(of), configured(site).server, _SECONDS)


def configured(site: Site) -> PgBouncer:
    """Return the section of the pool. Raises UsageError."""
    if site.settings.pgbouncer is None:
        raise UsageError(_("[pgbouncer] is not configured"), hint="samaops config show")
    return site.settings.pgbouncer


def facts(snapshot: Snapshot) -> PgBouncerFacts:
    """Return what was observed of the pool. Raises UnreadableError."""
    return facts_in(snapshot, PgBouncerFacts)


def console_in(snapshot: Snapshot) -> Console:
    """Return what the admin console shows. Raises UnreadableError where it did not let us in."""
    seen = facts(snapshot).console
    if seen is None:
        raise UnreadableError(missing(snapshot, "console"))
    return seen


def missing(snapshot: Snapshot, part: str) -> str:
    """Return why a part of the facts could not be looked at."""
    failures = (look.missing.get(part) for look, _facts in snapshot.facts_of(PgBouncerFacts))
    failure = next((failure for failure in failures if failure), None)
    return failure.message if failure else _("nothing of {kind} was observed").format(kind=part)


def database_in(seen: Console, name: str) -> PooledDatabase:
    """Return a database of the pool. Raises RefusedError where it has none of that name."""
    database = seen.database(name)
    if database is None:
        known = ", ".join(database.name for database in seen.databases)
        text = _("PgBouncer has no database {name}; it has {known}")
        raise RefusedError(text.format(name=name, known=known or "-"), hint="samaops pool databases")
    return _with_plain_name(database)


def _with_plain_name(database: PooledDatabase) -> PooledDatabase:
    """Raise RefusedError for a name that the console has no way to write."""
    if '"' in database.name or "{" in database.name:
        text = _("the console takes no command for a database of the name {name!r}")
        raise RefusedError(text.format(name=database.name))
    return database


def databases_in(seen: Console, name: str) -> tuple[PooledDatabase, ...]:
    """Return the database of that name, or all where none is given. Raises RefusedError."""
    if name:
        return (database_in(seen, name),)
    return tuple(_with_plain_name(database) for database in seen.databases)


def typed(*words: str) -> tuple[str, ...]:
    """Return the words of a plan as they are typed: without the database where all are meant."""
    return tuple(word for word in words if word)


@reading("pgbouncer.is_paused", codes=CONSOLE)
def is_paused(snapshot: Snapshot, database: str) -> Scalar:
    """Return whether a database is paused, alone or with all."""
    seen = console_in(snapshot)
    known = seen.database(database)
    if known is None:
        raise UnreadableError(_("PgBouncer has no database {name}").format(name=database))
    return known.is_paused or bool(seen.is_held)


@reading("pgbouncer.is_disabled", codes=CONSOLE)
def is_disabled(snapshot: Snapshot, database: str) -> Scalar:
    """Return whether a database refuses new clients."""
    known = console_in(snapshot).database(database)
    if known is None:
        raise UnreadableError(_("PgBouncer has no database {name}").format(name=database))
    return known.is_disabled


@reading("pgbouncer.seems_held", codes=CONSOLE)
def seems_held(snapshot: Snapshot) -> Scalar:
    """Return whether all of it is paused; before 1.19, which shows that nowhere, whether it looks so."""
    return console_in(snapshot).seems_held
