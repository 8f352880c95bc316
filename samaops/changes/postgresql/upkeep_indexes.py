"""Rebuild indexes beside everybody's work, one after the other; and all upkeep of a database as one plan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from samaops.changes.beside import Work
from samaops.changes.postgresql.sessions import BACKENDS, backends_in, require_configured
from samaops.changes.postgresql.upkeep import database_of, lacking, room, steps_of
from samaops.changes.postgresql.upkeep_work import (
    ANALYZE,
    DIRECTORIES,
    DROP,
    HOLDERS,
    MOST_STEPS,
    REINDEX,
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
from samaops.changes.readings import known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import Rebuild, UnfinishedIndex, UpkeepIndex, UpkeepPast
from samaops.i18n import _
from samaops.model.plan import UPKEEP, Condition, LeftOut, Plan, Risk, Scalar, Step
from samaops.model.quantities import duration, size
from samaops.site.commands import typed
from samaops.site.site import Site

INDEXES, UNFINISHED = ("postgresql.upkeep_indexes",), ("postgresql.unfinished_indexes",)
# pg_index_watch rebuilds above the same: twice what a row needed after the last rebuild, and no small ones.
_BLOATED, _LEAST_BYTES = 2.0, 10 * 1024 * 1024
# The copy, and what else grows meanwhile; the log carries the copy once more.
_COPY, _LOG = 1.2, 1.0
# Bug 17485: a rebuild beside writes could leave rows out of the index.
_CORRUPTING = range(140000, 140004)
_LEFTOVER = re.compile(r"(?P<base>.*)_cc(new|old)\d*$", re.DOTALL)
# Names are cut to 63 bytes, and so is the index's before what a rebuild adds.
_LONGEST_BASE = 63 - len("_ccnew")


@reading("postgresql.unfinished_of", codes=UNFINISHED)
def unfinished_of(snapshot: Snapshot, table_oid: int) -> Scalar:
    """Return the numbers of the unfinished indexes of a table, in their order."""
    return ",".join(
        str(index.oid) for index in _unfinished(upkeep_facts(snapshot)) if index.table_oid == table_oid
    )


def _unfinished(facts: PostgresFacts) -> tuple[UnfinishedIndex, ...]:
    return known(facts.unfinished_indexes, _("which indexes are unfinished"))


def _looks(site: Site, *arguments: str) -> tuple[str, ...]:
    require_configured(site)
    wanted(arguments)
    return (*BACKENDS, *RELATIONS, *INDEXES, *UNFINISHED, *DIRECTORIES)


# What gives a server room, where a copy lacks it.
ROOM = "samaops troubleshoot disk-full"


class _Wish(Struct, frozen=True):
    """An index that is to be rebuilt, why, how urgent, and whether that is only an estimate."""

    index: UpkeepIndex
    reason: str
    urgency: float = 1.0
    is_estimate: bool = False


@verb("db reindex", looks=_looks)
def plan_reindex(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan that indexes are rebuilt one by one: those named, those of tables named, else those that need it.

    Guards: the version does it rightly, nobody dumps, builds, restores or migrates, the copy has room on the disk.
    """
    asked, database = wanted(arguments), database_of(site)
    _require_reindexable(snapshot, database)
    steps, left_out, notes = _steps(snapshot, site, asked)
    if not steps and (short := [each for each in left_out if each.hint == ROOM]):
        raise RefusedError(short[0].reason, hint=ROOM)
    nothing = _("no index needs it") if not asked.names else _("none of them is left to do")
    return Plan(
        "db reindex", arguments, _("Rebuild indexes of {database}").format(database=database), database, tuple(steps),
        nothing_to_do="" if steps else nothing, notes=tuple(notes), steps_stand_alone=True, left_out=tuple(left_out),
        lock=UPKEEP,
    )  # fmt: skip


def _require_reindexable(snapshot: Snapshot, database: str) -> None:
    facts = upkeep_facts(snapshot)
    if facts.version_number in _CORRUPTING:
        text = _(
            "PostgreSQL {version} can corrupt an index that is rebuilt beside writes; 14.4 does it rightly"
        )
        raise RefusedError(text.format(version=facts.version))
    require_alone(snapshot, database, Work.REINDEX)


