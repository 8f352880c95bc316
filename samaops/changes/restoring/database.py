"""A backup becomes the live database: restored beside it, compared, and only then put in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

from samaops.changes.restoring import recovery
from samaops.changes.restoring import swap as swaps
from samaops.changes.restoring.work import (
    DROP,
    FINISH,
    LOAD,
    LOCK,
    PREPARE,
    SHORT_SECONDS,
    Dropping,
    Restoring,
    Swapping,
    backup_of,
    configured,
    facts,
    operation,
    require_restorable,
)
from samaops.changes.verbs import verb
from samaops.facts.observation import Snapshot
from samaops.facts.restoring import RESTORED, Database, LiveTable, RestoringFacts, Source
from samaops.i18n import _, ngettext
from samaops.model.plan import Plan, Risk, Step
from samaops.model.quantities import duration, moment, size
from samaops.site.site import Site

NAME = "restore db"
_MOST_TABLES = 12
# A zone of two digits, as PostgreSQL writes it.
_ZONE = re.compile(r"([+-]\d\d)$")


def _looks(site: Site, *arguments: str) -> tuple[str, ...]:
    recovery.moment_in(arguments)
    backup_of(site)
    return swaps.codes(site)


@verb(NAME, looks=_looks)
def plan_restore(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan that a backup, or a moment, takes the place of the live database, which is kept closed beside it.

    Guards: site, database and major version are ours, no proof of it has failed, there is room, nobody is at work who
    must not be cut off, the pool can be held and will go on by itself.
    """
    name, seen = configured(site).database, facts(snapshot)
    to = recovery.moment_in(arguments)
    if to is None:
        of = require_restorable(site, seen, name)
        first: tuple[Step, ...] = ()
        about = _facts_of(seen, of)
    else:
        of, physical = recovery.source(snapshot, site, to)
        first = (recovery.step(site, seen, of, physical, to),)
        about = recovery.notes(seen, of, physical)
    return _plan(snapshot, site, of, first, tuple(about), arguments if to else (of.id,))


def _plan(
    snapshot: Snapshot,
    site: Site,
    of: Source,
    first: tuple[Step, ...],
    about: tuple[str, ...],
    arguments: tuple[str, ...],
) -> Plan:
    """Return the plan; ``first`` are the steps that make the backup, where it is not there yet."""
    backup, name, seen = backup_of(site), configured(site).database, facts(snapshot)
    live = seen.database(name)
    if live is not None:
        swaps.require_swappable(site, live, seen)
    into = f"{RESTORED}{seen.token}"
    stamp = datetime.fromtimestamp(seen.epoch, timezone.utc).strftime("%Y%m%d_%H%M%S")
    swapping = Swapping(
        live=name,
        outgoing=swaps.outgoing_name(seen, stamp),
        of=of.id,
        keep_days=backup.keep_replaced_days,
        aliases=swaps.aliases_in(snapshot, site, name) if live else (),
        incoming=into,
        live_oid=live.oid if live else 0,
    )
    undo = swaps.back(swapping, f"{swapping.outgoing}_back") if live else None
    losses = tuple((_losses_since if first else _losses)(seen, of)) if live else ()
    text = _("Restore {database} from {id}, of {moment} ({age} old)")
    when = moment(of.epoch)
    if first:
        text = _("Restore {database} as it was at {moment} ({age} ago)")
        when = recovery.shown(datetime.fromtimestamp(of.epoch, timezone.utc))
    age = duration(max(0.0, seen.epoch - of.epoch))
    return Plan(
        NAME,
        arguments,
        text.format(database=name, id=of.id, moment=when, age=age),
        target=name,
        steps=(
            *first,
            *filling_steps(site, Restoring(of.id, into, database=name)),
            swaps.swap_step(site, swapping, _destroys(seen, of) if live else "", undo),
        ),
        notes=(*about, _of_live(seen, live), *losses, *swaps.notes(site, swapping, seen.sessions)),
        lock=LOCK,
    )


def filling_steps(site: Site, restoring: Restoring) -> Iterator[Step]:
    """Yield the steps that make a database of a backup; the live one is not touched by them."""
    seconds = backup_of(site).timeout
    drop = operation(DROP, Dropping(restoring.into), site, SHORT_SECONDS)
    titles = (
        (PREPARE, _("Check the sums of {id}, and make the database {into}")),
        (LOAD, _("Restore {id} into {into}")),
        (FINISH, _("Give {into} its owner, rights and settings, analyze it, compare it with the manifest")),
    )
    for kind, title in titles:
        yield Step(
            id=kind,
            title=title.format(id=restoring.id, into=restoring.into),
            risk=Risk.SAFE,
            operation=operation(kind, restoring, site, seconds),
            before=(),
            after=(),
            undo=drop,
            undo_restores=_("{into} is gone").format(into=restoring.into),
            is_undo_final=True,
            servers=(),
        )


