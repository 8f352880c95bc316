"""Which objects are copied and put back, which copies of backups are made, and where that is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.objects.restoring import chosen
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UsageError
from samaops.facts.backup_run import Run
from samaops.facts.objects import STOPPED, ObjectDifferences, ObjectRun, ObjectsElsewhere
from samaops.facts.observation import Observation
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes import test_backup_plans as backups
from tests.unit.changes.test_plans import snapshot
from tests.unit.checks.judging import REFUSED, failed, seen
from tests.unit.checks.test_backup_objects import copied, observed, run

SECTIONS = {
    "servers": {"db": {"address": "10.0.0.9"}, "other": {"address": "10.0.0.8"}},
    "minio": {"server": "db"},
    "backup": {"server": "db", "objects": {}},
}
SITE = Site(Settings.model_validate(SECTIONS))
NEWEST, OLDER = run(2), run(26)
DIFFERENT = ObjectDifferences("20261128T020000Z-9999", NEWEST.id, NEWEST.started_at, 7, 3, 300, 2, 20, 1)


def compared(differences: ObjectDifferences = DIFFERENT) -> Observation:
    return seen("backup/objects", differences)


def planned(verb: str, *arguments: str, looks: tuple[Observation, ...], site: Site = SITE) -> Plan:
    return verbs.find(verb).plan(snapshot(*looks), site, arguments)


def test_a_copy_is_safe_and_says_what_stops_it() -> None:
    plan = planned("backup objects", looks=(observed(run(1, STOPPED, reason="avatars: 9 of 9"), NEWEST),))
    assert plan.risk is Risk.SAFE
    assert any("20 % of a bucket" in note for note in plan.notes)
    assert any("avatars: 9 of 9" in note for note in plan.notes)
    assert any("first copy" in note for note in planned("backup objects", looks=(observed(),)).notes)


@pytest.mark.parametrize("verb", ["backup objects", "restore objects"])
def test_nobody_works_beside_another(verb: str) -> None:
    with pytest.raises(RefusedError, match="another samaops"):
        planned(verb, looks=(observed(NEWEST, is_busy=True), compared()))


def test_without_a_place_nothing_is_planned() -> None:
    for missing in ("minio", "objects"):
        values: dict[str, Any] = {**SECTIONS, "backup": {"server": "db"}} if missing == "objects" else {**SECTIONS, "minio": None}  # fmt: skip
        with pytest.raises(RefusedError, match=missing):
            verbs.find("backup objects").codes(Site(Settings.model_validate(values)), ())


def test_a_restore_says_how_much_and_deletes_nothing() -> None:
    plan = planned("restore objects", "", "", "", looks=(observed(NEWEST), compared()))
    prove, restore = plan.steps
    assert (prove.risk, restore.risk) == (Risk.SAFE, Risk.DISRUPTIVE)
    assert restore.operation.arguments["most_different"] == 2
    assert restore.undo is not None
    assert any("3 objects are missing" in note for note in plan.notes)
    assert any("nothing is deleted" in note for note in plan.notes)
    only_missing = replace(DIFFERENT, different=0, different_bytes=0)
    assert planned("restore objects", looks=(observed(NEWEST), compared(only_missing))).risk is Risk.SAFE


def test_what_is_as_it_was_is_not_put_back() -> None:
    same = replace(DIFFERENT, missing=0, different=0)
    assert planned("restore objects", looks=(observed(NEWEST), compared(same))).nothing_to_do


def test_a_copy_made_meanwhile_is_looked_at_again() -> None:
    with pytest.raises(RefusedError, match="meanwhile"):
        planned("restore objects", looks=(observed(run(1), NEWEST), compared()))


RUNS = (NEWEST, run(3, STOPPED), OLDER, run(50))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", NEWEST),
        (OLDER.id, OLDER),
        (OLDER.id[:11], OLDER),
        (OLDER.started_at[:10], OLDER),
        ("2030-01-01", NEWEST),
    ],
)
def test_a_run_is_chosen_by_its_id_or_the_day(asked: str, expected: ObjectRun) -> None:
    assert chosen(RUNS, asked) == expected


@pytest.mark.parametrize("asked", ["2020-01-01", "nonsense", "2", RUNS[1].id])
def test_a_run_that_is_not_there_is_said(asked: str) -> None:
    with pytest.raises(UsageError):
        chosen(RUNS, asked)


def test_without_any_copy_nothing_can_come_back() -> None:
    with pytest.raises(RefusedError):
        chosen((run(1, STOPPED),), "")


OTHER = {"name": "other", "server": "other", "directory": "/copies"}
VAULT = {"name": "vault", "kind": "restic", "repository": "rclone:x", "password": "canary"}


def copying(
    *arguments: str, run_: Any = backups.OLD, copies: tuple[dict[str, Any], ...] = (OTHER, VAULT)
) -> Plan:
    values = {**SECTIONS, "backup": {"server": "db", "copies": list(copies)}}
    site = Site(Settings.model_validate(values))
    verb = verbs.find("backup copy")
    verb.codes(site, arguments)
    return verb.plan(snapshot(backups.observed(run_)), site, arguments)


def test_a_backup_goes_to_each_place_that_has_it_not() -> None:
    assert [step.operation.arguments["to"] for step in copying().steps] == ["other", "vault"]
    assert [step.operation.arguments["to"] for step in copying("latest", "--to", "vault").steps] == ["vault"]
    has_one = replace(backups.OLD, copies={"other": "2026-11-27T02:00:00+00:00"})
    assert [step.operation.arguments["to"] for step in copying(run_=has_one).steps] == ["vault"]
    assert copying("latest", "--to", "other", run_=has_one).nothing_to_do
    assert copying().steps[0].servers == ("db", "other")


def test_a_place_that_held_copies_is_not_made_anew() -> None:
    earlier = replace(backups.MANY[0], copies={"vault": "2026-11-27T02:00:00+00:00"})
    values = {**SECTIONS, "backup": {"server": "db", "copies": [VAULT]}}
    plan = verbs.find("backup copy").plan(
        snapshot(backups.observed(backups.OLD, earlier)),
        Site(Settings.model_validate(values)),
        (backups.OLD.id,),
    )
    assert plan.steps[0].operation.arguments["has_others"] is True


@pytest.mark.parametrize(
    ("arguments", "copies", "reason"),
    [
        ((), (), "there is no other place"),
        (("latest", "--to", "nowhere"), (OTHER,), "no place 'nowhere'"),
        (("one", "two"), (OTHER,), "one backup at a time"),
        ((), ({**OTHER, "server": "db"},), "not another server"),
        ((), ({**VAULT, "password": None},), "password are not configured"),
    ],
)
def test_a_copy_to_nowhere_is_refused(
    arguments: tuple[str, ...], copies: tuple[dict[str, Any], ...], reason: str
) -> None:
    with pytest.raises((RefusedError, UsageError), match=reason):
        copying(*arguments, copies=copies)


def test_a_dump_of_the_guide_has_no_sums_to_prove_a_copy_by() -> None:
    with pytest.raises(RefusedError, match="no sums"):
        copying(run_=replace(backups.OLD, engine="guide"))


def test_the_password_stands_in_no_plan() -> None:
    assert "canary" not in str(copying())


def at_other(*runs: ObjectRun, backups: tuple[str, ...] = (), **changes: Any) -> Observation:
    there = copied(*runs, **changes)
    return seen("objects_elsewhere/other", ObjectsElsewhere("other", there, backups))


def pruned(elsewhere: Observation, *there: Run, **place: Any) -> Plan:
    sections = {**SECTIONS, "backup": {"server": "db", "objects": {}, "copies": [{**OTHER, **place}], "weekly": 0, "monthly": 0}}  # fmt: skip
    looks = snapshot(backups.observed(*backups.MANY[:4], *there), observed(run(1)), elsewhere)
    prune = verbs.find("backup prune")
    assert "backup.objects.elsewhere" in prune.codes(Site(Settings.model_validate(sections)), ())
    return prune.plan(looks, Site(Settings.model_validate(sections)), ())


def days(count: float) -> ObjectRun:
    return run(count * 24)


def test_objects_on_another_server_go_by_the_same_rule() -> None:
    newest, old, kept, beside = days(1), days(90), days(80), days(70)
    there = at_other(newest, old, kept, beside, backups=(beside.id,))
    pinned = replace(backups.OLD, id=kept.id, pinned="an audit")
    (step,) = pruned(there, pinned).steps
    assert step.risk is Risk.DESTRUCTIVE
    assert step.operation.arguments == {"runs": (old.id,), "place": "other"}
    assert (step.operation.server, step.servers) == ("other", ("db", "other"))
    assert "at other 1 lists" in step.title


@pytest.mark.parametrize(
    ("elsewhere", "place", "note"),
    [
        (at_other(days(1), days(90)), {"keep_expired": True}, ""),
        (at_other(run(1, "failed"), days(2), days(90)), {}, ""),
        (at_other(days(90)), {}, ""),  # the newest, however old
        (at_other(days(1), days(90), is_busy=True), {}, "At other the objects stay .* another samaops"),
        (failed("objects_elsewhere/other", ObjectsElsewhere, REFUSED), {}, "At other the objects stay"),
    ],
)  # fmt: skip
def test_objects_on_another_server_stay(elsewhere: Observation, place: dict[str, Any], note: str) -> None:
    plan = pruned(elsewhere, **place)
    assert plan.nothing_to_do
    assert bool(note) == any("At other" in each for each in plan.notes)
    assert not note or any(re.search(note, each) for each in plan.notes)