def _steps(snapshot: Snapshot, site: Site, asked: Wanted) -> tuple[list[Step], list[LeftOut], list[str]]:
    """Return a step for each leftover of ours and each index that is rebuilt, what is left out, and notes."""
    facts, past, until = upkeep_facts(snapshot), past_in(snapshot), ends_at(asked.window, snapshot.taken_at)
    indexes = known(facts.upkeep_indexes, _("which indexes there are"))
    unfinished, server = _unfinished(facts), require_configured(site)
    ours = list(_ours(unfinished, past.rebuilds))
    leftovers = {index.oid for index in unfinished if _LEFTOVER.match(index.name)}
    notes = resumed(past, past.done) if asked.names else []
    left_out: list[LeftOut] = []
    wishes = list(_needed(indexes, leftovers, past))
    if asked.names:
        chosen, left_out = _chosen(asked.names, indexes, facts)
        reasons = {wish.index.oid: wish for wish in wishes}
        wishes = [reasons.get(index.oid, _Wish(index, _("it was asked for"))) for index in chosen]
        wishes = [_Wish(wish.index, wish.reason) for wish in wishes if wish.index.full_name not in past.done]
    wishes.sort(key=lambda wish: wish.index.is_valid)
    left_out += [
        LeftOut(
            f"postgresql/{index.schema}.{index.name}",
            _("a rebuild of somebody else left it; it is not touched"),
        )
        for index in unfinished
        if index.oid in leftovers and index not in ours
    ]
    steps = [_dropping(index, server, until, asked) for index in ours]
    # Gone, or well, when the turn of the others comes.
    mended = {index.oid for index in ours} | {wish.index.oid for wish in wishes if not wish.index.is_valid}
    turn = _Turn(server, until, asked.wait_seconds, unfinished, frozenset(mended))
    for wish in wishes:
        if wish.index.oid in leftovers:
            continue  # told above, or removed
        reason = _left_out(wish.index, facts)
        if reason is not None:
            left_out.append(reason)
            continue
        needed = round(wish.index.size_bytes * (_COPY + _LOG))
        missing = int(bytes_missing(snapshot, wish.index.tablespace, needed) or 0)
        if missing:
            text = lacking(wish.index.full_name, needed, missing)
            left_out.append(LeftOut(f"postgresql/{wish.index.full_name}", text, ROOM, is_failure=True))
            continue
        steps.append(_rebuilding(wish, turn))
    if len(steps) > MOST_STEPS:
        notes.append(
            _("{count} indexes more need it; run it again for them").format(count=len(steps) - MOST_STEPS)
        )
    notes += list(_long_transactions(snapshot, site)) if steps else []
    if steps:
        notes.append(
            _("Each holds ShareUpdateExclusive on its table: reads and writes go on, DDL and vacuum wait")
        )
    return steps[:MOST_STEPS], left_out, notes


def _ours(unfinished: Sequence[UnfinishedIndex], rebuilds: Iterable[Rebuild]) -> Iterator[UnfinishedIndex]:
    """Yield what rebuilds of ours have left: named after their index, on its table, and not there before."""
    known_oids: set[int] = set()
    for rebuild in rebuilds:
        schema, _dot, name = rebuild.index.partition(".")
        for index in sorted(unfinished, key=lambda each: each.oid):
            is_new = index.oid not in rebuild.unfinished_before and index.table_oid == rebuild.table_oid
            if (
                is_new
                and index.schema == schema
                and is_leftover_of(index.name, name)
                and index.oid not in known_oids
            ):
                known_oids.add(index.oid)
                yield index
                break  # one rebuild leaves one; whatever came later is somebody else's


def is_leftover_of(name: str, index: str) -> bool:
    """Return whether a broken rebuild of ``index`` leaves an index of this name."""
    matched = _LEFTOVER.match(name)
    if matched is None:
        return False
    base = matched["base"]
    return base == index or (index.startswith(base) and len(base.encode()) >= _LONGEST_BASE - 4)


