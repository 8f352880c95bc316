"""What is observed of PostgreSQL and judged; what only a change reads stands in ``facts/postgresql_changes.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct, field

from samaops.facts.portrait import Things
from samaops.facts.postgresql_changes import (
    Backend,
    Checkpointing,
    DataDirectory,
    DirtyBuffers,
    Index,
    IndexTable,
    Parameter,
    PreparedToEnd,
    SlotToDrop,
    UnfinishedIndex,
    UpkeepIndex,
    UpkeepRelation,
)


class Session(Struct, frozen=True):
    """One session of pg_stat_activity. ``query`` is cut, and passwords in it are masked."""

    pid: int
    user: str
    database: str
    application: str
    client: str
    state: str
    wait: str  # "type:event", empty when it does not wait
    transaction_seconds: float | None
    query_seconds: float | None
    state_seconds: float | None
    query: str


class Connections(Struct, frozen=True):
    """How many client sessions there are, ours included. The state "" is one that we may not see."""

    used: int
    by_state: dict[str, int]
    by_client: dict[str, int]  # "user/application/address" -> sessions
    started_within_10_s: int


class Holder(Struct, frozen=True):
    """Something that keeps old row versions alive: a session, a slot, a prepared transaction, a standby.

    ``seconds`` is how long its transaction is open, None where nobody knows since when it holds.
    """

    kind: str
    name: str
    xmin_age: int
    seconds: float | None = None
    pid: int | None = None
    state: str = ""


class Crowd(Struct, frozen=True):
    """The statement that most active sessions work on, as the server tells it from others; none waits for a lock."""

    query_id: int
    sessions: int
    query: str
    applications: dict[str, int]


class Scan(Struct, frozen=True):
    """A large table, and how many of its rows were read one after the other between two samples."""

    relation: str
    live_rows: int
    rows_read: int


class Rates(Struct, frozen=True):
    """What one statement did, and which tables were read without an index, between two samples; most rows first."""

    query_id: int
    seconds: float
    calls: int
    milliseconds: float
    rows: int
    blocks: int
    scans: tuple[Scan, ...]


class Activity(Struct, frozen=True):
    """What the other sessions do. Lists are longest first, at most ten long."""

    active: int
    longest_queries: tuple[Session, ...]
    idle_in_transaction: tuple[Session, ...]
    idle_in_transaction_count: int
    waiting: dict[str, int]  # "type:event" -> active sessions, without waits for the client
    wraparound_vacuums: tuple[str, ...]
    holders: tuple[Holder, ...]
    # In looks of an earlier samaops they are absent.
    vacuum_workers: int | None = None
    crowd: Crowd | None = None


class LockWait(Struct, frozen=True):
    """One session that waits for a lock; ``blocked_by`` holds pids, 0 being a prepared transaction."""

    pid: int
    blocked_by: tuple[int, ...]
    locktype: str
    mode: str
    relation: str | None
    seconds: float


class Locks(Struct, frozen=True):
    """Who waits for whom, and the sessions involved as far as they could be seen."""

    waits: tuple[LockWait, ...] = ()
    sessions: tuple[Session, ...] = ()


class Database(Struct, frozen=True):
    """Counters of one database, since ``counted_seconds``."""

    name: str
    is_ours: bool
    xid_age: int
    multixact_age: int
    blocks_hit: int
    blocks_read: int
    deadlocks: int
    temp_files: int
    temp_bytes: int
    counted_seconds: float | None


class Checkpoints(Struct, frozen=True):
    """Checkpoints since ``counted_seconds``."""

    timed: int
    requested: int
    write_ms: float
    sync_ms: float
    counted_seconds: float | None


class Table(Struct, frozen=True):
    """A table with many dead or unanalysed rows; the seconds since vacuum and analyze are None when never."""

    relation: str
    live_rows: int
    dead_rows: int
    modified_rows: int
    size_bytes: int
    vacuumed_seconds: float | None
    analyzed_seconds: float | None


class Upkeep(Struct, frozen=True):
    """A large table: the width of its rows is None where statistics do not tell; autovacuum may leave it alone."""

    relation: str
    size_bytes: int
    live_rows: int | None
    row_bytes: float | None
    fill_percent: float
    is_left_alone: bool


class InvalidIndex(Struct, frozen=True):
    """An index that costs writes and serves no query."""

    name: str
    relation: str
    size_bytes: int


class Prepared(Struct, frozen=True):
    """A prepared transaction."""

    gid: str
    owner: str
    database: str
    seconds: float
    xid_age: int


class Slot(Struct, frozen=True):
    """A replication slot; ``retained_bytes`` is None while it has never been used, and once it is lost.

    ``safe_bytes`` is how much WAL may still be written before it is lost, None without a limit. ``is_synced``: a standby
    keeps it for the day it is promoted, so nobody is connected to it. ``reason`` says why it was invalidated.
    """

    name: str
    type: str
    is_active: bool
    wal_status: str | None
    retained_bytes: int | None
    xmin_age: int | None
    safe_bytes: int | None = None
    is_synced: bool = False
    reason: str | None = None

    @property
    def is_lost(self) -> bool:
        """Return whether it can serve nobody any more: what its reader still needs is gone."""
        return self.wal_status == "lost" or bool(self.reason)


class Wal(Struct, frozen=True):
    """The directory pg_wal."""

    files: int
    size_bytes: int
    waiting_to_archive: int


class Archiver(Struct, frozen=True):
    """How archiving goes."""

    mode: str
    archived: int
    failed: int
    last_failed_wal: str | None
    archived_seconds: float | None
    failed_seconds: float | None
    last_attempt_failed: bool


class TempFiles(Struct, frozen=True):
    """Temporary files of one process."""

    pid: int
    files: int
    size_bytes: int


class Standby(Struct, frozen=True):
    """A standby that follows this server."""

    name: str
    client: str
    state: str
    sync_state: str
    lag_bytes: int | None
    lag_seconds: float | None
    xmin_age: int | None


class StandbyFacts(Struct, frozen=True):
    """A server that is configured as a standby, by its own word.

    ``waiting_bytes`` is WAL that was received and is not replayed yet, ``replayed_seconds`` how old the newest transaction is
    that was (it grows too while nothing is written). ``receiver_status`` is None where we may not see it.
    """

    name: str
    in_recovery: bool
    version_number: int
    receivers: int
    receiver_status: str | None = None
    waiting_bytes: int | None = None
    replayed_seconds: float | None = None


class Setting(Struct, frozen=True):
    """One setting: as SHOW prints it, and as the number of its unit. ``source`` "client" is our own session's."""

    shown: str
    setting: str
    unit: str | None
    source: str
    pending_restart: bool


