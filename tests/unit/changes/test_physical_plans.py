"""Backups of pgBackRest: of which kind the next is, what expires and in which order, what a moment is recovered from."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.backup.physical import choose
from samaops.clients import pgbackrest
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.backup import CatalogueFacts
from samaops.facts.backup_run import Grades, Physical, Run, Stanza, Survey
from samaops.facts.observation import Observation
from samaops.facts.restoring import LiveTable
from samaops.model.plan import Plan, Risk
from samaops.site.backup_policy import Rules, decide
from samaops.site.site import Site
from tests.unit.changes import test_restore_plans as restores
from tests.unit.changes import test_upkeep_plans as upkeep
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import seen as look
from tests.unit.checks.judging import statuses
from tests.unit.checks.test_backup_runs import DAY, MB, NOW, catalogue, proof, survey
from tests.unit.checks.test_postgresql import ARCHIVER, HEALTHY

HOUR = 3600.0


def label(days: float, kind: str, full: str = "") -> str:
    own = f"{datetime.fromtimestamp(NOW - days * DAY, timezone.utc):%Y%m%d-%H%M%S}"
    return f"{own}F" if kind == "full" else f"{full}_{own}{kind[0].upper()}"


def physical(days: float, kind: str = "full", *needs: Physical, **changes: Any) -> Physical:
    """Return a backup that ended so many days ago."""
    full = needs[0].label if needs else ""
    made = Physical(
        label(days, kind, full), kind, NOW - days * DAY - 60, NOW - days * DAY, 10 * MB, 100 * MB, 1,
        needs=tuple(need.label for need in needs), version="15",
    )  # fmt: skip
    return replace(made, **changes)


def stanza(*backups: Physical, **changes: Any) -> Stanza:
    return replace(Stanza("samaconso", 0 if backups else 2, "ok", backups), **changes)


def seen(*backups: Physical, rows: tuple[Run, ...] = (), **changes: Any) -> Survey:
    own = changes.pop("stanza", None) or stanza(*backups)
    base = survey(**{"programs": ("pgbackrest",), "stanza": own, **changes})
    return replace(base, catalogue=replace(base.catalogue, rows=rows))


def graded(backup: Physical, *, is_good: bool = True) -> Run:
    grade = proof(0.1, is_good=is_good, reason="" if is_good else "1 files are missing")
    return Run(backup.label, "samaconso", "ok", "pgbackrest", "", grades=Grades(grade, grade))


def site(**keys: Any) -> Site:
    backup = {"engine": "pgbackrest", **keys}
    values = {"postgresql": {"server": "db"}, "servers": {"db": {"address": "10.0.0.9"}}, "backup": backup}
    return Site(Settings.model_validate(values))


def observed(of: Survey) -> Observation:
    return catalogue(CatalogueFacts("/data/backups", of), "flower")


def planned(verb: str, of: Survey, *arguments: str, **keys: Any) -> Plan:
    return verbs.find(verb).plan(snapshot(observed(of), upkeep.observed()), site(**keys), arguments)


FULL = physical(3)
OLD_FULL = physical(8)
DIFF = physical(0.9, "diff", FULL)
TODAYS = physical(0.2, "diff", FULL)
CHOICES: list[tuple[Survey, str, str]] = [
    (seen(), "full", "no full one yet"),
    (seen(FULL), "diff", "what differs from the full one"),
    (seen(FULL, TODAYS), "incr", "what differs from"),
    (seen(physical(0.1)), "incr", "what differs from"),
    (seen(FULL, DIFF), "incr", "what differs from"),
    (seen(FULL, physical(0.95, "diff", FULL)), "diff", "the newest of these is"),
    (seen(OLD_FULL, physical(0.1, "diff", OLD_FULL)), "full", "there is one every 7 days"),
    # Seven days ago but for half an hour: the same night of the week.
    (seen(physical(7 - 0.02)), "full", "there is one every 7 days"),
    (seen(physical(6)), "diff", "what differs"),
    (seen(FULL, rows=(graded(FULL, is_good=False),)), "full", "was found damaged"),
    (seen(FULL, TODAYS, rows=(graded(TODAYS, is_good=False),)), "diff", "was found damaged"),
]


@pytest.mark.parametrize(("of", "kind", "reason"), CHOICES)
def test_the_kind_of_the_next_is_chosen_by_a_rule_that_is_said(of: Survey, kind: str, reason: str) -> None:
    choice = choose(of, site().settings.backup)  # type: ignore[arg-type]
    assert choice.kind == kind
    assert reason in choice.reason
    plan = planned("backup create", of)
    assert plan.risk is Risk.SAFE
    assert plan.steps[0].operation.kind == "backup.create_physical"
    assert plan.steps[0].operation.arguments["kind"] == kind
    assert any(choice.reason in note for note in plan.notes)


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (seen(programs=()), "has no pgbackrest"),
        (seen(stanza=stanza(code=1, message="missing stanza path")), "not in order: missing stanza path"),
        (seen(stanza=stanza(FULL, is_working=True)), "for somebody else"),
    ],
)
def test_no_backup_is_begun_where_pgbackrest_could_not_make_it(of: Survey, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        planned("backup create", of)


def test_where_pgbackrest_was_not_heard_nothing_is_planned_on_a_guess() -> None:
    deaf = seen(stanza=stanza(code=-1, reason="unable to open missing file"))
    with pytest.raises(UnavailableError, match="unable to open missing file"):
        planned("backup create", deaf)


def test_all_of_the_repository_is_proved_at_once() -> None:
    plan = planned("backup verify", seen(FULL, TODAYS), "--all")
    assert [step.operation.kind for step in plan.steps] == ["backup.verify_repository"]


ANCIENT, OLD = physical(100), physical(40)
ANCIENT_INCR = physical(99, "incr", ANCIENT)
ANCIENT_LAST = physical(98, "incr", ANCIENT, ANCIENT_INCR)
YOUNG_UPON_OLD = physical(5, "incr", OLD)
MANY = (ANCIENT, ANCIENT_INCR, ANCIENT_LAST, OLD, YOUNG_UPON_OLD, physical(4), FULL)


def test_what_stays_keeps_what_it_was_made_upon_and_who_needs_another_goes_before_it() -> None:
    of = seen(*MANY, rows=tuple(map(graded, MANY)))
    decision = decide(of.runs, of.epoch, Rules(30, 3, 0, 0))
    assert decision.kept[OLD.label] == f"{YOUNG_UPON_OLD.label} needs it"
    assert [run.id for run in decision.expired] == [ANCIENT_LAST.label, ANCIENT_INCR.label, ANCIENT.label]
    plan = planned("backup prune", of, weekly=0, monthly=0)
    assert plan.risk is Risk.DESTRUCTIVE
    # The full ones of the last 30 days, and the one before.
    assert {step.operation.arguments["fulls_with_log"] for step in plan.steps} == {3}
    assert [step.operation.arguments["label"] for step in plan.steps] == [
        ANCIENT_LAST.label, ANCIENT_INCR.label, ANCIENT.label,
    ]  # fmt: skip


def test_a_backup_that_nobody_has_proved_removes_nothing() -> None:
    assert not planned("backup prune", seen(*MANY), weekly=0, monthly=0).steps


# --- what pgBackRest says ---------------------------------------------------------------------------------------

INFO = json.loads(
    """[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"000000010000000000000005","min":"000000010000000000000001"}],