def _facts_of(_seen: RestoringFacts, of: Source) -> Iterator[str]:
    if not of.is_ours:
        yield _(
            "This dump has no manifest: sums, rows, rights and settings cannot be compared; owner and rights are taken from the live database where there is one"
        )
    elif of.grades.restored is not None:
        text = _("It was restored for a trial on {at}, in {time}")
        seconds = of.grades.restored.seconds
        yield text.format(
            at=of.grades.restored.at[:16], time=duration(seconds) if seconds is not None else "?"
        )
    else:
        yield _("It was never restored for a trial: this takes as long as it takes")


def _of_live(seen: RestoringFacts, live: Database | None) -> str:
    if live is None:
        return _("There is no live database of this name: nothing is lost, and nothing is replaced")
    text = _(
        "The live database, {size}, serves until the swap; {free} are free beside it. No fresh backup is needed: it is kept whole"
    )
    return text.format(size=size(live.bytes), free=size(seen.free_bytes))


def _losses_since(seen: RestoringFacts, of: Source) -> Iterator[str]:
    """Yield which tables have rows since the moment that is restored; how many it had then nobody knows yet."""
    if seen.live is None:
        yield _("What is in the live database now could not be counted: {reason}").format(
            reason=seen.left_out or "-"
        )
        return
    since = datetime.fromtimestamp(of.epoch, timezone.utc)
    touched = [
        (relation, table.newest)
        for relation, table in sorted(seen.live.items())
        if table.newest and _is_after(table.newest, since)
    ]
    for relation, newest in touched[:_MOST_TABLES]:
        text = _("{table}: has rows since that moment, the newest of {newest}")
        yield text.format(table=relation, newest=newest[:19])
    yield _(
        "How many rows each table had then is known once it is recovered; changed and deleted rows show in no count"
    )


def _is_after(newest: str, since: datetime) -> bool:
    try:
        found = datetime.fromisoformat(_ZONE.sub(r"\1:00", newest))
    except ValueError:
        return False
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)) > since


def _losses(seen: RestoringFacts, of: Source) -> Iterator[str]:
    """Yield, for each table that is not as it was, what goes out of sight."""
    if seen.live is None:
        yield _("What is in the live database now could not be counted: {reason}").format(
            reason=seen.left_out or "-"
        )
        return
    if not of.rows:
        total = sum(table.rows for table in seen.live.values())
        yield _("In the live database are {count} rows now; this dump does not tell how many it has").format(
            count=total
        )
        return
    changed = sorted(_changed(seen.live, of), key=lambda row: -abs(row[0]))
    for _difference, words in changed[:_MOST_TABLES]:
        yield words
    if len(changed) > _MOST_TABLES:
        more = len(changed) - _MOST_TABLES
        yield ngettext("{count} more table is different", "{count} more tables are different", more).format(
            count=more
        )
    if not changed:
        yield _("Every table has as many rows now as in the backup; changed rows are not counted")


def _changed(live: Mapping[str, LiveTable], of: Source) -> Iterator[tuple[int, str]]:
    for relation in sorted({*live, *of.rows}):
        now, then = live.get(relation), of.rows.get(relation)
        if now is None:
            yield (
                then or 0,
                _("{table}: not there now; in the backup {then} rows").format(table=relation, then=then),
            )
        elif then is None:
            yield (
                now.rows,
                _("{table}: {now} rows now; not in the backup").format(table=relation, now=_count(now)),
            )
        elif now.rows != then or (now.newest or "") != (of.newest.get(relation) or now.newest or ""):
            newest, was = now.newest, of.newest.get(relation)
            text = _("{table}: {now} rows now, {then} in the backup")
            words = text.format(table=relation, now=_count(now), then=then)
            if newest and was:
                words += "; " + _("newest {now} now, {then} then").format(now=newest[:19], then=was[:19])
            yield now.rows - then, words


def _count(table: LiveTable) -> str:
    return str(table.rows) if table.is_exact else _("about {count}").format(count=table.rows)


def _destroys(seen: RestoringFacts, of: Source) -> str:
    age = duration(max(0.0, seen.epoch - of.epoch))
    more = 0
    for relation, table in (seen.live or {}).items():
        more += max(0, table.rows - of.rows.get(relation, 0)) if of.rows else 0
    text = _("all that was written in the last {age} goes out of sight: it is only in the replaced database")
    words = text.format(age=age)
    if more:
        words += "; " + ngettext(
            "{count} row more than in the backup", "{count} rows more than in the backup", more
        ).format(count=more)
    return words