def usable_connections(settings: Mapping[str, Setting]) -> int | None:
    """Return how many connections are left for users without the right to a reserved one; None: not known."""
    names = (
        "max_connections",
        "superuser_reserved_connections",
        "reserved_connections",
    )  # the last is new in 16
    most, *reserved = (
        int(settings[name].setting) if name in settings and settings[name].setting.isdecimal() else None
        for name in names
    )
    return None if most is None else max(1, most - sum(number or 0 for number in reserved))


class RoleSetting(Struct, frozen=True):
    """A setting that a session of the application begins with: ``level`` is whose it is (role, database, ...)."""

    value: str
    level: str


class Application(Struct, frozen=True):
    """What the server holds ready for the application's user: the log-in, its limits (-1: none), its settings.

    ``can_login`` is None when there is no such role, ``allows_connections`` when there is no such database.
    ``valid_seconds`` is None when its password does not expire.
    """

    user: str
    database: str
    can_login: bool | None
    is_superuser: bool
    valid_seconds: float | None
    role_limit: int | None
    role_sessions: int
    allows_connections: bool | None
    database_limit: int | None
    database_sessions: int
    may_connect: bool | None
    settings: dict[str, RoleSetting]


class Rights(Struct, frozen=True):
    """What the application's user may do with the tables; lists hold at most ten names.

    ``unreadable`` are in schemas that it reaches, ``lost`` are its own tables, ``sequences`` those of defaults of
    tables it may fill; ``hidden`` are those it may read, of which row level security shows it no row.
    """

    user: str
    tables: int
    readable: int
    serves_notifications: bool
    unreadable: tuple[str, ...]
    lost: tuple[str, ...]
    sequences: tuple[str, ...]
    hidden: tuple[str, ...] = ()