def _needed(indexes: Iterable[UpkeepIndex], leftovers: set[int], past: UpkeepPast) -> Iterator[_Wish]:
    """Yield the indexes that need a rebuild: those that serve no query, and those far larger than they should be."""
    wishes = []
    for index in indexes:
        if index.kind != "i" or index.oid in leftovers:
            continue
        if not index.is_valid:
            wishes.append(_Wish(index, _("it is invalid: each write keeps it, no query uses it"), 1e9))
            continue
        if index.size_bytes < _LEAST_BYTES or index.method == "brin" or index.is_exclusion:
            continue
        best = past.bytes_per_row.get(index.full_name)
        expected = best or index.row_bytes
        if expected is None or not index.rows:
            continue
        times = index.size_bytes / (index.rows * expected)
        if times > _BLOATED:
            text = (
                _("{times:.1f} times as large as after its last rebuild ({size})")
                if best
                else _("by estimate {times:.1f} times as large as it should be ({size})")
            )
            reason = text.format(times=times, size=size(index.size_bytes))
            wishes.append(
                _Wish(index, reason, index.size_bytes - index.rows * expected, is_estimate=best is None)
            )
    yield from sorted(wishes, key=lambda wish: -wish.urgency)


def _chosen(
    names: Iterable[str], indexes: Sequence[UpkeepIndex], facts: PostgresFacts
) -> tuple[list[UpkeepIndex], list[LeftOut]]:
    """Return the indexes of these names, and those of tables of these names. Raises UsageError."""
    chosen: list[UpkeepIndex] = []
    left_out: list[LeftOut] = []
    tables = known(facts.upkeep_relations, _("which tables there are"))
    for name in names:
        of_table = [table for table in tables if name in (table.full_name, table.name)]
        if not of_table:
            named, outside = resolve((name,), indexes, _("index or table"))
            chosen += named
            left_out += outside
            continue
        (table, *others) = [each for each in of_table if each.full_name == name] or of_table
        if others:
            text = _("{name} is the name of several: {names}")
            raise UsageError(text.format(name=name, names=", ".join(each.full_name for each in of_table)))
        if table.kind in ("p", "f"):
            reason = (
                _partitioned() if table.kind == "p" else _("it is a foreign table: its rows are elsewhere")
            )
            left_out.append(LeftOut(f"postgresql/{table.full_name}", reason))
        chosen += [index for index in indexes if index.table_oid == table.oid and index.kind == "i"]
    return list(dict.fromkeys(chosen)), left_out


def _partitioned() -> str:
    return _("it is partitioned and holds nothing itself; name its partitions: each is rebuilt alone")


def _left_out(index: UpkeepIndex, facts: PostgresFacts) -> LeftOut | None:
    """Return why an index is not rebuilt; None where it can be."""
    reason = ""
    if index.kind == "I":
        reason = _partitioned()
    elif index.is_exclusion:
        reason = _("it enforces an exclusion constraint: PostgreSQL does not rebuild that beside writes")
    elif index.method == "brin":
        reason = _("a BRIN index does not bloat; brin_summarize_new_values() brings it up to date")
    elif index.schema in ("pg_catalog", "information_schema"):
        reason = _(
            "it is a catalog of the server: autovacuum tends it, and it is not rebuilt beside its work"
        )
    elif not index.may_maintain:
        return not_owner(index, facts.role)
    return LeftOut(f"postgresql/{index.full_name}", reason) if reason else None


def _long_transactions(snapshot: Snapshot, site: Site) -> Iterator[str]:
    text = _("It waits first for pid {pid}: {user} of {application}, in its transaction for {age}")
    for backend in backends_in(snapshot):
        seconds = backend.transaction_seconds or 0.0
        if seconds >= 10.0 and backend.database == database_of(site) and not backend.is_ours:
            words = {
                "pid": backend.pid,
                "user": backend.user or backend.type,
                "application": backend.application or "?",
            }
            yield text.format(age=duration(seconds), **words)


