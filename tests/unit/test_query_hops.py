"""The hops of a query: counted in one look at the pool and the database; what could not be counted is never shown as well."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.config.playbooks import all_of
from samaops.config.settings import Settings
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.facts.postgresql import Locks, LockWait, PostgresFacts
from samaops.model.cause import Cause, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.site import Site
from samaops.workflows.troubleshooting import hops, names, query_counts
from tests.unit.checks.test_pgbouncer import CONSOLE, POOL
from tests.unit.checks.test_pgbouncer import HEALTHY as POOL_IS_WELL
from tests.unit.checks.test_postgresql import ACTIVITY, session
from tests.unit.checks.test_postgresql import HEALTHY as DATABASE_IS_WELL

SITE: dict[str, Any] = {
    "servers": {"db": {"address": "127.0.0.1"}},
    "postgresql": {"password": "x"},
    "pgbouncer": {},
}
BUSY = replace(
    DATABASE_IS_WELL,
    activity=replace(
        ACTIVITY,
        active=9,
        waiting={"IO:DataFileRead": 3, "Lock:tuple": 2},
        longest_queries=(session(query_seconds=12.5), session(query_seconds=0.1)),
        idle_in_transaction=(session(state_seconds=4.0),),
        idle_in_transaction_count=7,
    ),
    locks=Locks(
        (LockWait(5, (4,), "tuple", "ExclusiveLock", None, 3.0), LockWait(6, (4,), "tuple", "X", None, 1.0))
    ),
)
WAITING = replace(
    CONSOLE, pools=(replace(POOL, clients_waiting=12, maxwait_seconds=2.5, servers_busy=20, servers_free=0),)
)


def way(
    pool: PgBouncerFacts | None,
    database: PostgresFacts | None,
    *found: Finding,
    **without: None,
) -> dict[str, Finding]:
    settings = Settings.model_validate({**SITE, **without})
    seen = (
        Observation("pgbouncer", "pgbouncer/db", "db", "PgBouncerFacts", pool),
        Observation("postgresql", "postgresql/db", "db", "PostgresFacts", database),
    )
    count = partial(
        query_counts.count, snapshot=Snapshot(datetime.now(timezone.utc), seen), site=Site(settings)
    )
    made = hops.findings("db-slow", hops.counted(all_of(settings)["db-slow"].hops, found, count), {})
    return {finding.subject.partition("/")[2]: finding for finding in made}


def test_each_hop_has_the_count_of_its_own() -> None:
    found = way(replace(POOL_IS_WELL, console=WAITING), BUSY)
    values = {name: finding.value for name, finding in found.items()}
    assert values == {"waiting": 12, "connected": 20, "locked": 2, "running": 9, "planned": 1, "ended": 7}
    assert found["waiting"].detail == "the longest for 2.5 s"
    assert found["connected"].detail == "0 free, 0 logging in"
    assert found["locked"].detail == "the longest for 3.0 s"
    assert found["running"].detail == "waits: IO 3", "those that wait for locks stand at their own hop"
    assert found["planned"].evidence["seconds"] == 12.5
    assert found["ended"].code == "db-slow.hop.ended"


def test_what_could_not_be_read_is_unknown_and_says_what_to_look_at() -> None:
    found = way(replace(POOL_IS_WELL, console=None), replace(BUSY, activity=None))
    assert {finding.status for finding in found.values()} == {Status.UNKNOWN}
    assert found["waiting"].hint == "samaops diagnose --only pgbouncer"
    assert found["running"].hint == "samaops diagnose --only postgresql"
    assert way(POOL_IS_WELL, replace(BUSY, locks=None))["locked"].status is Status.UNKNOWN
    assert way(None, None)["planned"].status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("section", "hops_of_it"),
    [("pgbouncer", {"waiting", "connected"}), ("postgresql", {"locked", "running", "planned", "ended"})],
)
def test_what_is_not_configured_is_skipped(section: str, hops_of_it: set[str]) -> None:
    found = way(POOL_IS_WELL, BUSY, **{section: None})
    skipped = {name for name, finding in found.items() if f"[{section}]" in finding.detail}
    assert skipped == hops_of_it
    assert {found[name].status for name in skipped} == {Status.SKIPPED}


@pytest.mark.parametrize(
    ("code", "hop"),
    [
        ("pgbouncer.pool.waiting", "waiting"),
        ("pgbouncer.pool.bypassed", "connected"),
        ("postgresql.locks.chain", "locked"),
        ("postgresql.checkpoints.requested", "running"),
        ("postgresql.query.crowd", "planned"),
        ("postgresql.autovacuum.off", "planned"),
        ("postgresql.transaction.held", "ended"),
        ("servers.log.trouble", "ended"),
    ],
)
def test_a_finding_tells_of_its_hop_alone(code: str, hop: str) -> None:
    bad = Finding(code, Status.WARNING, "postgresql/db", "Something is wrong", cause="some-cause")
    found = way(POOL_IS_WELL, DATABASE_IS_WELL, bad)
    assert {name for name, finding in found.items() if finding.status is Status.WARNING} == {hop}
    assert found[hop].evidence["because"] == [bad.key]
    assert found[hop].cause == "some-cause"


def named(code: str, **evidence: Any) -> dict[str, str]:
    """Return what a fix may speak of beside the words that all have."""
    finding = Finding(code, Status.CRITICAL, "postgresql/db", "", evidence=evidence)
    cause = Cause("x", None, Verdict.CONFIRMED, "postgresql/db", "t", explains=(finding.key,))
    return names.of_database(cause, (finding,))


def test_a_session_is_cancelled_where_it_works_and_ended_where_it_is_idle() -> None:
    assert named("postgresql.locks.chain", root_pid=7, root_state="active") == {"pid": "7"}
    assert named("postgresql.locks.chain", root_pid=7, root_state="idle in transaction") == {"idle_pid": "7"}
    assert named("postgresql.locks.ddl_queue", pid=7, relation="public.users") == {
        "pid": "7",
        "table": "public.users",
    }
    assert named("postgresql.query.crowd", scanned="public.sessions") == {"table": "public.sessions"}
    assert named("postgresql.slot.inactive", slot="old") == {"slot": "old"}
    assert named("postgresql.locks.chain", root_pid=0, root_state="prepared transaction") == {}
