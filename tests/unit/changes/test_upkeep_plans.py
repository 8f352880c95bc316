"""Which tables and indexes are tended, why, and which never."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import beside, verbs
from samaops.changes.beside import Verdict, Work
from samaops.changes.postgresql.upkeep_indexes import is_leftover_of
from samaops.changes.postgresql.upkeep_work import ends_at
from samaops.errors import LockedError, RefusedError, UsageError
from samaops.facts.observation import Observation
from samaops.facts.postgresql import PostgresFacts, Standby
from samaops.facts.postgresql_changes import (
    DataDirectory,
    Rebuild,
    UnfinishedIndex,
    UpkeepIndex,
    UpkeepPast,
    UpkeepRelation,
)
from samaops.model.plan import Plan, Risk
from tests.unit.changes.test_plans import snapshot
from tests.unit.changes.test_session_plans import BACKEND, SITE
from tests.unit.checks.judging import seen
from tests.unit.checks.test_postgresql import HEALTHY

MB = 1024 * 1024
CALM = UpkeepRelation(
    oid=20000, schema="public", name="orders", kind="r", owner="samaconso_user", may_maintain=True, is_superusers=False, tablespace="",
    size_bytes=80 * MB, rows=1000.0, live_rows=1000, dead_rows=0, dead_limit=250.0, inserted_rows=0,
    insert_limit=1200.0, changed_rows=0, change_limit=150.0, xid_age=10, xid_limit=200_000_000, multixact_age=0,
    multixact_limit=400_000_000, vacuumed_seconds=60.0, analyzed_seconds=60.0, parents=(),
)  # fmt: skip
DIRTY = replace(CALM, dead_rows=600)
INDEX = UpkeepIndex(
    oid=20010, schema="public", name="orders_note", table_oid=20000, table_schema="public", table_name="orders",
    kind="i", method="btree", is_exclusion=False, is_valid=True, owner="samaconso_user", may_maintain=True, is_superusers=False,
    tablespace="", size_bytes=20 * MB, rows=1000.0, row_bytes=None,
)  # fmt: skip
FREE = DataDirectory("", "/var/lib/postgresql/15/main", 10_000 * MB)


def facts(**changes: Any) -> PostgresFacts:
    given: dict[str, Any] = {
        "backends": (), "upkeep_relations": (CALM,), "upkeep_indexes": (INDEX,), "unfinished_indexes": (),
        "data_directories": (FREE,), **changes,
    }  # fmt: skip
    return replace(HEALTHY, **given)


def observed(**changes: Any) -> Observation:
    return seen("postgresql/db", facts(**changes), "db")


def planned(verb: str, *arguments: str, past: UpkeepPast | None = None, **changes: Any) -> Plan:
    known = (seen("postgresql/history", past),) if past else ()
    return verbs.find(verb).plan(snapshot(observed(**changes), *known), SITE, arguments)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dead_rows": 251}, "Vacuum public.orders: 251 dead rows, more than 250"),
        ({"inserted_rows": 1201}, "1201 rows inserted since the last vacuum, more than 1200"),
        ({"xid_age": 150_000_001}, "150000001 transactions old; at 200000000"),
        ({"multixact_age": 300_000_001}, "oldest multixact is 300000001 old"),
        (
            {"changed_rows": 151},
            "Analyze public.orders: 151 rows changed since the last analyze, more than 150",
        ),
        ({"analyzed_seconds": None}, "Analyze public.orders: never analyzed"),
        ({"dead_rows": 251, "changed_rows": 151}, "Vacuum and analyze public.orders: 251 dead rows"),
    ],
)
def test_a_table_is_tended_when_autovacuums_own_limits_say_so(changes: dict[str, Any], reason: str) -> None:
    (step,) = planned("db vacuum", upkeep_relations=(replace(CALM, **changes),)).steps
    assert reason in step.title


@pytest.mark.parametrize(
    "changes", [{"dead_rows": 250}, {"inserted_rows": 10**9, "insert_limit": None}, {"xid_age": 150_000_000}]
)
def test_a_table_below_the_limits_is_left_alone(changes: dict[str, Any]) -> None:
    plan = planned("db vacuum", upkeep_relations=(replace(CALM, **changes),))
    assert (plan.steps, plan.nothing_to_do) == ((), "no table needs it")


def test_the_most_urgent_comes_first() -> None:
    old = replace(CALM, name="old", oid=1, xid_age=190_000_000)
    worse = replace(DIRTY, name="worse", oid=2, dead_rows=9000)
    plan = planned("db vacuum", upkeep_relations=(DIRTY, worse, old))
    assert [step.about.rpartition(".")[2] for step in plan.steps] == ["old", "worse", "orders"]


def test_of_a_partitioned_table_each_partition_is_vacuumed_and_the_whole_analyzed() -> None:
    whole = replace(CALM, oid=1, name="events", kind="p", analyzed_seconds=None)
    leaf = replace(DIRTY, name="events_1", parents=(1,))
    by_need = planned("db vacuum", upkeep_relations=(whole, leaf))
    assert [step.id for step in by_need.steps] == ["db.vacuum", "db.analyze"]
    assert "autovacuum does not do it" in by_need.steps[1].title
    named = planned("db vacuum", "events", upkeep_relations=(whole, leaf))
    assert [step.about for step in named.steps] == ["postgresql/public.events_1", "postgresql/public.events"]


def test_a_standby_keeps_the_ends_of_tables_from_being_cut_off() -> None:
    standby = Standby("two", "10.0.0.9", "streaming", "async", 0, 0.0, None)
    plan = planned("db vacuum", upkeep_relations=(DIRTY,), standbys=(standby,))
    assert plan.steps[0].operation.arguments["truncate"] is False
    assert planned("db vacuum", upkeep_relations=(DIRTY,)).steps[0].operation.arguments["truncate"] is True


@pytest.mark.parametrize(
    ("name", "changes", "reason", "is_failure"),
    [
        ("orders", {"may_maintain": False}, "not owner: it belongs to samaconso_user", True),
        ("orders", {"kind": "f"}, "foreign table", False),
        ("pg_class", {}, "catalog", False),
        ("pg_catalog.pg_proc", {}, "catalog", False),
    ],
)
def test_what_is_not_vacuumed_is_told_with_its_own_reason(
    name: str, changes: dict[str, Any], reason: str, is_failure: bool
) -> None:
    plan = planned("db vacuum", name, upkeep_relations=(replace(DIRTY, **changes),))
    assert plan.steps == ()
    (left_out,) = plan.left_out
    assert reason in left_out.reason
    assert left_out.is_failure is is_failure


def test_a_superusers_role_is_granted_to_nobody() -> None:
    changes = {"may_maintain": False, "is_superusers": True, "owner": "postgres"}
    (left_out,) = planned("db vacuum", "orders", upkeep_relations=(replace(DIRTY, **changes),)).left_out
    assert "not owner: it belongs to the superuser postgres" in left_out.reason
    assert (left_out.hint, left_out.is_failure) == ("", True)


def test_a_name_that_nothing_or_too_much_has_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no table 'nothing'"):
        planned("db vacuum", "nothing")
    with pytest.raises(UsageError, match=r"of several: public.orders, old.orders"):
        planned("db vacuum", "orders", upkeep_relations=(CALM, replace(CALM, oid=1, schema="old")))


def test_what_was_done_before_it_was_broken_off_is_not_done_again() -> None:
    past = UpkeepPast("20261128-1", ("public.orders",))
    two = (DIRTY, replace(DIRTY, oid=1, name="meters"))
    plan = planned("db vacuum", "orders", "meters", past=past, upkeep_relations=two)
    assert [step.about for step in plan.steps] == ["postgresql/public.meters"]
    assert "done already by the change 20261128-1" in plan.notes[0]


def test_full_says_what_it_costs_and_wants_the_room() -> None:
    plan = planned("db vacuum", "orders", "--full")
    (step,) = plan.steps
    assert (plan.risk, plan.target) == (Risk.DESTRUCTIVE, "public.orders")
    assert "for about 4.0 s nobody reads or writes" in step.destroys
    with pytest.raises(RefusedError, match=r"83886080 bytes are missing"):
        planned("db vacuum", "orders", "--full", data_directories=(replace(FREE, free_bytes=80 * MB),))
    with pytest.raises(UsageError):
        verbs.find("db vacuum").codes(SITE, ("--full",))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_valid": False}, "it is invalid"),
        ({"row_bytes": 4000.0}, "by estimate 5.2 times as large"),
    ],
)
def test_an_index_is_rebuilt_when_it_needs_it(changes: dict[str, Any], reason: str) -> None:
    (step,) = planned("db reindex", upkeep_indexes=(replace(INDEX, **changes),)).steps
    assert reason in step.title
    assert step.operation.arguments["confirm"] is ("estimate" in reason)


def test_the_size_after_the_last_rebuild_is_believed_before_an_estimate() -> None:
    index = replace(INDEX, row_bytes=100.0)
    assert not planned(
        "db reindex", upkeep_indexes=(index,), past=UpkeepPast(bytes_per_row={"public.orders_note": 20000.0})
    ).steps
    grown = UpkeepPast(bytes_per_row={"public.orders_note": 5000.0})
    (step,) = planned("db reindex", upkeep_indexes=(index,), past=grown).steps
    assert "4.2 times as large as after its last rebuild" in step.title
    assert step.operation.arguments["confirm"] is False


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_exclusion": True}, "exclusion constraint"),
        ({"kind": "I"}, "partitioned"),
        ({"method": "brin"}, "BRIN"),
        ({"may_maintain": False}, "not owner"),
    ],
)
def test_what_is_not_rebuilt_is_told_with_its_own_reason(changes: dict[str, Any], reason: str) -> None:
    plan = planned("db reindex", "orders_note", upkeep_indexes=(replace(INDEX, **changes),))
    assert plan.steps == ()
    assert reason in plan.left_out[0].reason


def test_without_room_for_the_copy_it_is_refused_with_the_bytes_that_are_missing() -> None:
    with pytest.raises(RefusedError, match="36137344 bytes are missing"):
        planned("db reindex", "orders_note", data_directories=(replace(FREE, free_bytes=10_000_000),))


def test_of_all_upkeep_an_index_without_room_is_left_out_and_that_is_no_success() -> None:
    plan = planned(
        "db optimize", upkeep_indexes=(replace(INDEX, is_valid=False),),
        data_directories=(replace(FREE, free_bytes=10_000_000),),
    )  # fmt: skip
    assert (plan.steps, [each.is_failure for each in plan.left_out]) == ((), [True])
    assert "36137344 bytes are missing" in plan.left_out[0].reason


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"application": "pg_dump"}, RefusedError, "reindex does not begin beside dump"),
        ({"query": "CREATE INDEX CONCURRENTLY x ON y (z)"}, RefusedError, "beside index build"),
        ({"query": "ALTER TABLE y ADD COLUMN z int"}, RefusedError, "beside migration"),
        ({"application": "samaops db vacuum", "query": "VACUUM x"}, LockedError, "Another samaops"),
    ],
)
def test_a_rebuild_does_not_begin_beside_what_it_must_not(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        planned("db reindex", "orders_note", backends=(replace(BACKEND, **changes),))


def test_14_0_to_14_3_rebuild_nothing() -> None:
    with pytest.raises(RefusedError, match="can corrupt an index"):
        planned("db reindex", "orders_note", version_number=140003)


def test_our_leftover_is_removed_first_and_that_of_others_only_told() -> None:
    past = UpkeepPast(rebuilds=(Rebuild("public.orders_note", 20000, (30000,)),))
    others = UnfinishedIndex(30000, "public", "orders_note_ccnew", 20000)
    ours = UnfinishedIndex(30001, "public", "orders_note_ccnew1", 20000)
    later = UnfinishedIndex(30002, "public", "orders_note_ccnew2", 20000)
    plan = planned("db reindex", "orders_note", past=past, unfinished_indexes=(others, ours, later))
    assert [step.about for step in plan.steps] == [
        "postgresql/public.orders_note_ccnew1",
        "postgresql/public.orders_note",
    ]
    assert [each.subject for each in plan.left_out] == [
        "postgresql/public.orders_note_ccnew", "postgresql/public.orders_note_ccnew2",
    ]  # fmt: skip
    assert list(plan.steps[1].operation.arguments["unfinished_before"]) == [30000, 30002]


@pytest.mark.parametrize(
    ("name", "index", "is_leftover"),
    [
        ("a_ccnew", "a", True),
        ("a_ccold3", "a", True),
        ("ab_ccnew", "a", False),
        ("a_ccnew", "ab", False),
        ("n" * 57 + "_ccnew", "n" * 63, True),
    ],
)
def test_a_leftover_is_known_by_its_name(name: str, index: str, is_leftover: bool) -> None:
    assert is_leftover_of(name, index) is is_leftover


def test_all_upkeep_is_one_plan_that_says_what_it_leaves_out() -> None:
    bloated = replace(INDEX, row_bytes=4000.0)
    plan = planned("db optimize", upkeep_relations=(DIRTY,), upkeep_indexes=(bloated,))
    assert [step.id for step in plan.steps] == ["db.vacuum", "db.reindex"]
    assert any("VACUUM FULL" in note for note in plan.notes)
    dump = replace(BACKEND, application="pg_dump")
    beside_dump = planned(
        "db optimize", upkeep_relations=(DIRTY,), upkeep_indexes=(bloated,), backends=(dump,)
    )
    assert [step.id for step in beside_dump.steps] == ["db.vacuum"]
    assert any("No index is rebuilt" in note for note in beside_dump.notes)


def test_a_window_ends_also_over_midnight_and_nothing_begins_outside() -> None:
    def at(hour: int) -> datetime:
        return datetime(2026, 1, 31, hour, 30).astimezone()

    assert ends_at("02:00-05:00", at(3)) == at(3).replace(hour=5, minute=0).timestamp()
    assert ends_at("22:00-05:00", at(23)) == datetime(2026, 2, 1, 5).astimezone().timestamp()
    assert ends_at("22:00-05:00", at(3)) == at(3).replace(hour=5, minute=0).timestamp()
    assert ends_at("", datetime.now(timezone.utc)) == 0
    with pytest.raises(RefusedError, match="outside of the window"):
        ends_at("02:00-05:00", at(12))
    with pytest.raises(UsageError, match="no time of the day"):
        planned("db vacuum", "--window", "2-5")


def test_whoever_works_beside_whom_is_told_of_each_pair() -> None:
    for one in Work:
        for other in Work:
            assert beside.rule(one, other) is beside.rule(other, one)
    assert beside.rule(Work.REINDEX, Work.DUMP).verdict is Verdict.NO
    assert beside.rule(Work.VACUUM, Work.DUMP).verdict is Verdict.YES
    autovacuum = replace(BACKEND, type="autovacuum worker", query="autovacuum: VACUUM public.orders")
    assert beside.work_of(autovacuum) is Work.VACUUM
    assert not list(beside.in_the_way(Work.FULL, (autovacuum,), "samaconso"))
    assert beside.work_of(replace(BACKEND, query="SELECT 'vacuum'")) is None