class _Turn(Struct, frozen=True):
    """What all rebuilds of one plan share."""

    server: str
    ends_at: float
    wait_seconds: float
    unfinished: tuple[UnfinishedIndex, ...]
    mended: frozenset[int]

    def left_of(self, table_oid: int) -> tuple[int, ...]:
        """Return the unfinished indexes that a table has once ours are removed and those that are asked for are well."""
        unfinished = (index for index in self.unfinished if index.oid not in self.mended)
        return tuple(index.oid for index in unfinished if index.table_oid == table_oid)


def _rebuilding(wish: _Wish, turn: _Turn) -> Step:
    index = wish.index
    before = turn.left_of(index.table_oid)
    # An invalid index that is rebuilt is not unfinished any more once that has worked.
    work = Upkeep(
        REINDEX, index.schema, index.name, index.table_oid, "samaops db reindex", ends_at=turn.ends_at,
        wait_seconds=turn.wait_seconds, confirm=wish.is_estimate, unfinished_before=before,
    )  # fmt: skip
    text = _("the unfinished indexes of {table} are those that were seen").format(table=index.table)
    unchanged = Condition("postgresql.unfinished_of", (index.table_oid,), ",".join(map(str, before)), text)
    needed = round(index.size_bytes * (_COPY + _LOG))
    return Step(
        "db.reindex",
        _("Rebuild {name} of {table}: {reason}").format(
            name=index.full_name, table=index.table, reason=wish.reason
        ),
        Risk.SAFE,
        operation(work, turn.server),
        before=(),
        after=(),
        needs=(*(() if not index.is_valid else (unchanged,)), room(index.tablespace, needed)),
        no_undo=_("the index is the same, only smaller"),
        servers=(turn.server,),
        about=f"postgresql/{index.full_name}",
    )


def _dropping(index: UnfinishedIndex, server: str, until: float, asked: Wanted) -> Step:
    name = f"{index.schema}.{index.name}"
    work = Upkeep(
        DROP,
        index.schema,
        index.name,
        index.table_oid,
        "samaops db reindex",
        ends_at=until,
        wait_seconds=asked.wait_seconds,
    )
    return Step(
        "db.reindex.clean",
        _("Remove {name}, which a rebuild of ours left when it was broken off").format(name=name),
        Risk.SAFE,
        operation(work, server),
        before=(),
        after=(),
        no_undo=_("it serves no query"),
        servers=(server,),
        about=f"postgresql/{name}",
    )


def _optimize_looks(site: Site, *arguments: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*_looks(site, *arguments), *HOLDERS)))


@verb("db optimize", looks=_optimize_looks)
def plan_optimize(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan all upkeep that the database needs: vacuum, analyze, rebuilds; by need, and so it goes on where it ended."""
    asked, database = wanted(arguments), database_of(site)
    require_alone(snapshot, database, Work.VACUUM)
    steps, left_out, notes = steps_of(snapshot, site, asked, {VACUUM, ANALYZE})
    notes += held_back(snapshot, steps)
    try:
        _require_reindexable(snapshot, database)
    except RefusedError as error:
        notes.append(_("No index is rebuilt: {reason}").format(reason=error.message))
    else:
        rebuilding, indexes_left_out, more = _steps(snapshot, site, asked)
        steps, left_out, notes = [*steps, *rebuilding], [*left_out, *indexes_left_out], [*notes, *more]
    notes += [
        _(
            "Left out: VACUUM FULL, which lets nobody at a table for as long as it takes; of a table: {command}"
        ).format(command=typed(site, "db vacuum --full TABLE")),
        _("Left out: REINDEX DATABASE, which stops writes; the indexes that need it are rebuilt beside them"),
        _(
            "Left out: pg_stat_reset, after which autovacuum forgets its work, and dropping unused indexes unasked"
        ),
    ]
    title = _("Tend {database}: vacuum, analyze and rebuild what needs it").format(database=database)
    return Plan(
        "db optimize", arguments, title, database, tuple(steps), notes=tuple(dict.fromkeys(notes)),
        nothing_to_do="" if steps else _("nothing needs it"), steps_stand_alone=True, left_out=tuple(left_out),
        lock=UPKEEP,
    )  # fmt: skip
