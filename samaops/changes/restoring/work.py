"""What the steps of restores are, as data, and what all their plans ask first."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct, to_builtins

from samaops.changes.backup.work import section
from samaops.changes.readings import UnreadableError, facts_in
from samaops.config.backup_settings import Backup
from samaops.config.settings import PostgreSQL
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.restoring import RestoringFacts, Source
from samaops.i18n import N_, _
from samaops.model.plan import Operation
from samaops.model.quantities import size
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site

PREPARE, LOAD, FINISH, SWAP, DROP = (
    "restore.prepare",
    "restore.load",
    "restore.finish",
    "restore.swap",
    "restore.drop",
)
DRILL, TABLE = "restore.drill", "restore.table"
RECOVER, TRY = "restore.recover", "restore.try_physical"
# Backups, their trials and restores exclude each other; other changes go on beside them, for they take long.
LOCK = "backup"
# So much more than the database has now must be free: indexes are built, and the log is written, meanwhile.
SPACE_FACTOR = 1.3
# What a dump becomes in a database, where no live one tells: text is packed to a fifth, and indexes are not in it.
UNPACKED_FACTOR = 8
SHORT_SECONDS = 60.0
_MB = 1024**2
StructT = TypeVar("StructT", bound=Struct)


class Restoring(Struct, frozen=True):
    """A backup (its id, or the name of a dump) that becomes a database of the name ``into``."""

    id: str
    into: str
    does: str = "restore"
    database: str = ""


class Swapping(Struct, frozen=True):
    """What comes into the place of ``live``, by its name or its oid, and how the one that leaves it is called.

    ``live_oid`` is the one that is there now: 0 where none is, None where that is not known beforehand. ``aliases`` are
    the databases of the pool that lead there. ``until`` is when the one that left may be dropped, in days.
    """

    live: str
    outgoing: str
    of: str
    keep_days: int
    aliases: tuple[str, ...] = ()
    incoming: str = ""
    incoming_oid: int | None = None
    live_oid: int | None = None


class Dropping(Struct, frozen=True):
    """A database of ours that goes."""

    name: str


def operation(kind: str, of: Struct, site: Site, seconds: float) -> Operation:
    """Return the operation of a kind, on the server of the database."""
    arguments: dict[str, Any] = to_builtins(of)
    return Operation(kind, arguments, configured(site).server, seconds)


def configured(site: Site) -> PostgreSQL:
    """Return the section of the database. Raises UsageError."""
    if site.settings.postgresql is None:
        raise UsageError(_("[postgresql] is not configured"), hint="samaops config show")
    return site.settings.postgresql


def backup_of(site: Site) -> Backup:
    """Return the section of the backups, which must lie where the database is. Raises UsageError, RefusedError."""
    backup = section(site)
    if backup.server != configured(site).server:
        text = _("The backups lie on {backup}, the database on {database}: copy the backup there first")
        raise RefusedError(
            text.format(backup=backup.server, database=configured(site).server), hint="samaops config show"
        )
    return backup


def facts(snapshot: Snapshot) -> RestoringFacts:
    """Return what was looked at. Raises UnreadableError."""
    return facts_in(snapshot, RestoringFacts)


def source_in(seen: RestoringFacts) -> Source:
    """Return the backup that was looked at. Raises UnreadableError."""
    if seen.source is None:
        raise UnreadableError(_("it is not known {what}").format(what=_("which backup is meant")))
    return seen.source


_GRADES: tuple[tuple[str, str], ...] = (
    ("stored", N_("its checksums are wrong")),
    ("readable", N_("it cannot be read to its end")),
    ("restored", N_("the last trial restore of it failed")),
)


def require_restorable(site: Site, seen: RestoringFacts, name: str) -> Source:
    """Return the backup, if it may become a database beside ``name``. Raises RefusedError before anything is run."""
    of, live = source_in(seen), seen.database(name)
    for is_wrong, reason in _wrongs(site, seen, of):
        if is_wrong:
            text = _("The backup {id} is not restored: {reason}")
            raise RefusedError(text.format(id=of.id, reason=reason), hint=typed(site, "backup list"))
    for field, words in _GRADES:
        grade = getattr(of.grades, field)
        if grade is not None and not grade.is_good:
            text = _("The backup {id} is not restored: {reason} ({said})")
            reason = text.format(id=of.id, reason=_(words), said=grade.reason or grade.at)
            raise RefusedError(reason, hint=typed(site, f"backup verify {operands(of.id)}"))
    need = round((live.bytes if live else of.bytes * UNPACKED_FACTOR) * SPACE_FACTOR)
    if seen.free_bytes < need:
        text = _("Not enough room beside the database: {free} free, about {need} needed")
        raise RefusedError(
            text.format(free=size(seen.free_bytes), need=size(need)), hint=typed(site, "db size")
        )
    return of


def _wrongs(site: Site, seen: RestoringFacts, of: Source) -> list[tuple[bool, str]]:
    name = configured(site).database
    other_site = _("it is of the site {theirs}, and this is {ours}")
    other_name = _("it is of the database {theirs}, and ours is {ours}")
    other_major = _("it is of PostgreSQL {theirs}, and ours is {ours}")
    return [
        (of.site != site.settings.site, other_site.format(theirs=of.site or "-", ours=site.settings.site)),
        (of.database != name, other_name.format(theirs=of.database or "-", ours=name)),
        (of.major != seen.major, other_major.format(theirs=of.version or "-", ours=seen.major)),
        (seen.in_recovery, _("the server is a standby: nothing can be restored there")),
    ]
