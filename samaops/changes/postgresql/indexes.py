"""Build an index, and drop one, while everybody reads and writes: CONCURRENTLY, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.postgresql.sessions import BACKENDS, backends_in, require_configured
from samaops.changes.readings import UnreadableError, facts_in, known, reading
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts import selection
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import Backend, Index, IndexTable
from samaops.facts.servers import FileSystem, ServerFacts
from samaops.i18n import _
from samaops.model.plan import UPKEEP, Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import duration, size
from samaops.site.commands import as_superuser, sql_name
from samaops.site.site import Site

BUILD, DROP = "postgresql.build_index", "postgresql.drop_index"
PART, TABLE_PART = "postgresql.index", "postgresql.index_table"
DISK = "servers.disk.full"
UNIQUE = "--unique"
# A build is never in anybody's way; only its waiting for others is bounded, by --wait.
LONGEST_SECONDS = 24 * 3600.0
# Under this name an index is built, and gets its own when it serves: what is left under it was ours.
MARK = "_samaops"
LONGEST_NAME = 63
OLD_SECONDS = 10.0
MB = 1024**2
# An entry's head and pointer, the width of a column that nobody knows, and how full a page is made.
ENTRY_BYTES, UNKNOWN_WIDTH, FILL = 16, 32, 0.9
_OWN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


class Building(Struct, frozen=True):
    """An index that is to be there. With ``replaces_invalid`` one of its name that serves nobody gives way to it."""

    schema: str
    name: str
    relation: str
    is_unique: bool
    on: str
    tablespace: str = ""
    wait_seconds: float = 120.0
    replaces_invalid: bool = False

    @property
    def under(self) -> str:
        """The name under which it is built."""
        return building_name(self.name)


class Dropping(Struct, frozen=True):
    """An index that is to be gone: of this definition, or one that serves nobody."""

    schema: str
    name: str
    is_unique: bool
    on: str
    wait_seconds: float = 120.0


def building_name(name: str) -> str:
    """Return the name under which an index is built."""
    return name.encode()[: LONGEST_NAME - len(MARK)].decode(errors="ignore") + MARK


def _full(schema: str, name: str) -> str:
    return f"{schema}.{name}"


def _codes(name: str, *_more: object) -> tuple[str, ...]:
    return (selection.of(PART, name),)


def _codes_of_build(name: str, under: str, *_more: object) -> tuple[str, ...]:
    return (selection.of(PART, name), selection.of(PART, under))


@reading("postgresql.index_serves", codes=_codes)
def index_serves(snapshot: Snapshot, name: str, on: str) -> Scalar:
    """Return whether there is such an index, and queries may use it."""
    index = _indexes(snapshot).get(name)
    return index is not None and index.is_valid and index.on == on


@reading("postgresql.index_exists", codes=_codes)
def index_exists(snapshot: Snapshot, name: str) -> Scalar:
    """Return whether there is an index of this name, whatever its state."""
    return name in _indexes(snapshot)


@reading("postgresql.index_is_made", codes=_codes_of_build)
def index_is_made(snapshot: Snapshot, name: str, under: str, on: str) -> Scalar:
    """Return whether an index is there that was to be built, or what is left of its building."""
    return bool(index_serves(snapshot, name, on)) or under in _indexes(snapshot)


def _indexes(snapshot: Snapshot) -> dict[str, Index]:
    return known(facts_in(snapshot, PostgresFacts).indexes, _("which indexes there are"))


def _looks_to_drop(site: Site, name: str, _wait: str) -> tuple[str, ...]:
    require_configured(site)
    return (*_codes(name), *BACKENDS)


@verb("db index drop", looks=_looks_to_drop, typed=lambda name, _wait: (name,))
def plan_drop(snapshot: Snapshot, site: Site, name: str, wait: str) -> Plan:
    """Plan that an index is dropped. Guards: never what enforces or identifies, nor a part of something else."""
    server, index = require_configured(site), _indexes(snapshot).get(name)
    title = _("Drop the index {name}").format(name=name)
    plan = Plan("db index drop", (name, wait), title, target=name, lock=UPKEEP)
    if index is None:
        return replace(plan, nothing_to_do=_("there is no index {name}").format(name=name))
    _require_droppable(site, index)
    full, wait_seconds = _full(index.schema, index.name), float(wait)
    dropping = Dropping(index.schema, index.name, index.is_unique, index.on, wait_seconds)
    words = {"name": full, "relation": index.relation}
    serves = Condition(
        "postgresql.index_serves",
        (full, index.on),
        True,
        _("{name} serves the queries of {relation}").format(**words),
    )
    step = Step(
        "db.index_drop",
        title,
        Risk.DISRUPTIVE,
        operation=Operation(DROP, to_builtins(dropping), server, LONGEST_SECONDS),
        before=(serves,),
        after=(replace(serves, value=False, text=_("{name} is gone").format(**words)),),
        servers=(),
    )
    if index.is_valid:
        building = Building(
            index.schema,
            index.name,
            index.relation,
            index.is_unique,
            index.on,
            index.tablespace,
            wait_seconds,
            replaces_invalid=True,
        )
        step = replace(step, undo=Operation(BUILD, to_builtins(building), server, LONGEST_SECONDS))
    else:
        exists = Condition("postgresql.index_exists", (full,), True, _("{name} is there").format(**words))
        no_undo = _("it is invalid: it costs every write and serves no query")
        step = replace(
            step,
            before=(exists,),
            after=(replace(exists, value=False, text=step.after[0].text),),
            no_undo=no_undo,
        )
    return replace(plan, steps=(step,), notes=(*_usage(index), *_in_the_way(backends_in(snapshot))))


def _require_droppable(site: Site, index: Index) -> None:
    reason, hint = next(iter(_against_dropping(site, index)), ("", ""))
    if reason:
        text = _("the index {name} is not dropped: {reason}")
        raise RefusedError(text.format(name=index.name, reason=reason), hint=hint)


def _against_dropping(site: Site, index: Index) -> Iterator[tuple[str, str]]:
    hint = "samaops db indexes"
    if index.is_of_system:
        yield _("it belongs to PostgreSQL itself"), hint
    if index.is_primary:
        yield _("it is the primary key of {relation}").format(relation=index.relation), hint
    if index.referenced_by:
        text = _("foreign keys refer to it: {keys}")
        yield text.format(keys=", ".join(index.referenced_by)), hint
    if index.constraint:
        yield _("it enforces the constraint {name}").format(name=index.constraint), hint
    if index.is_replica_identity:
        yield _("replication tells rows of {relation} apart by it").format(relation=index.relation), hint
    if index.is_unique:
        yield (
            _("it is unique: it keeps rows of {relation} apart, however seldom it is read").format(
                relation=index.relation
            ),
            hint,
        )
    if index.is_partitioned or index.is_partition:
        yield (
            _("it is an index of a partitioned table, or a part of one: CONCURRENTLY is not possible there"),
            hint,
        )
    if index.is_of_extension:
        yield _("it belongs to an extension"), hint
    if not index.may_change:
        yield from _not_owner(site, index.owner)


def _not_owner(site: Site, owner: str) -> Iterator[tuple[str, str]]:
    role = site.settings.postgresql.user if site.settings.postgresql else "samaops"
    text = _("our role {role} is no member of its owner {owner}")
    yield (
        text.format(role=role, owner=owner),
        as_superuser(site, f"GRANT {sql_name(owner)} TO {sql_name(role)}"),
    )


def _usage(index: Index) -> Iterator[str]:
    """Tell how much it is used, and whether that can be trusted. No advice where statistics began with this start."""
    text = _("{definition}: {size}, read {scans} times")
    yield text.format(definition=index.definition, size=size(index.size_bytes), scans=index.scans)
    since = duration(index.counted_seconds or 0.0)
    if index.is_counted_since_start or index.counted_seconds is None:
        text = _(
            "statistics count for {since} only, since the server started: a crash takes all that were before. "
            "How seldom it is read says nothing"
        )
        yield text.format(since=since)
    else:
        yield _("statistics count for {since}; what runs once a month or a year may need it").format(
            since=since
        )
    if index.serves_keys:
        text = _("deleting what these foreign keys refer to reads the whole table without it: {keys}")
        yield text.format(keys=", ".join(index.serves_keys))


def _in_the_way(backends: tuple[Backend, ...]) -> Iterator[str]:
    """Tell which open transactions it will wait for."""
    old = [each for each in backends if (each.transaction_seconds or 0.0) > OLD_SECONDS and not each.is_ours]
    for backend in sorted(old, key=lambda each: -(each.transaction_seconds or 0.0))[:3]:
        text = _("it waits for open transactions: pid {pid} ({who}), {seconds:.0f} s old")
        who = " / ".join(part for part in (backend.user, backend.application, backend.client) if part)
        yield text.format(pid=backend.pid, who=who or backend.type, seconds=backend.transaction_seconds)


def _looks_to_create(site: Site, table: str, name: str, _wait: str, *columns: str) -> tuple[str, ...]:
    server = require_configured(site)
    wanted = [column for column in columns if column != UNIQUE]
    if not wanted:
        raise UsageError(_("name at least one column"), hint="samaops db index create --help")
    if name and (not _OWN_NAME.fullmatch(name) or len(name) > LONGEST_NAME):
        raise UsageError(_("{name!r} is no name for an index: small letters, digits and _").format(name=name))
    schema = table.rpartition(".")[0] or "public"
    chosen = _full(schema, name or _default_name(table, wanted))
    looks = (selection.of(TABLE_PART, table), *_codes_of_build(chosen, _under(chosen)), *BACKENDS)
    return (*looks, f"{DISK}@{server}") if server in site.settings.servers else looks


def _default_name(table: str, columns: list[str]) -> str:
    name = "_".join((table.rpartition(".")[2], *columns, "idx")).lower()
    return re.sub(r"[^a-z0-9_]", "_", name)[:LONGEST_NAME]


def _under(full: str) -> str:
    schema, _dot, name = full.rpartition(".")
    return _full(schema, building_name(name))


def _typed(table: str, name: str, _wait: str, *columns: str) -> tuple[str, ...]:
    return (table, *columns, *(("--name", name) if name else ()))


@verb("db index create", looks=_looks_to_create, typed=_typed)
def plan_create(snapshot: Snapshot, site: Site, table: str, name: str, wait: str, *columns: str) -> Plan:
    """Plan that an index is built. Guards: room on the disk, no second one of the same, a name that is free."""
    server, is_unique = require_configured(site), UNIQUE in columns
    wanted = tuple(column for column in columns if column != UNIQUE)
    arguments = (table, name, wait, *columns)
    tables = known(
        facts_in(snapshot, PostgresFacts).index_tables, _("what the table {name} is").format(name=table)
    )
    if table not in tables:
        raise UsageError(_("there is no table {name}").format(name=table), hint="samaops db size")
    of_table = tables[table]
    _require_possible(site, of_table, wanted)
    name = name or _default_name(of_table.name, list(wanted))
    full = _full(of_table.schema, name)
    keys = ", ".join(of_table.columns[column].quoted for column in wanted)
    on = f"ON {of_table.relation} USING btree ({keys})"
    title = _("Build the index {name} on {relation} ({columns})").format(
        name=name, relation=of_table.relation, columns=", ".join(wanted)
    )
    plan = Plan("db index create", arguments, title, target=name, lock=UPKEEP)
    present = _indexes(snapshot).get(full)
    if present is not None and present.is_valid and (present.on, present.is_unique) == (on, is_unique):
        return replace(plan, nothing_to_do=_("{name} is there and serves").format(name=full))
    _require_new(of_table, name, wanted, is_unique=is_unique, is_taken=present is not None)
    notes = [*_room(snapshot, site, server, of_table, wanted)]
    building = Building(of_table.schema, name, of_table.relation, is_unique, on, wait_seconds=float(wait))
    dropping = Dropping(of_table.schema, name, is_unique, on, float(wait))
    of = (full, _full(of_table.schema, building.under), on)
    is_there = index_is_made(snapshot, *of)
    if is_there:
        notes.append(
            _(
                "an interrupted build of it has left {name}: it is taken where it serves, else removed first"
            ).format(name=building.under)
        )
    step = Step(
        "db.index_create",
        title,
        Risk.DISRUPTIVE,
        operation=Operation(BUILD, to_builtins(building), server, LONGEST_SECONDS),
        undo=Operation(DROP, to_builtins(dropping), server, LONGEST_SECONDS),
        before=()
        if is_there
        else (Condition("postgresql.index_is_made", of, False, _("{name} is not there").format(name=full)),),
        after=(Condition("postgresql.index_is_made", of, True, _("{name} is there").format(name=full)),),
        undo_restores=_("{name} is not there").format(name=full),
        servers=(),
    )
    return replace(plan, steps=(step,), notes=(*notes, *_in_the_way(backends_in(snapshot))))


def _require_possible(site: Site, table: IndexTable, columns: tuple[str, ...]) -> None:
    unknown = [column for column in columns if column not in table.columns]
    if unknown or len(set(columns)) < len(columns):
        text = _("{relation} has no column {columns}, or it is named twice; it has: {all}")
        named = ", ".join(unknown or columns)
        raise UsageError(text.format(relation=table.relation, columns=named, all=", ".join(table.columns)))
    reason, hint = "", "samaops db indexes"
    unordered = [column for column in columns if not table.columns[column].has_order]
    if table.kind == "p":
        reason = _("it is partitioned: build it on each partition, then ATTACH it to one ON ONLY the table")
    elif table.kind not in ("r", "m"):
        reason = _("it is no table")
    elif table.schema.startswith("pg_") or table.schema == "information_schema":
        reason = _("it belongs to PostgreSQL itself")
    elif unordered:
        reason = _("values of {columns} have no order: that needs another kind of index").format(
            columns=", ".join(unordered)
        )
    elif not table.is_ours:
        reason, hint = next(_not_owner(site, table.owner))
    elif not table.may_create:
        reason = _("our role may create nothing in the schema {schema}").format(schema=table.schema)
    if reason:
        text = _("no index is built on {relation}: {reason}")
        raise RefusedError(text.format(relation=table.relation, reason=reason), hint=hint)


def _require_new(
    table: IndexTable, name: str, columns: tuple[str, ...], *, is_unique: bool, is_taken: bool
) -> None:
    if is_taken:
        text = _("there is another index {name}, or an invalid one that samaops did not build")
        raise RefusedError(text.format(name=name), hint="samaops db index create … --name NAME")
    for index in table.indexes:
        is_ours = index.name == building_name(name)  # what an interrupted build has left
        if is_ours or not index.is_valid or not index.is_plain or (is_unique and not index.is_unique):
            continue
        is_same = index.columns == columns
        if is_same or (not is_unique and index.columns[: len(columns)] == columns):
            text = _("the index {name} ({columns}) serves the same queries already")
            raise RefusedError(
                text.format(name=index.name, columns=", ".join(index.columns)), hint="samaops db indexes"
            )


def _room(
    snapshot: Snapshot, site: Site, server: str, table: IndexTable, columns: tuple[str, ...]
) -> Iterator[str]:
    """Tell how large it will be, about. Raises RefusedError where the server's disk has no room for it."""
    widths = (table.columns[column].width for column in columns)
    entry = ENTRY_BYTES + sum(UNKNOWN_WIDTH if width is None else width for width in widths)
    estimate = round(table.rows * entry / FILL)
    yield _("about {size} MB, by {rows} rows: an estimate").format(size=-(-estimate // MB), rows=table.rows)
    disk = _disk(snapshot, site, server)
    if disk is None:
        yield _("how much room the disk of {server} has could not be looked at").format(server=server)
        return
    # As much again is sorted beside it, and the WAL has it too.
    needed = 3 * estimate
    words = {
        "mount": disk.mount,
        "server": server,
        "free": disk.available_bytes // MB,
        "needed": -(-needed // MB),
    }
    if needed > disk.available_bytes * 0.9:
        text = _(
            "{mount} on {server} has {free} MB left, and the build may need {needed} MB with its sort and WAL"
        )
        raise RefusedError(text.format(**words), hint="samaops troubleshoot disk-full")
    yield _("{mount} on {server} has {free} MB left, of which the build may need {needed} MB").format(**words)


def _disk(snapshot: Snapshot, site: Site, server: str) -> FileSystem | None:
    """Return the file system that the database is on; None where its server could not be looked at."""
    try:
        disks = facts_in(snapshot, ServerFacts, server).file_systems
    except UnreadableError:
        return None
    path = site.settings.postgresql.data_directory if site.settings.postgresql else "/"
    under = [disk for disk in disks if f"{path}/".startswith(disk.mount.rstrip("/") + "/")]
    return max(under, key=lambda disk: len(disk.mount), default=None)


def quoted_index(schema: str, name: str) -> str:
    """Return the name of an index as SQL takes it, with its schema."""
    return f"{quoted_name(schema)}.{quoted_name(name)}"


def quoted_name(name: str) -> str:
    """Return one name as SQL takes it, dots in it included."""
    return '"' + name.replace('"', '""') + '"'
