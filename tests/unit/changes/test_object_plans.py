"""What the database is changed in: settings, slots, a checkpoint, indexes; and what is refused, with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.postgresql.indexes import UNIQUE, building_name
from samaops.changes.postgresql.not_set import reason_against
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.observation import Observation
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.postgresql_changes import (
    Checkpointing,
    DirtyBuffers,
    FileSetting,
    Index,
    IndexColumn,
    IndexTable,
    Parameter,
    SlotToDrop,
    TableIndex,
)
from samaops.facts.servers import FileSystem
from samaops.model.plan import Plan, Risk
from tests.unit.changes.test_plans import snapshot
from tests.unit.changes.test_session_plans import BACKEND, SITE
from tests.unit.checks.judging import seen
from tests.unit.checks.test_postgresql import HEALTHY
from tests.unit.checks.test_servers import HEALTHY as SERVER

MB = 1024**2
SLOT = SlotToDrop(
    name="old_replica", type="physical", database=None, is_here=True, active_pid=None, wal_status="extended",
    retained_bytes=900 * MB, xmin_age=70, wal_seconds=7200.0, is_synchronous=False, may_drop=True,
)  # fmt: skip
PARAMETER = Parameter(
    name="work_mem", shown="4MB", unit="kB", context="user", type="integer", least="64", most="2147483647", values=(),
    source="default", file="", loaded="2026-11-28 09:00:00+00", may_alter=True, may_reload=True, may_read_files=True,
    overrides=(),
)  # fmt: skip
AUTO = FileSetting("/data/postgresql.auto.conf", 3, "work_mem", "8MB", True, True, "", False)
INDEX = Index(
    oid=1, schema="public", name="by_mail", relation="public.customers",
    definition="CREATE INDEX by_mail ON public.customers USING btree (email)",
    on="ON public.customers USING btree (email)", tablespace="", is_valid=True, is_unique=False, is_primary=False,
    is_replica_identity=False, is_partitioned=False, is_partition=False, is_of_system=False, is_of_extension=False,
    constraint="", referenced_by=(), serves_keys=(), may_change=True, owner="samaconso_user", size_bytes=30 * MB,
    scans=0, counted_seconds=864000.0, is_counted_since_start=False,
)  # fmt: skip
COLUMN = IndexColumn("email", 20, True)
TABLE = IndexTable(
    schema="public", name="customers", relation="public.customers", kind="r", is_ours=True, owner="samaconso_user",
    may_create=True, rows=1_000_000, size_bytes=200 * MB,
    columns={"email": COLUMN, "id": replace(COLUMN, quoted="id", width=8), "place": replace(COLUMN, has_order=False)},
    indexes=(),
)  # fmt: skip
CHECKPOINT = Checkpointing("0/16B3748", 240.0, True, 8192)
FACTS = replace(
    HEALTHY, backends=(), slots_to_drop=(SLOT,), parameters={"work_mem": PARAMETER}, checkpointing=CHECKPOINT,
    indexes={"public.by_mail": INDEX}, index_tables={"customers": TABLE},
)  # fmt: skip


def observed(facts: PostgresFacts = FACTS) -> Observation:
    return seen("postgresql/db", facts, "db")


def disk(free_mb: int) -> Observation:
    system = FileSystem("/", "ext4", 10**12, 0, free_mb * MB, 10**6, 0, True)
    return seen("servers/db", replace(SERVER, file_systems=(system,)), "db")


def planned(verb: str, *arguments: str, facts: PostgresFacts = FACTS, free_mb: int = 10_000) -> Plan:
    verbs.find(verb).codes(SITE, arguments)
    return verbs.find(verb).plan(snapshot(observed(facts), disk(free_mb)), SITE, arguments)


def created(*columns: str, table: IndexTable = TABLE, free_mb: int = 10_000, **facts: Any) -> Plan:
    changed = replace(FACTS, index_tables={"customers": table}, **facts)
    return planned("db index create", "customers", "", "60", *columns, facts=changed, free_mb=free_mb)


def test_a_slot_is_dropped_after_its_name_was_typed() -> None:
    plan = planned("db slot drop", "old_replica")
    (step,) = plan.steps
    assert (plan.target, step.risk) == ("old_replica", Risk.DESTRUCTIVE)
    text = " ".join(plan.notes)
    assert "900 MB WAL" in text
    assert "last 70 transactions" in text
    assert "in the last 2.0 h" in text
    assert "built anew" in step.no_undo


def test_with_a_lost_slot_nothing_is_lost() -> None:
    facts = replace(FACTS, slots_to_drop=(replace(SLOT, wal_status="lost"),))
    (step,) = planned("db slot drop", "old_replica", facts=facts).steps
    assert (step.risk, step.destroys) == (Risk.SAFE, "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"active_pid": 77}, "pid 77 is connected"),
        ({"is_synchronous": True}, "synchronous_standby_names"),
        ({"is_here": False, "database": "billing"}, "database billing"),
        ({"may_drop": False}, "role samaops may not: it needs REPLICATION"),
    ],
)
def test_a_slot_that_must_stay_is_refused(changes: dict[str, Any], reason: str) -> None:
    facts = replace(FACTS, slots_to_drop=(replace(SLOT, **changes),))
    with pytest.raises(RefusedError, match=reason):
        planned("db slot drop", "old_replica", facts=facts)


def test_a_checkpoint_tells_what_it_will_write() -> None:
    plan = planned("db checkpoint", facts=replace(FACTS, dirty_buffers=DirtyBuffers(12800, 25600)))
    assert "12800 of 25600 buffers are dirty: 100 MB are written" in plan.notes[0]
    assert "90 in their time, 10 on request" in plan.notes[2]
    assert "pg_buffercache" in planned("db checkpoint").notes[0]
    with pytest.raises(RefusedError, match="needs pg_checkpoint"):
        planned("db checkpoint", facts=replace(FACTS, checkpointing=replace(CHECKPOINT, may=False)))


def with_parameter(**changes: Any) -> PostgresFacts:
    return replace(FACTS, parameters={"work_mem": replace(PARAMETER, **changes)})


def test_a_setting_that_stood_in_no_file_goes_out_of_it_again() -> None:
    (step,) = planned("db set", "work_mem", "16MB").steps
    assert step.undo is not None
    assert dict(step.undo.arguments) == {"name": "work_mem", "value": None}
    old = planned("db set", "work_mem", "16MB", facts=with_parameter(files=(AUTO,), file=AUTO.file)).steps[0]
    assert old.undo is not None
    assert dict(old.undo.arguments) == {"name": "work_mem", "value": "8MB"}
    same = planned("db set", "WORK_MEM", "8MB", facts=with_parameter(files=(AUTO,), file=AUTO.file))
    assert "already" in same.nothing_to_do


def test_whom_a_setting_reaches_and_what_stands_before_it_is_told() -> None:
    plan = planned("db set", "work_mem", "16MB", facts=with_parameter(overrides=("batch: 64MB",)))
    assert "but for those that have set it for themselves" in plan.notes[1]
    assert "this stands before it: batch: 64MB" in plan.notes


@pytest.mark.parametrize("value", ["63", "63kB", "4 parsecs", "lots", "", "16MB\n", "3TB"])
def test_a_value_that_the_server_would_refuse_is_a_usage_error(value: str) -> None:
    with pytest.raises(UsageError, match="from 64 to 2147483647 kB"):
        planned("db set", "work_mem", value)


@pytest.mark.parametrize("value", ["64", "64kB", "1GB", " 16 MB ", "0.5GB"])
def test_a_value_within_the_range_is_taken(value: str) -> None:
    assert planned("db set", "work_mem", value).steps


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"context": "postmaster"}, "restart alone"),
        ({"context": "internal"}, "fixed when the server"),
        ({"source": "command line"}, "started with it"),
        ({"may_alter": False}, "GRANT ALTER SYSTEM ON PARAMETER work_mem TO samaops"),
        ({"may_reload": False}, "pg_reload_conf"),
        ({"may_read_files": False}, "GRANT SELECT ON pg_file_settings TO samaops"),
        ({"files": (replace(AUTO, name="nonsense", error="unrecognized", stops_reload=True),)}, "line 3: nonsense: unrecognized"),
    ],
)  # fmt: skip
def test_a_setting_that_must_not_or_cannot_be_changed_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        planned("db set", "work_mem", "16MB", facts=with_parameter(**changes))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "on"),
        ("Full_Page_Writes", "off"),
        ("listen_addresses", "*"),
        ("hba_file", "/tmp/x"),
        ("ssl_min_protocol_version", "TLSv1"),
        ("archive_command", "true"),
        ("shared_preload_libraries", "x"),
        ("synchronous_standby_names", "x"),
        ("synchronous_commit", "OFF"),
        ("autovacuum", "false"),
        ("default_transaction_read_only", "on"),
        ("zero_damaged_pages", "on"),
        ("debug_print_parse", "on"),
    ],
)
def test_what_loses_data_or_locks_out_is_refused_before_anything_is_looked_at(name: str, value: str) -> None:
    with pytest.raises(RefusedError):
        verbs.find("db set").codes(SITE, (name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("work_mem", "1MB"),
        ("synchronous_commit", "remote_apply"),
        ("autovacuum", "on"),
        ("max_wal_size", "4GB"),
    ],
)
def test_what_a_dba_sets_every_week_is_not(name: str, value: str) -> None:
    assert reason_against(name, value) == ""


def test_a_dropped_index_keeps_its_definition_for_undo() -> None:
    plan = planned(
        "db index drop", "public.by_mail", "60", facts=replace(FACTS, backends=(replace(BACKEND, state="idle in transaction"),))
    )  # fmt: skip
    (step,) = plan.steps
    assert step.undo is not None
    assert step.undo.arguments["on"] == INDEX.on
    assert step.undo.arguments["replaces_invalid"] is True
    text = " ".join(plan.notes)
    assert "30.0 MB, read 0 times" in text
    assert "count for 10 d" in text
    assert "waits for open transactions: pid 41" in text


def test_after_a_crash_how_seldom_it_is_read_says_nothing() -> None:
    index = replace(INDEX, is_counted_since_start=True, counted_seconds=3600.0, serves_keys=("of_customer",))
    plan = planned(
        "db index drop", "public.by_mail", "60", facts=replace(FACTS, indexes={"public.by_mail": index})
    )
    text = " ".join(plan.notes)
    assert "says nothing" in text
    assert "of_customer" in text


def test_an_invalid_index_is_dropped_and_not_built_anew() -> None:
    facts = replace(FACTS, indexes={"public.by_mail": replace(INDEX, is_valid=False)})
    (step,) = planned("db index drop", "public.by_mail", "60", facts=facts).steps
    assert step.undo is None
    assert "invalid" in step.no_undo
    assert "no index other" in planned("db index drop", "other", "60").nothing_to_do


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_primary": True}, "the primary key of public.customers"),
        ({"is_unique": True}, "keeps rows of public.customers apart"),
        ({"constraint": "no_overlap"}, "enforces the constraint no_overlap"),
        ({"referenced_by": ("of_customer on orders",)}, "of_customer on orders"),
        ({"is_replica_identity": True}, "replication tells rows"),
        ({"is_partition": True}, "partitioned"),
        ({"is_partitioned": True}, "partitioned"),
        ({"is_of_extension": True}, "extension"),
        ({"is_of_system": True}, "PostgreSQL itself"),
        ({"may_change": False}, "no member of its owner samaconso_user"),
    ],
)
def test_an_index_that_enforces_or_identifies_is_never_dropped(changes: dict[str, Any], reason: str) -> None:
    facts = replace(FACTS, indexes={"public.by_mail": replace(INDEX, **changes)})
    with pytest.raises(RefusedError, match=reason):
        planned("db index drop", "public.by_mail", "60", facts=facts)


def test_an_index_is_built_under_a_name_of_its_own() -> None:
    plan = created("email", "id")
    (step,) = plan.steps
    assert plan.target == "customers_email_id_idx"
    assert step.operation.arguments["on"] == "ON public.customers USING btree (email, id)"
    assert building_name("customers_email_id_idx") == "customers_email_id_idx_samaops"
    assert len(building_name("x" * 63)) == 63
    assert "about 47 MB, by 1000000 rows" in plan.notes[0]
    assert "has 10000 MB left" in plan.notes[1]
    assert created(UNIQUE, "email").steps[0].operation.arguments["is_unique"] is True


def test_what_an_interrupted_build_has_left_is_removed_first() -> None:
    left = replace(INDEX, name="customers_id_idx_samaops", is_valid=False)
    table = replace(TABLE, indexes=(TableIndex("customers_id_idx_samaops", True, False, True, ("id",)),))
    plan = created("id", table=table, indexes={"public.customers_id_idx_samaops": left})
    assert any("customers_id_idx_samaops" in note for note in plan.notes)
    assert plan.steps[0].before == ()


def test_an_invalid_index_that_is_not_ours_stays() -> None:
    theirs = replace(INDEX, name="customers_id_idx", is_valid=False)
    with pytest.raises(RefusedError, match="samaops did not build"):
        created("id", indexes={"public.customers_id_idx": theirs})


@pytest.mark.parametrize(
    ("index", "columns", "is_refused"),
    [
        (TableIndex("a", True, False, True, ("email",)), ("email",), True),
        (TableIndex("a", True, False, True, ("email", "id")), ("email",), True),
        (TableIndex("a", True, False, True, ("id", "email")), ("email",), False),
        (TableIndex("a", False, False, True, ("email",)), ("email",), False),
        (TableIndex("a", True, False, False, ("email",)), ("email",), False),
        (TableIndex("a", True, False, True, ("email",)), ("email", UNIQUE), False),
        (TableIndex("a", True, True, True, ("email",)), ("email", UNIQUE), True),
    ],
)
def test_a_second_index_for_the_same_queries_is_refused(
    index: TableIndex, columns: tuple[str, ...], *, is_refused: bool
) -> None:
    table = replace(TABLE, indexes=(index,))
    if is_refused:
        with pytest.raises(RefusedError, match=r"the index a \(.*\) serves the same queries already"):
            created(*columns, table=table)
    else:
        assert created(*columns, table=table).steps


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "p"}, "partitioned"),
        ({"kind": "v"}, "no table"),
        ({"is_ours": False}, "no member of its owner"),
        ({"may_create": False}, "create nothing in the schema public"),
        ({"schema": "pg_catalog"}, "PostgreSQL itself"),
    ],
)
def test_a_table_that_can_get_no_index_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        created("email", table=replace(TABLE, **changes))


def test_columns_are_those_of_the_table_each_once_and_in_order() -> None:
    for columns in (("nothing",), ("email", "email")):
        with pytest.raises(UsageError):
            created(*columns)
    with pytest.raises(RefusedError, match="have no order"):
        created("place")
    with pytest.raises(UsageError, match="at least one column"):
        verbs.find("db index create").codes(SITE, ("customers", "", "60", UNIQUE))


def test_without_room_on_the_disk_nothing_is_built() -> None:
    with pytest.raises(RefusedError, match="has 100 MB left"):
        created("email", free_mb=100)
    plan = verbs.find("db index create").plan(snapshot(observed()), SITE, ("customers", "", "60", "email"))
    assert any("could not be looked at" in note for note in plan.notes)


def test_what_could_not_be_looked_at_stops_the_change() -> None:
    for verb, arguments in (
        ("db slot drop", ("a",)), ("db set", ("work_mem", "1MB")), ("db checkpoint", ()),
        ("db index drop", ("a", "1")), ("db index create", ("customers", "", "1", "id")),
    ):  # fmt: skip
        with pytest.raises(UnavailableError):
            planned(verb, *arguments, facts=HEALTHY)
