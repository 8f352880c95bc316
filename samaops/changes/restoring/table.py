"""One table of a backup, put beside the live ones under a name that is free."""

from __future__ import annotations

import re

from msgspec import Struct

from samaops.changes.restoring import recovery
from samaops.changes.restoring.condition import checked
from samaops.changes.restoring.work import (
    LOCK,
    TABLE,
    backup_of,
    configured,
    facts,
    operation,
    require_restorable,
)
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.restoring import RESTORED, Database, RestoringFacts, Source
from samaops.i18n import _
from samaops.model.plan import Plan, Risk, Step
from samaops.model.quantities import duration, moment, size
from samaops.site.commands import typed
from samaops.site.site import Site

NAME = "restore table"
# Longer names PostgreSQL cuts, and pg_dump's patterns take these for themselves.
_ORDINARY = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")


class TableRestoring(Struct, frozen=True):
    """A table of a backup, by way of the database ``into``; ``rename`` is its name in the live database.

    With ``where``, a condition of SQL, only the rows for which it is true.
    """

    id: str
    into: str
    schema: str
    name: str
    rename: str
    where: str = ""


def parted(relation: str) -> tuple[str, str]:
    """Return schema and name of a table as it is typed. Raises UsageError."""
    schema, dot, name = relation.rpartition(".")
    schema = schema if dot else "public"
    if not (_ORDINARY.fullmatch(schema) and _ORDINARY.fullmatch(name)):
        text = _("{name!r} is no ordinary name of a table: schema.name, letters, digits and _")
        raise UsageError(text.format(name=relation))
    return schema, name


def _looks(
    site: Site, relation: str, rename: str, _wanted: str, where: str = "", to: str = ""
) -> tuple[str, ...]:
    backup_of(site)
    parted(relation)
    if to:
        recovery.moment_in((recovery.TO, to))
    if where:
        checked(where)
    if not _ORDINARY.fullmatch(rename):
        text = _("--as {name!r}: a name without its schema, of letters, digits and _")
        raise UsageError(text.format(name=rename))
    return ()


def _typed(relation: str, rename: str, wanted: str, where: str = "", to: str = "") -> tuple[str, ...]:
    of = (recovery.TO, to) if to else ("--from", wanted)
    return (relation, "--as", rename, *of, *(("--where", where) if where else ()))


@verb(NAME, looks=_looks, typed=_typed)
def plan_table(
    snapshot: Snapshot, site: Site, relation: str, rename: str, _wanted: str, where: str = "", to: str = ""
) -> Plan:
    """Plan that one table of a backup, or some of its rows, is put into the live database under a free name.

    With ``to``, a moment, the cluster is recovered beside the live one first, and the table taken of the dump of it. Guards: as
    for a restore; the backup has that table, the live database has no table of the new name.
    """
    backup, seen = backup_of(site), facts(snapshot)
    first: tuple[Step, ...] = ()
    about: tuple[str, ...] = ()
    if when := recovery.moment_in((recovery.TO, to) if to else ()):
        of, physical = recovery.source(snapshot, site, when)
        first = (recovery.step(site, seen, of, physical, when),)
        about = tuple(recovery.notes(seen, of, physical))
    else:
        of = require_restorable(site, seen, configured(site).database)
    schema, name = parted(relation)
    database = _require_place(site, seen, of, schema, name, rename)
    text = _("Put {table} of {id}, of {moment}, into {database} as {rename}")
    if where:
        text = _(
            "Put the rows of {table} of {id}, of {moment}, into {database} as {rename}: those with {where}"
        )
    title = text.format(
        where=where,
        table=f"{schema}.{name}",
        id=of.id,
        moment=moment(of.epoch),
        database=database.name,
        rename=f"{schema}.{rename}",
    )
    into = f"{RESTORED}{seen.token}"
    step = Step(
        "restore.table",
        title,
        Risk.SAFE,
        operation=operation(
            TABLE, TableRestoring(of.id, into, schema, name, rename, where), site, backup.timeout
        ),
        before=(),
        after=(),
        no_undo=_("drop the table {name} by hand when it is not needed any more").format(
            name=f"{schema}.{rename}"
        ),
        servers=(),
    )
    return Plan(
        NAME,
        (relation, rename, "", where, to) if to else (relation, rename, of.id, *((where,) if where else ())),
        title,
        f"{schema}.{rename}",
        steps=(*first, step),
        notes=about + _notes(seen, of, of.rows.get(f"{schema}.{name}"), into, is_part=bool(where)),
        lock=LOCK,
    )


def _require_place(
    site: Site, seen: RestoringFacts, of: Source, schema: str, name: str, rename: str
) -> Database:
    """Return the live database, which takes the table. Raises RefusedError where there is none, or no such table or place."""
    live = seen.database(configured(site).database)
    if live is None or seen.live is None:
        text = _("There is no live database {name} to put a table into: restore it as a whole")
        raise RefusedError(text.format(name=configured(site).database), hint=typed(site, "restore db latest"))
    if of.rows and f"{schema}.{name}" not in of.rows:
        text = _("The backup {id} has no table {name}")
        raise RefusedError(
            text.format(id=of.id, name=f"{schema}.{name}"), hint=typed(site, f"backup show {of.id}")
        )
    if f"{schema}.{rename}" in seen.live:
        text = _("There is a table {name} in the live database: give another name")
        raise RefusedError(text.format(name=f"{schema}.{rename}"), hint=f"--as {name[:40]}_restored")
    return live


def _notes(
    seen: RestoringFacts, of: Source, rows: int | None, into: str, *, is_part: bool
) -> tuple[str, ...]:
    """Say how much comes, how old it is, what is left out, and by way of which database it comes."""
    count = _("{rows} rows, {age} old; no live table is touched")
    if is_part:
        count = _("Of {rows} rows, {age} old, those for which it is true; no live table is touched")
    return (
        count.format(rows="?" if rows is None else rows, age=duration(max(0.0, seen.epoch - of.epoch))),
        _(
            "It comes with its columns, defaults, primary key, indexes, checks and rights; foreign keys, triggers and row security are left out: they would act on the rows of now"
        ),
        _("By way of {into}, which goes again; {free} are free").format(
            into=into, free=size(seen.free_bytes)
        ),
    )