"backup":[{"annotation":{"samaops":"20260101T000000Z-1234"},"archive":{"start":"000000010000000000000002","stop":"000000010000000000000003"},
"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":22992565,"repository":{"delta":3503294,"size":3503294},"size":22992565},
"label":"20261129-011818F","lsn":{"start":"0/2000028","stop":"0/3000050"},"prior":null,"reference":null,"timestamp":{"start":1795915098,"stop":1795915102},"type":"full"},
{"archive":{"start":"000000010000000000000005","stop":"000000010000000000000005"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,
"info":{"delta":1458442,"repository":{"delta":198743,"size":3504461},"size":23025333},"label":"20261129-011818F_20261129-011823I","lsn":{"start":"0/5000028","stop":"0/5000100"},
"prior":"20261129-011818F","reference":["20261129-011818F"],"timestamp":{"start":1795915103,"stop":1795915104},"type":"incr"}],
"cipher":"none","db":[{"id":1,"repo-key":1,"system-id":7713396596997732279,"version":"15"}],"name":"demo",
"repo":[{"cipher":"none","key":1,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]"""
)


def test_its_own_list_becomes_runs_and_keeps_our_id() -> None:
    found = pgbackrest.stanza_in(json.dumps(INFO), "demo")
    assert (found.code, found.wal_newest, found.is_working) == (0, "000000010000000000000005", False)
    runs = seen(stanza=found).runs
    assert [(run.id, run.kind, run.state) for run in runs] == [
        ("20261129-011818F_20261129-011823I", "incr", "ok"),
        ("20260101T000000Z-1234", "full", "ok"),
    ]
    assert runs[0].needs == ("20260101T000000Z-1234",)
    assert runs[0].bytes == 198743


def test_a_run_that_the_repository_has_no_more_is_missing_and_a_killed_one_is_none() -> None:
    gone = Run("20260101T000000Z-aaaa", "samaconso", "ok", "pgbackrest", "2026-01-01T00:00:00+00:00")
    dead = replace(gone, id="20260101T000000Z-bbbb", state="started")
    assert {run.id: run.state for run in seen(FULL, rows=(gone, dead)).runs} == {
        FULL.label: "ok", gone.id: "missing", dead.id: "killed",
    }  # fmt: skip
    deaf = seen(stanza=stanza(reason="no answer"), rows=(gone,))
    assert [run.state for run in deaf.runs] == ["ok"], "what could not be looked at is not gone"


@pytest.mark.parametrize(
    "answer", ["", "[]", "ERROR: [055]: unable to open '/x'\nHINT: look", '[{"name": "demo"}]', "{}"]
)
def test_an_answer_that_is_none_says_why(answer: str) -> None:
    found = pgbackrest.stanza_in(answer, "demo")
    assert found.reason
    assert "unable to open" in found.reason or "ERROR" not in answer


VERIFIED = """stanza: demo
status: error
  archiveId: 15-1, total WAL checked: 8, total valid WAL: 8
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: 20261129-011818F, status: valid, total files checked: 964, total valid files: 964
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: 20261129-011818F_20261129-011823I, status: invalid, total files checked: 965, total valid files: 964
    missing: 0, checksum invalid: 1, size invalid: 0, other: 0
"""


def test_which_backup_verify_has_found_damaged_is_read_from_its_words_alone() -> None:
    found = pgbackrest.damages_in(VERIFIED)
    assert found["20261129-011818F"] == ""
    assert "1 have another sum" in found["20261129-011818F_20261129-011823I"]


def test_a_segment_that_is_gone_is_seen_across_the_end_of_a_log() -> None:
    there = frozenset({"0000000100000000000000FE", "000000010000000100000000"})
    gone = pgbackrest.missing_segments("0000000100000000000000FE", "000000010000000100000001", there)
    assert gone == ("0000000100000000000000FF", "000000010000000100000001")
    large = pgbackrest.missing_segments(
        "00000001000000000000003F",
        "000000010000000100000000",
        frozenset({"00000001000000000000003F"}),
        64 * MB,
    )
    assert large == ("000000010000000100000000",)


# --- a moment ---------------------------------------------------------------------------------------------------


def recalled(of: Survey, **changes: Any) -> Observation:
    return restores.observed(source=None, epoch=NOW, free_bytes=10_000 * MB, survey=of, **changes)


def restored(to: float, of: Survey, *, engine: str = "pgbackrest", **changes: Any) -> Plan:
    values = restores.SITE.settings.model_dump()
    values["backup"]["engine"] = engine
    moment = datetime.fromtimestamp(to, timezone.utc).isoformat(sep=" ")
    looks = snapshot(recalled(of, **changes))
    return verbs.find("restore db").plan(looks, Site(Settings.model_validate(values)), ("--to", moment))


def test_a_moment_is_recovered_from_the_newest_backup_before_it_and_then_restored_as_any() -> None:
    of = seen(OLD_FULL, FULL, TODAYS, programs=("pgbackrest",))
    plan = restored(NOW - 0.5 * DAY, of)
    first, *others = plan.steps
    assert first.operation.kind == "restore.recover"
    assert first.operation.arguments["label"] == FULL.label
    assert first.operation.arguments["target"].endswith("+00")
    made = first.operation.arguments["id"]
    assert [step.operation.arguments["id"] for step in others[:3]] == [made] * 3
    assert others[-1].operation.kind == "restore.swap"
    assert plan.risk is Risk.DESTRUCTIVE
    assert plan.arguments[0] == "--to"
    assert restored(NOW - 0.1 * DAY, of).steps[0].operation.arguments["label"] == TODAYS.label


def test_a_damaged_backup_is_not_begun_with() -> None:
    of = seen(OLD_FULL, FULL, rows=(graded(FULL, is_good=False),))
    assert restored(NOW - DAY, of).steps[0].operation.arguments["label"] == OLD_FULL.label


@pytest.mark.parametrize(
    ("to", "of", "changes", "reason"),
    [
        (NOW + 60, seen(FULL), {}, "still to come"),
        (NOW - 4 * DAY, seen(FULL), {}, "Nothing reaches back to"),
        (NOW - DAY, seen(), {}, "not in order"),
        (NOW - DAY, seen(FULL), {"tablespaces": ("fast",)}, "tablespaces of its own \\(fast\\)"),
        (NOW - DAY, seen(FULL), {"in_recovery": True}, "standby"),
        (NOW - DAY, seen(replace(FULL, version="14")), {}, "of PostgreSQL 14, and ours is 15"),
        (NOW - DAY, seen(FULL, free_bytes=50 * MB), {}, "Not enough room in"),
        (NOW - DAY, seen(FULL), {"engine": "dump"}, "only with \\[backup\\] engine"),
    ],
)
def test_a_moment_that_cannot_be_had_is_refused_before_anything_is_run(
    to: float, of: Survey, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        restored(to, of, **changes)


def test_the_plan_names_the_tables_that_have_rows_since() -> None:
    live = {
        "public.orders": LiveTable(
            10, True, f"{datetime.fromtimestamp(NOW - HOUR, timezone.utc):%Y-%m-%d %H:%M:%S}+00"
        ),
        "public.quiet": LiveTable(3, True, "2020-01-01 00:00:00+00"),
    }
    notes = restored(NOW - 2 * HOUR, seen(FULL), live=live).notes
    assert any("public.orders: has rows since that moment" in note for note in notes)
    assert not any("public.quiet" in note for note in notes)


def test_a_moment_and_a_backup_are_not_both_meant() -> None:
    with pytest.raises(UsageError, match="no backup beside it"):
        verbs.find("restore db").codes(restores.SITE, ("--to", "latest"))


def table_at(to: float, of: Survey, **changes: Any) -> Plan:
    values = restores.SITE.settings.model_dump()
    values["backup"]["engine"] = "pgbackrest"
    site, moment = Site(Settings.model_validate(values)), f"{datetime.fromtimestamp(to, timezone.utc)}"
    arguments = ("orders", "orders_then", "", "id < 7", moment)
    verbs.find("restore table").codes(site, arguments)
    return verbs.find("restore table").plan(snapshot(recalled(of, **changes)), site, arguments)


def test_a_table_as_of_a_moment_comes_of_the_dump_that_is_made_first() -> None:
    plan = table_at(NOW - DAY, seen(FULL))
    recover, table = plan.steps
    assert (recover.operation.kind, recover.operation.arguments["label"]) == ("restore.recover", FULL.label)
    assert (table.id, table.operation.arguments["id"]) == ("restore.table", recover.operation.arguments["id"])
    assert table.operation.arguments["where"] == "id < 7"
    assert plan.risk is Risk.SAFE
    assert not plan.steps_stand_alone, "without the dump there is no table"
    assert plan.arguments[-1].startswith("20")
    with pytest.raises(RefusedError, match="Nothing reaches back to"):
        table_at(NOW - 4 * DAY, seen(FULL))
    with pytest.raises(RefusedError, match=r"There is a table public\.orders_then"):
        table_at(NOW - DAY, seen(FULL), live={"public.orders_then": LiveTable(1, True, None)})


def test_a_trial_of_one_of_pgbackrest_recovers_it_beside() -> None:
    values = restores.SITE.settings.model_dump()
    values["backup"]["engine"] = "pgbackrest"
    looks = snapshot(recalled(seen(FULL)))
    plan = verbs.find("backup drill").plan(looks, Site(Settings.model_validate(values)), ("latest",))
    (step,) = plan.steps
    assert step.operation.kind == "restore.try_physical"
    assert step.operation.arguments["recovering"]["target"] == ""


def test_a_recovery_is_neither_the_backup_of_a_night_nor_what_holds_a_removal() -> None:
    of = seen(*MANY, rows=tuple(map(graded, MANY)))
    failed = Run("20270101T000000Z-aaaa", "samaconso", "failed", "dump", MOMENT, recovered_to=MOMENT)
    held = decide((*of.runs, failed), of.epoch, Rules(30, 3, 0, 0))
    assert held.held == ""
    assert decide((*of.runs, replace(failed, recovered_to="")), of.epoch, Rules(30, 3, 0, 0)).held


MOMENT = datetime.fromtimestamp(NOW - 60, timezone.utc).isoformat(timespec="seconds")


def test_archiving_that_is_off_is_critical_where_pgbackrest_is_the_engine() -> None:
    off = look("postgresql/db", replace(HEALTHY, archiver=replace(ARCHIVER, mode="off")), "db")
    found = [
        next(iter(statuses("postgresql.archiver.late", off, settings=site(engine=engine).settings).values()))
        for engine in ("dump", "pgbackrest")
    ]
    assert found == ["ok", "critical"]
