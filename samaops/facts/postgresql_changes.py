"""What is read of PostgreSQL only for a change: what a session, an index, a table or a setting is before it is touched."""

from __future__ import annotations

from msgspec import Struct

# Under these names dumps, base backups, what keeps a cluster and samaops itself work: what they have done would be lost.
PROTECTED = (
    "pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "pg_receivewal", "pg_probackup", "barman", "pgbackrest",
    "wal-g", "patroni", "repmgrd", "samaops",
)  # fmt: skip


def is_protected(application: str) -> bool:
    """Return whether a session of this application must not be ended."""
    return application.split(" ", maxsplit=1)[0].split(":", maxsplit=1)[0].casefold() in PROTECTED


class Backend(Struct, frozen=True):
    """A process of the server, as a change must know it. The same pid with another ``started`` is another session.

    ``blocked_by`` holds pids, 0 being a prepared transaction. ``may_signal`` is None for a process that is nobody's.
    ``user``, ``database``, ``client`` and ``state`` are empty where it has none.
    """

    pid: int
    started: str
    is_ours: bool
    type: str
    user: str
    is_superuser: bool
    may_signal: bool | None
    database: str
    application: str
    client: str
    state: str
    wait: str  # "type:event", empty when it does not wait
    blocked_by: tuple[int, ...]
    transaction_seconds: float | None
    query_seconds: float | None
    state_seconds: float | None
    query: str
    query_started: str = ""  # of its statement, or of the last one; as exact as ``started``


class PreparedToEnd(Struct, frozen=True):
    """A prepared transaction, as a change must know it; ``blocks`` holds the pids that wait for what it has locked.

    ``is_here``: made in the database that we are connected to, the only one where it can be ended.
    """

    gid: str
    started: str
    owner: str
    database: str
    is_here: bool
    may_end: bool
    seconds: float
    blocks: tuple[int, ...]


class SlotToDrop(Struct, frozen=True):
    """A replication slot, as a change must know it. A logical one can be dropped only from its own database.

    ``wal_seconds``: so old is the WAL that its reader wants next, None where that is not known.
    """

    name: str
    type: str
    database: str | None
    is_here: bool
    active_pid: int | None
    wal_status: str | None
    retained_bytes: int | None
    xmin_age: int | None
    wal_seconds: float | None
    is_synchronous: bool
    may_drop: bool


class Checkpointing(Struct, frozen=True):
    """Where the last checkpoint is, how long ago it began, and whether we may ask for one."""

    lsn: str
    seconds: float
    may: bool
    block_bytes: int


class DirtyBuffers(Struct, frozen=True):
    """How many of the shared buffers a checkpoint has to write."""

    dirty: int
    total: int


class FileSetting(Struct, frozen=True):
    """A line of a configuration file. With ``stops_reload`` nothing of all files is taken as long as it stands there."""

    file: str
    line: int
    name: str
    value: str | None
    is_auto: bool
    is_applied: bool
    error: str
    stops_reload: bool


class Parameter(Struct, frozen=True):
    """A setting, as a change must know it. ``files`` has its lines, and those of others that are wrong.

    ``overrides`` are what roles and databases have in its place, ``least`` and ``most`` None where it is no number.
    """

    name: str
    shown: str
    unit: str
    context: str
    type: str
    least: str | None
    most: str | None
    values: tuple[str, ...]
    source: str
    file: str
    loaded: str
    may_alter: bool
    may_reload: bool
    may_read_files: bool
    overrides: tuple[str, ...]
    files: tuple[FileSetting, ...] = ()


class Index(Struct, frozen=True):
    """An index, as a change must know it. ``on`` is its definition from there on, as the server writes it.

    ``constraint`` is empty where it enforces none. ``counted_seconds``: since then ``scans`` count;
    ``is_counted_since_start``: all statistics began with this start, as after a crash, which takes them.
    """

    oid: int
    schema: str
    name: str
    relation: str
    definition: str
    on: str
    tablespace: str
    is_valid: bool
    is_unique: bool
    is_primary: bool
    is_replica_identity: bool
    is_partitioned: bool
    is_partition: bool
    is_of_system: bool
    is_of_extension: bool
    constraint: str
    referenced_by: tuple[str, ...]
    serves_keys: tuple[str, ...]
    may_change: bool
    owner: str
    size_bytes: int
    scans: int
    counted_seconds: float | None
    is_counted_since_start: bool


class IndexColumn(Struct, frozen=True):
    """A column that may be in an index; ``width`` is None where no statistics tell it."""

    quoted: str
    width: int | None
    has_order: bool


class TableIndex(Struct, frozen=True):
    """An index that a table has; ``is_plain``: of columns alone, of all rows, in order."""

    name: str
    is_valid: bool
    is_unique: bool
    is_plain: bool
    columns: tuple[str, ...]


class IndexTable(Struct, frozen=True):
    """A table that is to get an index. ``rows`` is an estimate, 0 where it was never analyzed."""

    schema: str
    name: str
    relation: str
    kind: str
    is_ours: bool
    owner: str
    may_create: bool
    rows: int
    size_bytes: int
    columns: dict[str, IndexColumn]
    indexes: tuple[TableIndex, ...]


class UpkeepRelation(Struct, frozen=True):
    """A table, a materialized view, a partitioned or foreign table, with the limits by which autovacuum judges it.

    ``kind`` is that of pg_class; ``size_bytes`` and ``rows`` are as counted last. ``insert_limit`` is None where inserts start
    no vacuum, the seconds are None when it never was. ``parents`` are the partitioned tables that it belongs to.
    """

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    may_maintain: bool
    is_superusers: bool
    tablespace: str
    size_bytes: int
    rows: float
    live_rows: int
    dead_rows: int
    dead_limit: float
    inserted_rows: int
    insert_limit: float | None
    changed_rows: int
    change_limit: float
    xid_age: int
    xid_limit: int
    multixact_age: int
    multixact_limit: int
    vacuumed_seconds: float | None
    analyzed_seconds: float | None
    parents: tuple[int, ...]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


class UpkeepIndex(Struct, frozen=True):
    """An index as its rebuild must know it. ``row_bytes`` is what one row should need, None where that cannot be told."""

    oid: int
    schema: str
    name: str
    table_oid: int
    table_schema: str
    table_name: str
    kind: str
    method: str
    is_exclusion: bool
    is_valid: bool
    owner: str
    may_maintain: bool
    is_superusers: bool
    tablespace: str
    size_bytes: int
    rows: float
    row_bytes: float | None

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def table(self) -> str:
        return f"{self.table_schema}.{self.table_name}"


class UnfinishedIndex(Struct, frozen=True):
    """An index that serves no query: left behind by what broke off, or being built now."""

    oid: int
    schema: str
    name: str
    table_oid: int


class DataDirectory(Struct, frozen=True):
    """Where a tablespace lies, and how much room is left there; the name "" is that of the database itself."""

    name: str
    path: str
    free_bytes: int


class Rebuild(Struct, frozen=True):
    """A rebuild of an index that the history tells of and that did not end well, and what was unfinished before it."""

    index: str
    table_oid: int
    unfinished_before: tuple[int, ...]


class UpkeepPast(Struct, frozen=True):
    """What the history tells of earlier upkeep of this site.

    ``interrupted`` is the change of the same words that was broken off last, and ``done`` what it had brought to its end.
    ``bytes_per_row`` are those of indexes just after their last rebuild.
    """

    interrupted: str = ""
    done: tuple[str, ...] = ()
    rebuilds: tuple[Rebuild, ...] = ()
    bytes_per_row: dict[str, float] = {}