class DueNotifications(Struct, frozen=True):
    """What is due to be published and is not; the counts are None where the table could not be read quickly.

    ``published_seconds`` is since one was published last, of those that were due within the last hour.
    """

    table: str
    exists: bool
    is_quick: bool = True
    due: int | None = None
    oldest_seconds: float | None = None
    published_seconds: float | None = None


class SchemaVersion(Struct, frozen=True):
    """At which migrations of the application the database is: the revisions in Alembic's table."""

    table: str
    exists: bool
    revisions: tuple[str, ...] = ()


class PostgresFacts(Struct, frozen=True):
    """One look at one PostgreSQL server, from one database of it."""

    # Absent without a reason where nobody asked for them, and in looks of an earlier samaops: their checks say so.
    MAY_BE_UNASKED: ClassVar[tuple[str, ...]] = (
        "application", "backends", "checkpointing", "dirty_buffers", "index_tables", "indexes", "migration", "notifications", "parameters", "prepared_to_end", "rights",
        "slots_to_drop",
        "data_directories", "rates", "upkeep", "unfinished_indexes", "upkeep_indexes", "upkeep_relations",
    )  # fmt: skip
    version: str
    version_number: int
    role: str
    is_monitor: bool
    in_recovery: bool
    uptime_seconds: float
    connect_ms: float
    ping_ms: float
    connections: Connections | None = None
    activity: Activity | None = None
    locks: Locks | None = None
    databases: tuple[Database, ...] | None = None
    checkpoints: Checkpoints | None = None
    tables: tuple[Table, ...] | None = None
    invalid_indexes: tuple[InvalidIndex, ...] | None = None
    prepared: tuple[Prepared, ...] | None = None
    slots: tuple[Slot, ...] | None = None
    wal: Wal | None = None
    archiver: Archiver | None = None
    temp_files: tuple[TempFiles, ...] | None = None
    standbys: tuple[Standby, ...] | None = None
    settings: dict[str, Setting] | None = None
    notifications: DueNotifications | None = None
    migration: SchemaVersion | None = None
    configuration: Things | None = None
    started_at: float | None = None
    application: Application | None = None
    rights: Rights | None = None
    upkeep: tuple[Upkeep, ...] | None = None
    # Only where many sessions work on one statement.
    rates: Rates | None = None
    # Only for changes.
    backends: tuple[Backend, ...] | None = None
    prepared_to_end: tuple[PreparedToEnd, ...] | None = None
    slots_to_drop: tuple[SlotToDrop, ...] | None = None
    checkpointing: Checkpointing | None = None
    parameters: dict[str, Parameter] | None = None
    indexes: dict[str, Index] | None = None
    index_tables: dict[str, IndexTable] | None = None
    dirty_buffers: DirtyBuffers | None = None
    upkeep_relations: tuple[UpkeepRelation, ...] | None = None
    upkeep_indexes: tuple[UpkeepIndex, ...] | None = None
    unfinished_indexes: tuple[UnfinishedIndex, ...] | None = None
    data_directories: tuple[DataDirectory, ...] | None = None
    extensions: dict[str, str | None] | None = field(default=None)
