"""Read PostgreSQL's facts over one connection, a part at a time; a part that fails costs itself only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from samaops.clients.errors import ClientError
from samaops.clients.postgresql import PostgresClient, quoted
from samaops.collect import statements
from samaops.collect.engine import Probe
from samaops.collect.latency import least_ms
from samaops.collect.postgresql import rates, sessions
from samaops.collect.postgresql.configuration import read_configuration
from samaops.collect.postgresql.directories import directories
from samaops.collect.postgresql.notifications import read_due
from samaops.collect.postgresql.version import read_version
from samaops.collect.registry import collects
from samaops.collect.values import Answer, as_read, lacking, needed
from samaops.config.settings import PostgreSQL
from samaops.facts.postgresql import (
    Activity,
    Application,
    Archiver,
    Checkpoints,
    Connections,
    Database,
    InvalidIndex,
    Locks,
    PostgresFacts,
    Prepared,
    Rights,
    RoleSetting,
    Setting,
    Slot,
    Standby,
    Table,
    TempFiles,
    Upkeep,
    Wal,
)
from samaops.facts.postgresql_changes import (
    Backend,
    Checkpointing,
    DirtyBuffers,
    FileSetting,
    Index,
    IndexTable,
    Parameter,
    PreparedToEnd,
    SlotToDrop,
    UnfinishedIndex,
    UpkeepIndex,
    UpkeepRelation,
)
from samaops.facts.systems import ALSO_FEEDS
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.releases import servers
from samaops.site.site import Site

Row = dict[str, Any]
PartT = TypeVar("PartT")

EXTENSIONS = ("pg_stat_statements", "pg_trgm", "uuid-ossp")
# What the checks themselves calculate with.
LIMITS = (
    "max_connections", "superuser_reserved_connections", "reserved_connections", "max_wal_size",
    "wal_keep_size", "max_slot_wal_keep_size", "autovacuum_freeze_max_age", "shared_preload_libraries",
    "synchronous_standby_names", "synchronous_commit", "ssl", "autovacuum", "autovacuum_max_workers",
    "autovacuum_vacuum_cost_limit", "vacuum_cost_limit",
)  # fmt: skip
# Of these, the numbers that every version has.
NUMBERS = ("max_connections", "superuser_reserved_connections", "max_wal_size", "autovacuum_freeze_max_age")
HIDDEN = "<insufficient privilege>"
QUICK_MS = 10.0
SPARE_SECONDS = 0.3  # so that what was read until then comes back before the engine gives up


@collects("postgresql", PostgresFacts, feeds=("postgresql", *ALSO_FEEDS["postgresql"]))
def look(postgresql: PostgreSQL, site: Site, probe: Probe) -> PostgresFacts:
    """Read PostgreSQL over one connection."""
    pool = site.settings.pgbouncer
    application = pool.user if pool else None
    table = site.settings.release.version_table if servers(site) else ""
    return observe(site.host_of(postgresql), postgresql, probe, application, table)


def observe(
    host: str,
    settings: PostgreSQL,
    probe: Probe,
    application: str | None = None,
    version_table: str = "",
) -> PostgresFacts:
    """Read one server, what it holds ready for the application's user, and where its migrations are.

    Raises ClientError when it does not let us in or does not answer SELECT 1.
    """
    seconds = max(0.1, min(settings.timeout + 1, probe.remaining()) - SPARE_SECONDS)
    client = PostgresClient(host, settings, seconds)
    try:
        probe.stage("connect")
        started = time.monotonic()
        client.connect()
        connect_ms = round((time.monotonic() - started) * 1000, 2)
        probe.stage("SELECT 1")
        return facts_of(client, settings, probe, connect_ms, application, version_table)
    finally:
        client.close()


def facts_of(
    client: PostgresClient,
    settings: PostgreSQL,
    probe: Probe,
    connect_ms: float,
    application: str | None,
    version_table: str = "",
) -> PostgresFacts:
    """Read the facts over an open connection."""
    ping_ms = least_ms(client.ping_ms, QUICK_MS, probe)
    probe.stage("server")
    server = Answer(client.read_one("server"))
    for name in ("version", "version_number", "role"):
        needed(server, name, stage="server")
    facts = {
        "connect_ms": connect_ms,
        "ping_ms": ping_ms,
        **server,
        **_Reading(client, probe, server).parts(settings, application, version_table),
    }
    return as_read(facts, PostgresFacts)


class _Reading:
    """The parts of one look, which share the sessions that were read first."""

    def __init__(self, client: PostgresClient, probe: Probe, server: Row) -> None:
        self._client = client
        self._probe = probe
        self._role: str = server["role"]
        self._version: int = server["version_number"]
        self._rows: list[Row] = []

    def parts(self, settings: PostgreSQL, application: str | None, version_table: str = "") -> dict[str, Any]:
        """Return every part that a selected check needs, by the names of the fields."""
        names = sorted({*LIMITS, *settings.expected_settings})
        readers: dict[str, Callable[[], object]] = {
            "connections": self._connections,
            "activity": self._activity,
            "locks": self._locks,
            "databases": self._databases,
            "checkpoints": self._checkpoints,
            "tables": lambda: self._many("tables", Table),
            "upkeep": lambda: self._many("upkeep", Upkeep),
            "invalid_indexes": lambda: self._many("invalid_indexes", InvalidIndex),
            "prepared": lambda: self._many("prepared", Prepared),
            "slots": lambda: self._many("slots_17" if self._version >= 170000 else "slots", Slot),
            "wal": lambda: as_read(self._client.read_one("wal"), Wal),
            "archiver": lambda: as_read(self._client.read_one("archiver"), Archiver),
            "temp_files": lambda: self._many("temp_files", TempFiles),
            "standbys": self._standbys,
            "settings": lambda: self._settings(names),
            "extensions": self._extensions,
            "notifications": lambda: read_due(self._client, settings),
            "configuration": lambda: read_configuration(self._client),
        }
        if self._probe.counts:  # what only a change needs to know
            readers["backends"] = self._backends
            readers["indexes"] = lambda: self._named("index", Index)
            readers["index_tables"] = lambda: self._named("index_table", IndexTable)
            readers["parameters"] = self._parameters
            readers["slots_to_drop"] = lambda: self._many("slots_to_drop", SlotToDrop)
            readers["checkpointing"] = self._checkpointing
            readers["dirty_buffers"] = self._dirty_buffers
            readers["prepared_to_end"] = lambda: self._many("prepared_to_end", PreparedToEnd)
            readers["upkeep_relations"] = lambda: self._many("upkeep_relations", UpkeepRelation)
            readers["upkeep_indexes"] = lambda: self._many("upkeep_indexes", UpkeepIndex)
            readers["unfinished_indexes"] = lambda: self._many("unfinished_indexes", UnfinishedIndex)
            readers["data_directories"] = lambda: directories(self._client, self._probe, settings.server)
        if version_table:
            readers["migration"] = lambda: read_version(self._client, version_table, self._role)
        if application is not None:
            readers["application"] = lambda: self._application(application, settings.database)
            readers["rights"] = lambda: self._rights(application, settings.notifications_table)
        wanted = {part: read for part, read in readers.items() if self._probe.wants(*_CODES_OF_PART[part])}
        parts = {part: self._probe.attempt(part, read) for part, read in wanted.items()}
        activity = parts.get("activity")
        crowd = activity.crowd if isinstance(activity, Activity) else None
        if crowd and crowd.sessions >= rates.CROWD and rates.has_time(self._probe):
            parts["rates"] = self._probe.attempt(
                "rates", lambda: rates.measured(self._client, self._probe, crowd.query_id)
            )
        return parts

    def _many(self, query: str, kind: type[PartT]) -> tuple[PartT, ...]:
        return tuple(as_read(row, kind) for row in self._client.read(query))

    def _databases(self) -> tuple[Database, ...]:
        databases = self._many("databases", Database)
        if not any(database.is_ours for database in databases):
            raise lacking("datname", stage="databases")
        return databases

    def _sessions(self) -> list[Row]:
        if not self._rows:
            self._rows = [Answer(row) for row in self._client.read("activity")]
            if not any(row["is_ours"] for row in self._rows):  # we are asking: one of them is ours
                raise lacking("pid", stage="activity")
        return self._rows

    def _permitted_sessions(self) -> list[Row]:
        rows = self._sessions()
        if any(row["query"] == HIDDEN for row in rows):
            raise self._hidden()
        for row in rows:
            sessions.require_state(row)
        return rows

    def _hidden(self) -> ClientError:
        text = _("the server hides the other sessions from {role}; it needs the role pg_monitor")
        return ClientError(FailureKind.PERMISSION, text.format(role=self._role))

    def _connections(self) -> Connections:
        return sessions.connections(self._sessions())

    def _activity(self) -> Activity:
        activity = sessions.activity(self._permitted_sessions())
        if sessions.may_be_held(activity) and rates.has_time(self._probe):
            time.sleep(rates.SAMPLE_SECONDS)
            self._rows = []
            activity = sessions.activity(self._permitted_sessions())
        return activity

    def _locks(self) -> Locks:
        rows = self._permitted_sessions()
        if not any(row["wait_event_type"] == "Lock" for row in rows):
            return Locks()
        leaders = {row["pid"]: row["leader_pid"] or row["pid"] for row in rows}
        waits = tuple(sessions.lock_wait(row, leaders) for row in map(Answer, self._client.read("locks")))
        involved = {wait.pid for wait in waits} | {pid for wait in waits for pid in wait.blocked_by}
        return Locks(waits, tuple(sessions.session(row) for row in rows if row["pid"] in involved))

    def _backends(self) -> tuple[Backend, ...]:
        rows = [Answer(row) for row in self._client.read("backends")]
        if any(row["query"] == HIDDEN for row in rows):
            raise self._hidden()
        return tuple(sessions.backend(row) for row in rows)

    def _named(self, query: str, kind: type[PartT]) -> dict[str, PartT]:
        """Return what was asked for by its name, exactly as it is written, those that there are."""
        return {
            name: as_read(row, kind)
            for name in self._probe.named(f"postgresql.{query}")
            for row in self._client.read(query, {"name": quoted(name)})
        }

    def _parameters(self) -> dict[str, Parameter]:
        """Return the settings that were asked for by name, those that there are."""
        parameters = {}
        for name in self._probe.named("postgresql.parameter"):
            for row in self._client.read("parameter", {"name": name}):
                rows = self._client.read("setting_files", {"name": name}) if row["may_read_files"] else []
                files = tuple(as_read(each, FileSetting) for each in rows)
                parameters[name.lower()] = as_read({**row, "files": files}, Parameter)
        return parameters

    def _checkpointing(self) -> Checkpointing:
        return as_read(_without(self._client.read_one("checkpointing"), "has_buffers"), Checkpointing)

    def _dirty_buffers(self) -> DirtyBuffers | None:
        """Return what a checkpoint has to write; None without the extension that tells."""
        if not self._client.read_one("checkpointing")["has_buffers"]:
            return None
        return as_read(self._client.read_one("dirty_buffers"), DirtyBuffers)

    def _checkpoints(self) -> Checkpoints:
        query = "checkpoints_17" if self._version >= 170000 else "checkpoints"
        return as_read(self._client.read_one(query), Checkpoints)

    def _standbys(self) -> tuple[Standby, ...]:
        rows = [Answer(row) for row in self._client.read("standbys")]
        if any(row["state"] is None for row in rows):
            raise ClientError(
                FailureKind.PERMISSION,
                _("the server hides the standbys from {role}; it needs the role pg_monitor").format(
                    role=self._role
                ),
            )
        return tuple(as_read(_without(row, "pid"), Standby) for row in rows)

    def _settings(self, names: list[str]) -> dict[str, Setting]:
        rows = self._client.read("settings", {"names": names})
        settings = {Answer(row)["name"]: as_read(_without(row, "name"), Setting) for row in rows}
        absent = [name for name in NUMBERS if name not in settings or not settings[name].setting.isdigit()]
        if absent:
            raise lacking(*absent, stage="settings")
        return settings

    def _application(self, user: str, database: str) -> Application:
        row = self._client.read_one("application", {"user": user, "database": database})
        clients = [row for row in self._sessions() if row["backend_type"] in ("client backend", None)]
        settings: dict[str, RoleSetting] = {}
        for line in needed(row, "settings", stage="application"):
            level, _tab, assignment = line.partition("\t")
            name, _equals, value = assignment.partition("=")
            settings.setdefault(name, RoleSetting(value[: statements.QUERY_LENGTH], level))
        of_us = {
            "user": user,
            "database": database,
            "role_sessions": sum(client["user"] == user for client in clients),
            "database_sessions": sum(client["database"] == database for client in clients),
            "settings": settings,
        }
        return as_read({**row, **of_us}, Application)

    def _rights(self, user: str, table: str) -> Rights:
        row = self._client.read_one(
            "application_rights", {"user": user, "table": quoted(table) if table else None}
        )
        return as_read({"user": user, **row}, Rights)

    def _extensions(self) -> dict[str, str | None]:
        rows = self._client.read("extensions", {"names": list(EXTENSIONS)})
        available = {Answer(row)["name"]: Answer(row)["installed_version"] for row in rows}
        return {name: available.get(name) for name in EXTENSIONS}


_CODES_OF_PART: dict[str, tuple[str, ...]] = {
    "connections": ("postgresql.connections.high",),
    "activity": (
        "postgresql.query.long", "postgresql.transaction.idle", "postgresql.sessions.waiting",
        "postgresql.xmin.pinned", "postgresql.xid.age", "postgresql.temp.high", "postgresql.vacuum.held",
        "postgresql.transaction.held", "postgresql.query.crowd", "postgresql.tables.dead",
    ),
    "locks": ("postgresql.locks.chain", "postgresql.locks.ddl_queue"),
    "databases": (
        "postgresql.cache.low", "postgresql.deadlocks.seen", "postgresql.temp.high", "postgresql.xid.age",
    ),
    "checkpoints": ("postgresql.checkpoints.requested",),
    "tables": ("postgresql.tables.dead", "postgresql.tables.not_analyzed", "postgresql.vacuum.held"),
    "upkeep": ("postgresql.tables.bloated", "postgresql.autovacuum.off"),
    "invalid_indexes": ("postgresql.index.invalid",),
    "prepared": (
        "postgresql.prepared.old", "postgresql.xmin.pinned", "postgresql.locks.chain", "postgresql.vacuum.held",
    ),
    "slots": (
        "postgresql.slot.inactive", "postgresql.slot.lost", "postgresql.xmin.pinned", "postgresql.wal.large",
        "postgresql.vacuum.held",
    ),
    "wal": ("postgresql.wal.large", "postgresql.archiver.failing", "postgresql.archiver.late"),
    "archiver": ("postgresql.archiver.failing", "postgresql.archiver.late", "postgresql.wal.large"),
    "temp_files": ("postgresql.temp.high",),
    "standbys": (
        "postgresql.replication.lag", "postgresql.xmin.pinned", "postgresql.commit.waiting",
        "postgresql.vacuum.held",
    ),
    "settings": (
        "postgresql.settings.different", "postgresql.connections.high", "postgresql.wal.large",
        "postgresql.slot.inactive", "postgresql.xid.age", "postgresql.extension.missing",
        "pgbouncer.pool.oversized", "postgresql.commit.waiting", "pgbouncer.login.stuck",
        "postgresql.autovacuum.off", "postgresql.tables.dead",
    ),
    "extensions": ("postgresql.extension.missing",),
    "notifications": ("postgresql.notifications.late",),
    "configuration": ("postgresql.settings.different",),
    "migration": ("release.rollback.impossible", "postgresql.migration"),
    "application": (
        "postgresql.application.login", "postgresql.application.read_only", "postgresql.application.timeouts",
        "postgresql.commit.waiting", "pgbouncer.write.refused", "pgbouncer.pool.bypassed",
    ),
    "rights": ("postgresql.application.rights",),
    # No checks: what the readings of changes ask for.
    "backends": ("postgresql.backends",),
    "indexes": ("postgresql.index",),
    "index_tables": ("postgresql.index_table",),
    "parameters": ("postgresql.parameter",),
    "slots_to_drop": ("postgresql.slots_to_drop",),
    "checkpointing": ("postgresql.checkpointing",),
    "dirty_buffers": ("postgresql.dirty_buffers",),
    "prepared_to_end": ("postgresql.prepared_to_end",),
    "upkeep_relations": ("postgresql.upkeep_relations",),
    "upkeep_indexes": ("postgresql.upkeep_indexes",),
    "unfinished_indexes": ("postgresql.unfinished_indexes",),
    "data_directories": ("postgresql.data_directories",),
}  # fmt: skip


def _without(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}
