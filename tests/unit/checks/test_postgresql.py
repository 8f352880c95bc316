"""Each judgement of PostgreSQL, as data: what was observed, what must be found."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.checks import engine
from samaops.checks.postgresql import locks as postgresql_locks
from samaops.checks.postgresql.units import difference
from samaops.checks.registry import rules
from samaops.config.settings import Settings
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.postgresql import (
    Activity,
    Application,
    Archiver,
    Checkpoints,
    Connections,
    Crowd,
    Database,
    DueNotifications,
    Holder,
    InvalidIndex,
    Locks,
    LockWait,
    PostgresFacts,
    Prepared,
    Rights,
    RoleSetting,
    Session,
    Setting,
    Slot,
    Standby,
    Table,
    TempFiles,
    Upkeep,
    Wal,
)
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site

MB = 1024**2
OK, WARNING, CRITICAL, UNKNOWN, SKIPPED = (
    Status.OK,
    Status.WARNING,
    Status.CRITICAL,
    Status.UNKNOWN,
    Status.SKIPPED,
)
SETTINGS = Settings.model_validate(
    {
        "servers": {"db": {"address": "127.0.0.1"}},
        "postgresql": {"server": "db", "expected_settings": {"max_wal_size": "1GB", "work_mem": "4MB"}},
    }
)


def setting(shown: str, number: str, unit: str | None = None, pending: bool = False) -> Setting:
    return Setting(shown, number, unit, "configuration file", pending)


def session(pid: int = 1, **changes: Any) -> Session:
    base = Session(pid, "app", "samaconso", "api", "10.0.0.2", "active", "", 1.0, 1.0, 1.0, "SELECT now()")
    return replace(base, **changes)


ACTIVITY = Activity(0, (), (), 0, {}, (), (), 0)
OURS = Database("samaconso", True, 1000, 1, 0, 0, 0, 0, 0, 86_400.0)
CROWD = Crowd(1, 8, "SELECT $1", {"api": 8})
ARCHIVER = Archiver("on", 10, 0, None, 60.0, None, False)
APPLICATION = Application("app", "samaconso", True, False, None, -1, 10, True, -1, 12, True, {})
RIGHTS = Rights("app", 4, 4, True, (), (), ())
# Those of a standby are judged by other facts: their cases are tests/data/checks/postgresql/standby.*.yaml.
OF_A_SERVER = [
    rule.code for rule in rules(("postgresql",)) if not str(rule.code).startswith("postgresql.standby.")
]
HEALTHY = PostgresFacts(
    version="15.20 (Debian)", version_number=150020, role="samaops", is_monitor=True, in_recovery=False,
    uptime_seconds=3600.0, connect_ms=3.0, ping_ms=0.4,
    connections=Connections(10, {"idle": 10}, {"app/api/10.0.0.2": 10}, 0),
    activity=ACTIVITY, locks=Locks(), databases=(OURS,), checkpoints=Checkpoints(90, 10, 1.0, 1.0, 1e6),
    tables=(), invalid_indexes=(), prepared=(), slots=(), wal=Wal(10, 160 * MB, 0), archiver=ARCHIVER,
    temp_files=(), standbys=(), upkeep=(),
    settings={
        "max_connections": setting("103", "103"),
        "superuser_reserved_connections": setting("3", "3"),
        "max_wal_size": setting("1GB", "1024", "MB"),
        "wal_keep_size": setting("0", "0", "MB"),
        "work_mem": setting("4MB", "4096", "kB"),
        "autovacuum_freeze_max_age": setting("200000000", "200000000"),
        "autovacuum": setting("on", "on"),
        "autovacuum_max_workers": setting("3", "3"),
        "shared_preload_libraries": setting("pg_stat_statements", "pg_stat_statements"),
    },
    extensions={"pg_stat_statements": "1.10", "pg_trgm": "1.6", "uuid-ossp": "1.1"},
    notifications=DueNotifications("notifications", True, True, 0, None, 3600.0),
    application=APPLICATION, rights=RIGHTS,
)  # fmt: skip


def judge(
    facts: PostgresFacts | None, failure: Failure | None = None, **missing: Failure
) -> dict[str, Finding]:
    observation = Observation("postgresql", "postgresql/db", "db", "PostgresFacts", facts, failure, missing)
    snapshot = Snapshot(datetime(2026, 1, 1, tzinfo=timezone.utc), (observation,))
    return {finding.code: finding for finding in engine.judge(snapshot, Site(SETTINGS))}


def application(**changes: Any) -> dict[str, Any]:
    return {"application": replace(APPLICATION, **changes)}


def its_setting(name: str, value: str) -> dict[str, Any]:
    return application(settings={name: RoleSetting(value, "role")})


def rights(**changes: Any) -> dict[str, Any]:
    return {"rights": replace(RIGHTS, **changes)}


def synchronous(names: str, *states: str, commit: str = "on") -> dict[str, Any]:
    standbys = tuple(Standby(f"s{n}", "", "streaming", state, 0, 0.0, None) for n, state in enumerate(states))
    changes = {
        "synchronous_standby_names": setting(names, names),
        "synchronous_commit": setting(commit, commit),
    }
    return {"standbys": standbys, "settings": changed(**changes)}


def connections(used: int) -> Connections:
    return Connections(used, {"idle": used}, {"app/api/10.0.0.2": used}, 0)


def waits(count: int, seconds: float, root: int = 1) -> Locks:
    chain = tuple(
        LockWait(10 + one, (root,), "transactionid", "ShareLock", "public.users", seconds)
        for one in range(count)
    )
    return Locks(chain, (session(root, state="idle in transaction", query="UPDATE users"),))


def ddl(behind: int, seconds: float) -> Locks:
    queue = LockWait(2, (1,), "relation", "AccessExclusiveLock", "public.users", seconds)
    later = [
        LockWait(10 + one, (2,), "relation", "AccessShareLock", "public.users", 1.0) for one in range(behind)
    ]
    return Locks((queue, *later), (session(1), session(2, query="ALTER TABLE users")))


def changed(**values: Setting) -> dict[str, Setting]:
    assert HEALTHY.settings is not None
    return {**HEALTHY.settings, **values}


def slot(retained: int | None = 16 * MB, **changes: Any) -> Slot:
    return replace(Slot("standby_2", "physical", False, "reserved", retained, None), **changes)


def table(live: int, dead: int = 0, modified: int = 0) -> Table:
    return Table("public.users", live, dead, modified, 8 * MB, 60.0, None)


def idle(seconds: float) -> Activity:
    return replace(
        ACTIVITY, idle_in_transaction=(session(7, state_seconds=seconds),), idle_in_transaction_count=1
    )


def running(seconds: float) -> Activity:
    return replace(ACTIVITY, active=1, longest_queries=(session(7, query_seconds=seconds),))


def held(age: int) -> Activity:
    return replace(ACTIVITY, holders=(Holder("client backend", "pid 7", age),))


def due(count: int, oldest: float | None) -> DueNotifications:
    return DueNotifications("notifications", True, True, count, oldest, 3600.0)


CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("postgresql.notifications.late", {}, OK),
    ("postgresql.notifications.late", {"notifications": due(40, 20.0)}, OK),  # the source is at it
    ("postgresql.notifications.late", {"notifications": due(1, 300.0)}, WARNING),
    ("postgresql.notifications.late", {"notifications": due(40, 1200.0)}, CRITICAL),
    ("postgresql.notifications.late", {"notifications": None}, SKIPPED),  # an older saved look
    ("postgresql.notifications.late", {"notifications": DueNotifications("", False)}, SKIPPED),
    ("postgresql.notifications.late", {"notifications": DueNotifications("notifications", False)}, SKIPPED),
    (
        "postgresql.notifications.late",
        {"notifications": DueNotifications("x", True, is_quick=False)},
        SKIPPED,
    ),
    ("postgresql.service.unreachable", {}, OK),
    ("postgresql.latency.high", {"ping_ms": 99.0}, OK),
    ("postgresql.latency.high", {"ping_ms": 100.0}, WARNING),
    ("postgresql.latency.high", {"ping_ms": 501.0}, CRITICAL),
    ("postgresql.recovery.active", {}, OK),
    ("postgresql.recovery.active", {"in_recovery": True}, CRITICAL),
    ("postgresql.connections.high", {"connections": connections(79)}, OK),
    ("postgresql.connections.high", {"connections": connections(80)}, WARNING),
    ("postgresql.connections.high", {"connections": connections(95)}, CRITICAL),
    ("postgresql.settings.different", {}, OK),
    ("postgresql.settings.different", {"settings": changed(work_mem=setting("8MB", "8192", "kB"))}, WARNING),
    ("postgresql.settings.different", {"settings": changed(port=setting("1", "1", pending=True))}, WARNING),
    ("postgresql.extension.missing", {}, OK),
    ("postgresql.extension.missing", {"extensions": {"pg_trgm": None}}, WARNING),
    (
        "postgresql.extension.missing",
        {"settings": changed(shared_preload_libraries=setting("", ""))},
        WARNING,
    ),
    ("postgresql.query.long", {}, OK),
    ("postgresql.query.long", {"activity": running(59)}, OK),
    ("postgresql.query.long", {"activity": running(60)}, WARNING),
    ("postgresql.query.long", {"activity": running(300)}, CRITICAL),
    ("postgresql.transaction.idle", {}, OK),
    ("postgresql.transaction.idle", {"activity": idle(59)}, OK),
    ("postgresql.transaction.idle", {"activity": idle(61)}, WARNING),
    ("postgresql.transaction.idle", {"activity": idle(301)}, CRITICAL),
    ("postgresql.locks.chain", {}, OK),
    ("postgresql.locks.chain", {"locks": waits(1, 4.9)}, OK),
    ("postgresql.locks.chain", {"locks": waits(1, 5.1)}, WARNING),
    ("postgresql.locks.chain", {"locks": waits(1, 31)}, CRITICAL),
    ("postgresql.locks.chain", {"locks": waits(4, 1)}, CRITICAL),
    ("postgresql.locks.chain", {"locks": waits(4, 0.1)}, OK),
    ("postgresql.locks.ddl_queue", {}, OK),
    ("postgresql.locks.ddl_queue", {"locks": ddl(0, 60)}, OK),
    ("postgresql.locks.ddl_queue", {"locks": ddl(1, 6)}, WARNING),
    ("postgresql.locks.ddl_queue", {"locks": ddl(1, 30)}, CRITICAL),
    ("postgresql.locks.ddl_queue", {"locks": ddl(4, 1)}, CRITICAL),
    ("postgresql.sessions.waiting", {}, OK),
    ("postgresql.sessions.waiting", {"activity": replace(ACTIVITY, waiting={"IO:DataFileRead": 8})}, WARNING),
    ("postgresql.sessions.waiting", {"activity": replace(ACTIVITY, waiting={"Lock:tuple": 40})}, CRITICAL),
    ("postgresql.cache.low", {}, OK),
    ("postgresql.cache.low", {"databases": (replace(OURS, blocks_hit=995_000, blocks_read=5_000),)}, OK),
    (
        "postgresql.cache.low",
        {"databases": (replace(OURS, blocks_hit=900_000, blocks_read=100_000),)},
        WARNING,
    ),
    ("postgresql.cache.low", {"databases": (replace(OURS, blocks_hit=1, blocks_read=100),)}, OK),
    ("postgresql.deadlocks.seen", {}, OK),
    ("postgresql.deadlocks.seen", {"databases": (replace(OURS, deadlocks=1),)}, WARNING),
    ("postgresql.deadlocks.seen", {"databases": (replace(OURS, deadlocks=1, counted_seconds=9e5),)}, OK),
    ("postgresql.temp.high", {}, OK),
    ("postgresql.temp.high", {"temp_files": (TempFiles(7, 1, 2_000 * MB),)}, WARNING),
    ("postgresql.temp.high", {"temp_files": (TempFiles(7, 20, 20_000 * MB),)}, CRITICAL),
    ("postgresql.checkpoints.requested", {}, OK),
    ("postgresql.checkpoints.requested", {"checkpoints": Checkpoints(1, 9, 1, 1, 1e3)}, OK),
    ("postgresql.checkpoints.requested", {"checkpoints": Checkpoints(10, 90, 1, 1, 1e6)}, WARNING),
    ("postgresql.xid.age", {}, OK),
    ("postgresql.xid.age", {"databases": (replace(OURS, xid_age=250_000_000),)}, WARNING),
    ("postgresql.xid.age", {"databases": (replace(OURS, xid_age=1_100_000_000),)}, CRITICAL),
    ("postgresql.tables.dead", {}, OK),
    ("postgresql.tables.dead", {"tables": (table(10, dead=9_000),)}, OK),
    ("postgresql.tables.dead", {"tables": (table(70_000, dead=30_000),)}, WARNING),
    ("postgresql.tables.dead", {"tables": (table(10_000, dead=90_000),)}, CRITICAL),
    # Their other cases are data: tests/data/checks/postgresql.
    ("postgresql.query.crowd", {"activity": replace(ACTIVITY, active=8, crowd=CROWD)}, WARNING),
    (
        "postgresql.transaction.held",
        {
            "activity": replace(
                ACTIVITY, idle_in_transaction=(session(state_seconds=2.0),) * 5, idle_in_transaction_count=5
            )
        },
        WARNING,
    ),
    (
        "postgresql.vacuum.held",
        {
            "tables": (table(10_000, dead=10_000),),
            "activity": replace(
                ACTIVITY, holders=(Holder("client backend", "pid 1", 5, 1e9, 1, "idle in transaction"),)
            ),
        },
        WARNING,
    ),
    (
        "postgresql.autovacuum.busy",
        {"tables": (table(10_000, dead=10_000),), "activity": replace(ACTIVITY, vacuum_workers=3)},
        WARNING,
    ),
    (
        "postgresql.tables.bloated",
        {"upkeep": (Upkeep("public.t", 300 * MB, 1000, 100.0, 100.0, False),)},
        WARNING,
    ),
    (
        "postgresql.autovacuum.off",
        {"upkeep": (Upkeep("public.t", 300 * MB, 1000, 100.0, 100.0, True),)},
        WARNING,
    ),
    ("postgresql.tables.not_analyzed", {}, OK),
    ("postgresql.tables.not_analyzed", {"tables": (table(100_000, modified=20_000),)}, OK),
    ("postgresql.tables.not_analyzed", {"tables": (table(100_000, modified=100_000),)}, WARNING),
    ("postgresql.xmin.pinned", {}, OK),
    ("postgresql.xmin.pinned", {"activity": held(999_999)}, OK),
    ("postgresql.xmin.pinned", {"activity": held(1_000_000)}, WARNING),
    ("postgresql.xmin.pinned", {"slots": (slot(xmin_age=100_000_000),)}, CRITICAL),
    ("postgresql.xmin.pinned", {"prepared": (Prepared("x", "app", "db", 1.0, 2_000_000),)}, WARNING),
    ("postgresql.index.invalid", {}, OK),
    ("postgresql.index.invalid", {"invalid_indexes": (InvalidIndex("public.i", "public.t", 8192),)}, WARNING),
    ("postgresql.prepared.old", {}, OK),
    ("postgresql.prepared.old", {"prepared": (Prepared("x", "app", "db", 59.0, 1),)}, OK),
    ("postgresql.prepared.old", {"prepared": (Prepared("x", "app", "db", 60.0, 1),)}, WARNING),
    ("postgresql.prepared.old", {"prepared": (Prepared("x", "app", "db", 3600.0, 1),)}, CRITICAL),
    ("postgresql.slot.inactive", {}, OK),
    ("postgresql.slot.inactive", {"slots": (slot(is_active=True),)}, OK),
    ("postgresql.slot.inactive", {"slots": (slot(),)}, WARNING),
    ("postgresql.slot.inactive", {"slots": (slot(None),)}, WARNING),
    ("postgresql.slot.inactive", {"slots": (slot(2048 * MB),)}, CRITICAL),
    ("postgresql.slot.inactive", {"slots": (slot(wal_status="unreserved", is_active=True),)}, CRITICAL),
    (
        "postgresql.slot.inactive",
        {"slots": (slot(2048 * MB, wal_status="extended", is_active=True),)},
        WARNING,
    ),
    ("postgresql.slot.inactive", {"slots": (slot(is_synced=True),)}, OK),
    ("postgresql.slot.inactive", {"slots": (slot(None, wal_status="lost"),)}, OK),  # it holds nothing back
    ("postgresql.slot.lost", {}, OK),
    ("postgresql.slot.lost", {"slots": (slot(2048 * MB), slot(wal_status="unreserved"))}, OK),
    ("postgresql.slot.lost", {"slots": (slot(None, wal_status="lost"),)}, CRITICAL),
    ("postgresql.slot.lost", {"slots": (slot(wal_status="reserved", reason="idle_timeout"),)}, CRITICAL),
    ("postgresql.wal.large", {}, OK),
    ("postgresql.wal.large", {"wal": Wal(200, 2048 * MB, 0)}, WARNING),
    ("postgresql.wal.large", {"wal": Wal(500, 5000 * MB, 0)}, CRITICAL),
    ("postgresql.archiver.failing", {}, OK),
    ("postgresql.archiver.late", {}, OK),
    ("postgresql.archiver.late", {"archiver": replace(ARCHIVER, mode="off"), "wal": Wal(99, 99, 64)}, OK),
    ("postgresql.archiver.late", {"wal": Wal(99, 99, 8)}, WARNING),
    ("postgresql.archiver.late", {"wal": Wal(99, 99, 32)}, CRITICAL),
    (
        "postgresql.archiver.failing",
        {"archiver": replace(ARCHIVER, mode="off", last_attempt_failed=True)},
        OK,
    ),
    ("postgresql.archiver.failing", {"archiver": replace(ARCHIVER, last_attempt_failed=True)}, WARNING),
    (
        "postgresql.archiver.failing",
        {"archiver": replace(ARCHIVER, last_attempt_failed=True), "wal": Wal(99, 99, 64)},
        CRITICAL,
    ),
    ("postgresql.replication.lag", {}, OK),
    (
        "postgresql.replication.lag",
        {"standbys": (Standby("s", "", "streaming", "async", 1, 61.0, None),)},
        WARNING,
    ),
    (
        "postgresql.replication.lag",
        {"standbys": (Standby("s", "", "streaming", "async", 1, 601.0, None),)},
        CRITICAL,
    ),
]


READ_ONLY = "default_transaction_read_only"
CASES += [
    ("postgresql.application.login", application(can_login=None), CRITICAL),
    ("postgresql.application.login", application(can_login=False), CRITICAL),
    ("postgresql.application.login", application(valid_seconds=-5.0), CRITICAL),
    ("postgresql.application.login", application(valid_seconds=86_400.0), WARNING),
    ("postgresql.application.login", application(valid_seconds=90 * 86_400.0), OK),
    ("postgresql.application.login", application(allows_connections=False), CRITICAL),
    ("postgresql.application.login", application(database_limit=-2), CRITICAL),
    ("postgresql.application.login", application(may_connect=False), CRITICAL),
    ("postgresql.application.login", application(role_limit=10), CRITICAL),
    ("postgresql.application.login", application(role_limit=0), CRITICAL),
    ("postgresql.application.login", application(role_limit=11), WARNING),
    ("postgresql.application.login", application(role_limit=10, is_superuser=True), WARNING),
    ("postgresql.application.login", application(database_limit=12), CRITICAL),
    ("postgresql.application.login", application(database_limit=100), OK),
    ("postgresql.application.read_only", its_setting(READ_ONLY, "on"), CRITICAL),
    ("postgresql.application.read_only", its_setting(READ_ONLY, "true"), CRITICAL),
    ("postgresql.application.read_only", its_setting(READ_ONLY, "off"), OK),
    ("postgresql.application.timeouts", its_setting("statement_timeout", "20ms"), CRITICAL),
    ("postgresql.application.timeouts", its_setting("lock_timeout", "500"), WARNING),
    ("postgresql.application.timeouts", its_setting("statement_timeout", "30s"), OK),
    ("postgresql.application.timeouts", its_setting("statement_timeout", "0"), OK),
    ("postgresql.application.rights", rights(readable=0), CRITICAL),
    ("postgresql.application.rights", rights(tables=0, readable=0), OK),
    ("postgresql.application.rights", rights(lost=("public.users",)), CRITICAL),
    ("postgresql.application.rights", rights(sequences=("users_id_seq (public.users)",)), CRITICAL),
    ("postgresql.application.rights", rights(serves_notifications=False), CRITICAL),
    ("postgresql.application.rights", rights(readable=3, unreadable=("public.users",)), WARNING),
    ("postgresql.application.rights", rights(hidden=("public.consumption",)), CRITICAL),
    ("postgresql.application.rights", rights(tables=9, unreadable=("audit.log",)), OK),  # it is not its own
    ("postgresql.commit.waiting", synchronous("standby_2"), CRITICAL),
    ("postgresql.commit.waiting", synchronous("standby_2", "async"), CRITICAL),
    ("postgresql.commit.waiting", synchronous("standby_2", "sync"), OK),
    ("postgresql.commit.waiting", synchronous("ANY 2 (a, b, c)", "quorum"), CRITICAL),
    ("postgresql.commit.waiting", synchronous("ANY 2 (a, b, c)", "quorum", "quorum"), OK),
    ("postgresql.commit.waiting", synchronous("standby_2", commit="local"), OK),
    ("postgresql.commit.waiting", {**synchronous("standby_2"), "standbys": None}, UNKNOWN),
    (
        "postgresql.commit.waiting",
        {**synchronous("standby_2"), **its_setting("synchronous_commit", "off")},
        OK,
    ),
]


@pytest.mark.parametrize(("code", "changes", "expected"), CASES)
def test_each_check_judges_what_was_observed(code: str, changes: dict[str, Any], expected: Status) -> None:
    finding = judge(replace(HEALTHY, **changes))[code]

    assert finding.status is expected, finding.title
    assert finding.subject == "postgresql/db"
    assert finding.title


def test_every_check_has_a_case_that_is_bad() -> None:
    bad = {code for code, _changes, status in CASES if status in (WARNING, CRITICAL)}
    assert set(OF_A_SERVER) - bad == {"postgresql.service.unreachable"}


def test_a_healthy_server_has_only_ok_findings() -> None:
    found = judge(HEALTHY)

    assert {finding.status for finding in found.values()} == {OK}
    assert set(found) == set(OF_A_SERVER)


@pytest.mark.parametrize(
    "rule", [rule for rule in rules(("postgresql",)) if rule.needs], ids=lambda rule: str(rule.code)
)
def test_a_part_that_could_not_be_looked_at_is_unknown(rule: Any) -> None:
    for part in rule.needs:
        reason = Failure(FailureKind.PERMISSION, "permission denied", part)
        gone: dict[str, Any] = {part: None}
        finding = judge(replace(HEALTHY, **gone), **{part: reason})[rule.code]

        assert finding.status is UNKNOWN
        assert "permission denied" in finding.detail


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FailureKind.REFUSED, CRITICAL),
        (FailureKind.UNAVAILABLE, CRITICAL),
        (FailureKind.NO_ANSWER, CRITICAL),
        (FailureKind.AUTHENTICATION, UNKNOWN),
        (FailureKind.MISSING, UNKNOWN),
    ],
)
def test_an_unreachable_server_is_said_once_and_the_rest_is_skipped(
    kind: FailureKind, expected: Status
) -> None:
    found = judge(None, Failure(kind, "words", "connect"))

    assert found.pop("postgresql.service.unreachable").status is expected
    assert {finding.status for finding in found.values()} == {SKIPPED}


def test_the_root_of_a_chain_is_who_waits_for_nobody() -> None:
    locks = Locks(
        (
            LockWait(2, (1,), "transactionid", "ShareLock", "public.users", 10.0),
            LockWait(3, (2,), "tuple", "ExclusiveLock", "public.users", 8.0),
            LockWait(4, (2, 3), "tuple", "ExclusiveLock", "public.users", 6.0),
        ),
        (session(1, state="idle in transaction", query="UPDATE users", application="billing"), session(2)),
    )
    evidence = judge(replace(HEALTHY, locks=locks))["postgresql.locks.chain"].evidence

    assert evidence["root_pid"] == 1
    assert evidence["root_state"] == "idle in transaction"
    assert evidence["root_query"] == "UPDATE users"
    assert evidence["root_application"] == "billing"
    assert evidence["blocked"] == [2, 3, 4]
    assert evidence["relation"] == "public.users"
    assert evidence["seconds"] == 10.0


def test_a_prepared_transaction_can_be_the_root() -> None:
    locks = Locks((LockWait(2, (0,), "transactionid", "ShareLock", None, 10.0),))
    facts = replace(HEALTHY, locks=locks, prepared=(Prepared("forgotten", "app", "samaconso", 90.0, 5),))
    finding = judge(facts)["postgresql.locks.chain"]

    assert finding.evidence["root_state"] == "prepared transaction"
    assert "forgotten" in finding.evidence["root_query"]
    assert "samaops db locks" in (finding.hint or "")


def test_a_circle_of_waits_ends_and_is_one_chain() -> None:
    circle = Locks((
        LockWait(5, (6,), "transactionid", "ShareLock", None, 1.0),
        LockWait(6, (5,), "transactionid", "ShareLock", None, 1.0),
        LockWait(7, (6,), "transactionid", "ShareLock", None, 1.0),
    ))  # fmt: skip
    found = postgresql_locks.chains(circle)

    assert [chain.root_pid for chain in found] == [5]
    assert {wait.pid for wait in found[0].blocked} == {6, 7}


def test_two_roots_are_two_chains_and_the_bigger_comes_first() -> None:
    locks = Locks((
        LockWait(2, (1,), "transactionid", "ShareLock", None, 9.0),
        LockWait(4, (3,), "transactionid", "ShareLock", None, 1.0),
        LockWait(5, (3,), "transactionid", "ShareLock", None, 1.0),
    ))  # fmt: skip

    assert [chain.root_pid for chain in postgresql_locks.chains(locks)] == [3, 1]


def test_hostile_names_reach_the_finding_as_they_are() -> None:
    hostile = "\x1b[31m[red]" + "x" * 10_000
    activity = replace(ACTIVITY, idle_in_transaction=(session(7, application=hostile, state_seconds=61.0),))
    finding = judge(replace(HEALTHY, activity=activity))["postgresql.transaction.idle"]

    assert finding.evidence["application"] == hostile


@pytest.mark.parametrize(
    ("expected", "shown", "number", "unit", "differs"),
    [
        ("2GB", "2GB", "262144", "8kB", False),
        ("2048MB", "2GB", "262144", "8kB", False),
        ("262144", "2GB", "262144", "8kB", False),
        ("500", "500ms", "500", "ms", False),
        ("0.5s", "500ms", "500", "ms", False),
        ("1h", "3600s", "3600", "s", False),
        ("true", "on", "on", None, False),
        ("1", "on", "on", None, False),
        ("0.90", "0.9", "0.9", None, False),
        ("replica", "replica", "replica", None, False),
        ("-1", "-1", "-1", "MB", False),
        ("200", "100", "100", None, True),
        ("2GB", "128MB", "16384", "8kB", True),
        ("500ms", "-1", "-1", "ms", True),
        ("replica", "minimal", "minimal", None, True),
        ("1", "2", "2", "MB", True),
        ("banana", "2GB", "262144", "8kB", True),
    ],
)
def test_settings_are_compared_by_what_they_mean(
    expected: str, shown: str, number: str, unit: str | None, differs: bool
) -> None:
    assert difference(expected, shown, number, unit) is differs


def test_a_lost_slot_is_not_named_as_what_holds_wal() -> None:
    slots = (slot(None, wal_status="lost", name="lost"), slot(name="idle"))
    assert judge(replace(HEALTHY, slots=slots))["postgresql.wal.large"].evidence["inactive_slots"] == ["idle"]
