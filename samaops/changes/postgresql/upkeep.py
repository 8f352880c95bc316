"""Vacuum and analyze of tables: by need or by name, one after the other, beside everybody's work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.beside import Work
from samaops.changes.postgresql.sessions import BACKENDS, require_configured
from samaops.changes.postgresql.upkeep_work import (
    ANALYZE,
    DIRECTORIES,
    FULL,
    HOLDERS,
    MOST_STEPS,
    RELATIONS,
    VACUUM,
    Upkeep,
    Wanted,
    bytes_missing,
    ends_at,
    held_back,
    not_owner,
    operation,
    past_in,
    require_alone,
    resolve,
    resumed,
    upkeep_facts,
    wanted,
)
from samaops.changes.readings import known
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql_changes import UpkeepRelation
from samaops.i18n import _, joined
from samaops.model.plan import UPKEEP, Condition, LeftOut, Plan, Risk, Step
from samaops.model.quantities import duration, size
from samaops.site.commands import typed
from samaops.site.shell_words import operands
from samaops.site.site import Site

# Of the age at which autovacuum is forced upon a table: early enough to choose the hour oneself.
_OLD_SHARE = 0.75
# A partitioned table's own statistics are counted by nobody but us; once a day is enough.
_PARENT_SECONDS = 86_400.0
# What a disk under load writes at least, with the indexes and the log: an hour is better told too long.
_FULL_BYTES_PER_SECOND = 20 * 1024 * 1024
# A vacuum full writes the table and its indexes anew, and both into the log.
_FULL_COPIES = 2.0


class Need(Struct, frozen=True):
    """That a table is to be vacuumed, analyzed or both, how urgent, and why."""

    relation: UpkeepRelation
    vacuum: tuple[str, ...] = ()
    analyze: tuple[str, ...] = ()
    urgency: float = 0.0


def need_of(relation: UpkeepRelation, relations: Iterable[UpkeepRelation] = ()) -> Need:
    """Return what a table needs by autovacuum's own limits; ``relations`` holds its partitions."""
    if relation.kind == "f":
        return Need(relation)
    if relation.kind == "p":
        leaves = [leaf for leaf in relations if relation.oid in leaf.parents]
        reasons = tuple(_parent_reasons(relation, leaves))
        return Need(relation, analyze=reasons, urgency=1.0 if reasons else 0.0)
    vacuum, analyze = dict(_vacuum_reasons(relation)), dict(_analyze_reasons(relation))
    return Need(
        relation, tuple(vacuum), tuple(analyze), max((*vacuum.values(), *analyze.values()), default=0.0)
    )


def _vacuum_reasons(of: UpkeepRelation) -> Iterator[tuple[str, float]]:
    """Yield why a table wants a vacuum, and how many times it is over the limit."""
    if of.xid_age > of.xid_limit * _OLD_SHARE:
        text = _("its oldest row is {age} transactions old; at {limit} autovacuum is forced upon it")
        yield text.format(age=of.xid_age, limit=of.xid_limit), 1000.0 * of.xid_age / of.xid_limit
    if of.multixact_age > of.multixact_limit * _OLD_SHARE:
        text = _("its oldest multixact is {age} old; at {limit} autovacuum is forced upon it")
        share = 1000.0 * of.multixact_age / of.multixact_limit
        yield text.format(age=of.multixact_age, limit=of.multixact_limit), share
    if of.dead_rows > of.dead_limit:
        text = _("{dead} dead rows, more than {limit:.0f}")
        yield text.format(dead=of.dead_rows, limit=of.dead_limit), of.dead_rows / max(1.0, of.dead_limit)
    if of.insert_limit is not None and of.inserted_rows > of.insert_limit:
        text = _("{count} rows inserted since the last vacuum, more than {limit:.0f}")
        over = of.inserted_rows / max(1.0, of.insert_limit)
        yield text.format(count=of.inserted_rows, limit=of.insert_limit), over


def _analyze_reasons(of: UpkeepRelation) -> Iterator[tuple[str, float]]:
    if of.analyzed_seconds is None and (of.live_rows or of.rows or of.size_bytes or of.changed_rows):
        yield _("never analyzed since statistics are counted"), 1.0
    elif of.changed_rows > of.change_limit:
        text = _("{count} rows changed since the last analyze, more than {limit:.0f}")
        over = of.changed_rows / max(1.0, of.change_limit)
        yield text.format(count=of.changed_rows, limit=of.change_limit), over


def _parent_reasons(parent: UpkeepRelation, leaves: list[UpkeepRelation]) -> Iterator[str]:
    changed = sum(leaf.changed_rows for leaf in leaves)
    analyzed = [leaf.analyzed_seconds for leaf in leaves if leaf.analyzed_seconds is not None]
    if parent.analyzed_seconds is None and any(leaf.live_rows or leaf.rows for leaf in leaves):
        yield _("a partitioned table that was never analyzed: autovacuum does not do it")
    elif parent.analyzed_seconds is None:
        return
    elif changed > parent.change_limit:
        text = _("{count} rows changed in its partitions since they were analyzed, more than {limit:.0f}")
        yield text.format(count=changed, limit=parent.change_limit)
    elif parent.analyzed_seconds > _PARENT_SECONDS and min(analyzed, default=1e18) < parent.analyzed_seconds:
        yield _("its partitions were analyzed since; autovacuum does not do it for the whole")


