"""Which backups are made, proved, kept and removed, and which never."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.backup import CatalogueFacts
from samaops.facts.backup_run import Grade, Grades, Left, Run
from samaops.facts.observation import Observation
from samaops.model.plan import Plan, Risk
from samaops.site.backup_policy import Rules, decide, is_damaged, is_proved
from samaops.site.site import Site
from tests.unit.changes import test_upkeep_plans as upkeep
from tests.unit.changes.test_plans import snapshot
from tests.unit.changes.test_session_plans import BACKEND
from tests.unit.checks.test_backup_runs import DAY, MB, NOW, at, catalogue, dump, own_id, proof, run, survey

OLD = run(2)
# Enough that are proved, and one that nothing keeps.
MANY = (*(run(days) for days in (0.2, 1.2, 2.2, 3.2)), run(100, grades=Grades()), run(101, grades=Grades()))


def observed(*runs: Run, **changes: Any) -> Observation:
    return catalogue(CatalogueFacts("/data/backups", survey(*runs, **changes)), "flower")


def site(**backup: Any) -> Site:
    values = {"postgresql": {"server": "db"}, "servers": {"db": {"address": "10.0.0.9"}}, "backup": backup}
    return Site(Settings.model_validate(values))


def planned(
    verb: str,
    *arguments: str,
    runs: tuple[Run, ...] = (),
    backup: dict[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    database = {name: changes.pop(name) for name in ("backends",) if name in changes}
    looks = snapshot(observed(*runs, **changes), upkeep.observed(**database))
    return verbs.find(verb).plan(looks, site(**(backup or {})), arguments)


def test_a_plan_says_how_much_and_how_long_from_the_last_run() -> None:
    plan = planned("backup create", runs=(run(1, ended_at=at(1 - 300 / DAY)),))
    (step,) = plan.steps
    assert step.risk is Risk.SAFE
    assert plan.lock == "backup"
    assert step.operation.arguments["jobs"] == 3
    assert any("About 100 MB in about 5" in note for note in plan.notes)
    first = planned("backup create")
    assert any(note.startswith("It is the first") for note in first.notes)
    assert any("recipient names nobody" in note for note in first.notes)


@pytest.mark.parametrize(
    ("changes", "backup", "reason"),
    [
        ({"free_bytes": 129 * MB, "runs": (OLD,)}, {}, "129 MB free, and a backup may need 130 MB"),
        ({"majors": (13, 17)}, {}, "no pg_dump of PostgreSQL 15, its own version; it has 13, 17"),
        ({"backends": (replace(BACKEND, application="pg_restore"),)}, {}, "does not begin beside restore"),
        ({"backends": (replace(BACKEND, application="alembic"),)}, {}, "does not begin beside migration"),
        ({"backends": (replace(BACKEND, state="active", query="REINDEX INDEX CONCURRENTLY x"),)}, {}, "beside reindex"),
        ({}, {"server": "elsewhere"}, "a dump is made on the database's own server"),
        ({"runs": (run(0.1, "started", by="root@one"),), "left": (Left(own_id(0.1) + ".partial", True, NOW, 1),)}, {},
         "Another run goes on: .* begun by root@one"),
    ],
)  # fmt: skip
def test_a_backup_is_not_begun_where_it_could_not_be_made_well(
    changes: dict[str, Any], backup: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        planned("backup create", backup=backup, **changes)


def test_a_dump_goes_beside_a_vacuum_and_another_dump() -> None:
    at_work = (
        replace(BACKEND, state="active", query="VACUUM orders"),
        replace(BACKEND, application="pg_dump", state="active"),
    )
    assert planned("backup create", backends=at_work).steps


def test_what_died_is_named_and_what_runs_is_not() -> None:
    dead = run(0.5, "started")
    plan = planned("backup create", runs=(dead,), left=(Left(dead.id + ".partial", False, NOW, 7),))
    assert plan.steps[0].operation.arguments["dead"] == (dead.id,)
    assert any(dead.id in note for note in plan.notes)


def test_where_nobody_may_look_nothing_is_planned() -> None:
    blind = catalogue(CatalogueFacts("/d", None, "sudo: a password is required"))
    with pytest.raises(UnavailableError, match="sudo: a password is required"):
        verbs.find("backup prune").plan(snapshot(blind), site(), ())


@pytest.mark.parametrize(
    ("word", "problem"),
    [("2026", "several"), ("nonsense", "no backup 'nonsense'"), ("", "no backup"), ("../etc", "no backup")],
)
def test_a_word_that_means_no_backup_or_several_is_refused(word: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        planned("backup pin", word, "r", runs=(run(1), run(2)))


def test_a_failed_run_is_neither_proved_nor_pinned() -> None:
    failed = run(1, "failed")
    for verb, arguments in (("backup verify", (failed.id,)), ("backup pin", (failed.id, "r"))):
        with pytest.raises(RefusedError, match="its state is failed"):
            planned(verb, *arguments, runs=(failed, run(2)))


def test_sums_of_the_guides_dumps_are_not_promised() -> None:
    plan = planned("backup verify", "--all", "--grade", "stored", runs=(run(1), dump(2)))
    assert [step.about for step in plan.steps] == [f"backup/{own_id(1)}"]
    assert [left.subject for left in plan.left_out] == ["backup/samaconso_2.backup"]
    assert len(planned("backup verify", "--all", runs=(run(1), dump(2))).steps) == 2
    with pytest.raises(UsageError, match="neither stored nor readable"):
        planned("backup verify", "latest", "--grade", "restored", runs=(run(1),))


def test_what_is_removed_is_shown_one_by_one_the_oldest_first() -> None:
    plan = planned("backup prune", runs=MANY, backup={"monthly": 1, "weekly": 1})
    assert [step.about for step in plan.steps] == [f"backup/{own_id(days)}" for days in (101, 100)]
    assert plan.risk is Risk.DESTRUCTIVE
    assert plan.target == "samaconso"
    assert "never proved" in plan.steps[0].title


def test_copies_on_servers_go_with_what_expires_and_a_repositorys_stay() -> None:
    places = [
        {"name": "other", "server": "other", "directory": "/copies"},
        {"name": "archive", "server": "archive", "directory": "/copies", "keep_expired": True},
        {"name": "vault", "kind": "restic", "repository": "r", "password": "p"},
    ]
    there = dict.fromkeys(("other", "archive", "vault", "forgotten"), at(99))
    runs = (*MANY[:-2], replace(MANY[-2], copies=there), replace(MANY[-1], copies=there, state="missing"))
    plan = planned("backup prune", runs=runs, backup={"monthly": 1, "weekly": 1, "copies": places})
    assert [step.operation.arguments["copies"] for step in plan.steps] == [("other",)] * 2
    assert [(step.servers or ())[1:] for step in plan.steps] == [("other",)] * 2
    assert "missing here" in plan.steps[0].title
    assert "here and at other" in plan.steps[1].title
    assert any("archive, forgotten, vault stay" in note for note in plan.notes)


RULES = Rules(30, 3, 4, 6)


@pytest.mark.parametrize(
    ("newest", "why"),
    [
        (run(0.1, "failed"), "the newest run failed"),
        (run(0.1, "killed"), "the newest run was killed"),
        (run(0.1, "missing"), "gone from the disk"),
        (run(0.1, "running"), "a run goes on"),
        (run(0.1, grades=Grades(stored=proof(0, is_good=False))), "damaged"),
    ],
)
def test_nothing_expires_while_the_newest_run_is_not_whole(newest: Run, why: str) -> None:
    assert decide(MANY, NOW, Rules(30, 3, 0, 0)).expired
    decision = decide((newest, *MANY), NOW, Rules(30, 3, 0, 0))
    assert decision.expired == ()
    assert why in decision.held


def test_the_minimum_counts_only_what_is_proved() -> None:
    unproved = [run(days, grades=Grades()) for days in (1, 2, 3, 4)]
    decision = decide((*unproved, run(100), run(101)), NOW, RULES)
    assert decision.expired == ()
    assert "2 backups are proved good, and 3 are to be kept" in decision.held


def test_the_newest_of_each_week_and_month_stays() -> None:
    daily = [run(float(days)) for days in range(200)]
    decision = decide(daily, NOW, Rules(10, 3, 4, 6))
    assert [key for key, why in decision.kept.items() if "month" in why]
    kept = [row for row in daily if row.id in decision.kept]
    assert len({row.started_at[:7] for row in kept}) == 6
    assert len(kept) < 25
    dumps = [dump(float(days), grades=Grades(readable=proof(1))) for days in range(60)]
    assert {row.engine for row in decide(dumps, NOW, Rules(10, 3, 0, 0)).expired} == {"guide"}


grade = st.none() | st.builds(Grade, st.just(at(1)), st.booleans())
rows = st.builds(
    lambda days, state, stored, readable, restored, pinned: run(
        days, state, grades=Grades(stored, readable, restored), pinned=pinned
    ),
    st.floats(0, 900), st.sampled_from(["ok", "ok", "ok", "failed", "killed", "running", "missing", "unlisted"]),
    grade, grade, grade, st.sampled_from(["", "", "an audit"]),
)  # fmt: skip
rules = st.builds(Rules, st.integers(1, 90), st.integers(1, 9), st.integers(0, 9), st.integers(0, 14))


@given(st.lists(rows, max_size=40, unique_by=lambda row: row.id), rules)
def test_whatever_there_is_the_policy_never_takes_what_it_promises(
    given_rows: list[Run], wanted: Rules
) -> None:
    decision = decide(given_rows, NOW, wanted)
    expired = {row.id for row in decision.expired}
    assert expired | decision.kept.keys() == {row.id for row in given_rows}
    assert not expired & decision.kept.keys()
    newest_first = sorted(given_rows, key=lambda row: row.started_at, reverse=True)
    proved = [row for row in newest_first if is_proved(row)]
    for row in newest_first:
        age = NOW - datetime.fromisoformat(row.started_at).astimezone(timezone.utc).timestamp()
        if row.pinned or row.state == "running" or age <= wanted.retention_days * DAY:
            assert row.id not in expired
    assert not {row.id for row in proved[: wanted.minimum]} & expired
    if len(proved) < wanted.minimum:
        assert not expired
    if newest_first and (newest_first[0].state not in ("ok", "unlisted") or is_damaged(newest_first[0])):
        assert not expired
    assert len([row for row in proved if row.id not in expired]) >= min(len(proved), wanted.minimum)


def test_where_old_ones_are_held_the_command_that_lets_them_go_comes_next() -> None:
    old = run(400, grades=Grades())
    few = planned("backup prune", runs=(run(1, grades=Grades()), old))
    assert not few.steps
    assert few.notes[-1].endswith("backup create")
    many = planned("backup prune", runs=(*(run(days, grades=Grades()) for days in (1, 2, 3)), old))
    assert not many.steps
    assert many.notes[-1].endswith("backup verify --all")
    young = planned("backup prune", runs=tuple(run(days, grades=Grades()) for days in (1, 2)))
    assert not any("too old" in note for note in young.notes)