def _looks(site: Site, *arguments: str) -> tuple[str, ...]:
    require_configured(site)
    asked = wanted(arguments)
    if asked.is_full and len(asked.names) != 1:
        raise UsageError(_("--full takes exactly one table"), hint="samaops db bloat")
    return (*BACKENDS, *RELATIONS, *HOLDERS, *(DIRECTORIES if asked.is_full else ()))


@verb("db vacuum", looks=_looks)
def plan_vacuum(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan that tables are vacuumed one by one: those named, else those that need it, the most urgent first.

    Guards: our role may do it, nobody restores or migrates, no other samaops tends this database.
    """
    asked = wanted(arguments)
    if asked.is_full:
        return _plan_full(snapshot, site, asked, arguments)
    return _plan(snapshot, site, asked, arguments, does=VACUUM)


@verb("db analyze", looks=_looks)
def plan_analyze(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan that tables are analyzed one by one: those named, else those that changed since, or never were."""
    return _plan(snapshot, site, wanted(arguments), arguments, does=ANALYZE)


def _plan(snapshot: Snapshot, site: Site, asked: Wanted, arguments: tuple[str, ...], does: str) -> Plan:
    database = database_of(site)
    require_alone(snapshot, database, Work.VACUUM if does == VACUUM else Work.ANALYZE)
    title = _("Vacuum tables of {database}") if does == VACUUM else _("Analyze tables of {database}")
    steps, left_out, notes = steps_of(snapshot, site, asked, {does})
    if does == VACUUM:
        notes += held_back(snapshot, steps)
    if steps:
        notes.append(_("Each holds ShareUpdateExclusive on its table: reads and writes go on, DDL waits"))
    nothing = _("no table needs it") if not asked.names else _("none of them is left to do")
    return Plan(
        f"db {does}", arguments, title.format(database=database), database, tuple(steps),
        nothing_to_do="" if steps else nothing, notes=tuple(notes), steps_stand_alone=True, left_out=tuple(left_out),
        lock=UPKEEP,
    )  # fmt: skip


def database_of(site: Site) -> str:
    """Return the name of the database that is tended."""
    assert site.settings.postgresql is not None
    return site.settings.postgresql.database


def steps_of(
    snapshot: Snapshot, site: Site, asked: Wanted, does: AbstractSet[str]
) -> tuple[list[Step], list[LeftOut], list[str]]:
    """Return a step for each table that is named or in need, what is left out, and notes."""
    facts, past, until = upkeep_facts(snapshot), past_in(snapshot), ends_at(asked.window, snapshot.taken_at)
    relations = known(facts.upkeep_relations, _("which tables there are"))
    left_out: list[LeftOut] = []
    notes: list[str] = []
    if asked.names:
        chosen, left_out = resolve(asked.names, relations, _("table"))
        needs = list(_named(chosen, relations, does))
        done = [need for need in needs if need.relation.full_name in past.done]
        needs = [need for need in needs if need not in done]
        notes += resumed(past, [need.relation.full_name for need in done])
    else:
        needs = [need_of(relation, relations) for relation in relations]
        needs = [need for need in needs if (VACUUM in does and need.vacuum) or need.analyze]
        needs.sort(key=lambda need: -need.urgency)
    left_out += [
        LeftOut(_about(need), _("it is a foreign table: its rows are elsewhere"))
        for need in needs
        if need.relation.kind == "f"
    ]
    left_out += [not_owner(need.relation, facts.role) for need in needs if not need.relation.may_maintain]
    possible = [need for need in needs if need.relation.may_maintain and need.relation.kind != "f"]
    if len(possible) > MOST_STEPS:
        text = _("{count} tables more need it; run it again for them")
        notes.append(text.format(count=len(possible) - MOST_STEPS))
    truncate = not facts.standbys
    if facts.standbys and possible and VACUUM in does:
        notes.append(_("The ends of the tables are not cut off: that would stop readers on the standby"))
    steps = [_step(need, site, until, does, truncate=truncate) for need in possible[:MOST_STEPS]]
    return steps, left_out, notes


def _about(need: Need) -> str:
    return f"postgresql/{need.relation.full_name}"


def _named(
    chosen: list[UpkeepRelation], relations: Iterable[UpkeepRelation], does: AbstractSet[str]
) -> Iterator[Need]:
    """Yield the work for tables that are named; of a partitioned one each partition, then the whole."""
    for relation in chosen:
        if relation.kind == "p" and VACUUM in does:
            leaves = [leaf for leaf in relations if relation.oid in leaf.parents and leaf.kind != "p"]
            yield from (_asked(leaf, does) for leaf in leaves)
        yield _asked(relation, does)


def _asked(relation: UpkeepRelation, does: AbstractSet[str]) -> Need:
    need, reason = need_of(relation), (_("it was asked for"),)
    if relation.kind == "p" or VACUUM not in does:
        return Need(relation, analyze=need.analyze or reason)
    return Need(relation, need.vacuum or reason, need.analyze)


def _step(need: Need, site: Site, until: float, does: AbstractSet[str], *, truncate: bool) -> Step:
    relation, server = need.relation, require_configured(site)
    is_vacuum = bool(VACUUM in does and need.vacuum)
    title = _("Analyze {name}: {reasons}")
    if is_vacuum:
        title = _("Vacuum and analyze {name}: {reasons}") if need.analyze else _("Vacuum {name}: {reasons}")
    reasons = (*need.vacuum, *need.analyze) if is_vacuum else need.analyze
    work = Upkeep(
        VACUUM if is_vacuum else ANALYZE, relation.schema, relation.name, relation.oid,
        f"samaops db {VACUUM if is_vacuum else ANALYZE}", analyze=bool(need.analyze), truncate=truncate, ends_at=until,
    )  # fmt: skip
    return Step(
        "db.vacuum" if is_vacuum else "db.analyze",
        title.format(name=relation.full_name, reasons=joined(reasons)),
        Risk.SAFE,
        operation(work, server),
        before=(),
        after=(),
        no_undo=_("nothing that anybody sees is changed by it"),
        servers=(server,),
        about=_about(need),
    )


def _plan_full(snapshot: Snapshot, site: Site, asked: Wanted, arguments: tuple[str, ...]) -> Plan:
    """Plan that one table is written anew: its space goes back to the disk, and nobody reaches it meanwhile."""
    facts, server, database = upkeep_facts(snapshot), require_configured(site), database_of(site)
    require_alone(snapshot, database, Work.FULL)
    relations = known(facts.upkeep_relations, _("which tables there are"))
    chosen, left_out = resolve(asked.names, relations, _("table"))
    plan = Plan("db vacuum", arguments, _("Write {name} anew").format(name=asked.names[0]), asked.names[0])
    relation = chosen[0] if chosen else None
    if relation is not None and relation.kind not in ("r", "m"):
        reason = _("it is a partitioned or foreign table; --full takes one that holds rows itself")
        left_out.append(LeftOut(f"postgresql/{relation.full_name}", reason))
    elif relation is not None and not relation.may_maintain:
        left_out.append(not_owner(relation, facts.role))
    if relation is None or left_out:
        return replace(plan, nothing_to_do=_("none of them is left to do"), left_out=tuple(left_out))
    needed = round(relation.size_bytes * _FULL_COPIES)
    missing = int(bytes_missing(snapshot, relation.tablespace, needed) or 0)
    if missing:
        raise RefusedError(lacking(relation.full_name, needed, missing))
    work = Upkeep(
        FULL,
        relation.schema,
        relation.name,
        relation.oid,
        "samaops db vacuum",
        ends_at=ends_at(asked.window, snapshot.taken_at),
    )
    plain = (typed(site, f"db {verb} {operands(relation.full_name)}") for verb in ("vacuum", "reindex"))
    note = _("Plain vacuum and reindex often do the same without a lock: {commands}").format(
        commands=joined(plain)
    )
    lock = _("It takes AccessExclusive, and gives up when it does not get it within a second")
    return replace(
        plan,
        target=relation.full_name,
        steps=(_full_step(relation, work, needed, server),),
        notes=(note, lock),
        steps_stand_alone=True,
        lock=UPKEEP,
    )


def _full_step(relation: UpkeepRelation, work: Upkeep, needed: int, server: str) -> Step:
    """Return the step that writes a table anew, for which so many bytes must be free."""
    seconds = max(1.0, relation.size_bytes / _FULL_BYTES_PER_SECOND)
    destroys = _(
        "no row is lost; but for about {seconds} nobody reads or writes {name}, and statements pile up"
    )
    return Step(
        "db.vacuum_full",
        _("Write {name} anew ({size}), under a lock that lets nobody in").format(
            name=relation.full_name, size=size(relation.size_bytes)
        ),
        Risk.DESTRUCTIVE,
        operation(work, server),
        before=(),
        after=(),
        needs=(room(relation.tablespace, needed),),
        no_undo=_("the table is as it was, only smaller"),
        destroys=destroys.format(seconds=duration(seconds), name=relation.full_name),
        servers=(server,),
        about=f"postgresql/{relation.full_name}",
    )


def room(tablespace: str, needed: int) -> Condition:
    """Return the condition that so many bytes are free where a tablespace lies."""
    text = _("{size} are free where it lies (bytes missing: 0)").format(size=size(needed))
    return Condition("postgresql.bytes_missing", (tablespace, needed), 0, text)


def lacking(name: str, needed: int, missing: int) -> str:
    """Return the sentence that there is too little room."""
    text = _("{name} needs {needed} bytes of free disk meanwhile; {missing} bytes are missing")
    return text.format(name=name, needed=needed, missing=missing)
