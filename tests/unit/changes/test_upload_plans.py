"""Plans that abort unfinished uploads: which are named, and which stay."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import readings, verbs
from samaops.config.settings import MinIO
from samaops.errors import RefusedError, UsageError
from samaops.facts.minio import Upload, UploadsFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.model.plan import Condition, Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import SETTINGS

NOW = 1_770_000_000.0
HOUR, MB = 3600.0, 1024**2
OLD = Upload("uploads", "2026/film.mp4", "id-1", NOW - 80 * HOUR, NOW - 79 * HOUR, 5, 810 * MB)
LARGER = Upload("documents", "archive.zip", "id-2", NOW - 30 * HOUR, NOW - 25 * HOUR, 9, 900 * MB)
# Begun long ago, and a part came just now: somebody is at it.
SLOW = Upload("uploads", "slow.iso", "id-3", NOW - 80 * HOUR, NOW - HOUR, 7, 70 * MB)
UNCOUNTED = Upload("uploads", "unknown", "id-4", NOW - 90 * HOUR, NOW - 90 * HOUR)
FACTS = UploadsFacts(NOW, ("avatars", "documents", "uploads"), (OLD, LARGER, SLOW, UNCOUNTED))
SITE = Site(SETTINGS.model_copy(update={"minio": MinIO(access_key="x")}))


def observed(facts: UploadsFacts = FACTS) -> Observation:
    return Observation("maintenance", "uploads/db", "db", "UploadsFacts", facts)


def snapshot(facts: UploadsFacts = FACTS) -> Snapshot:
    return Snapshot(datetime.fromtimestamp(NOW, timezone.utc), (observed(facts),))


def plan(bucket: str = "", hours: str = "24", facts: UploadsFacts = FACTS) -> Plan:
    found = verbs.find("disk abort-uploads")
    found.codes(SITE, (bucket, hours))
    return found.plan(snapshot(facts), SITE, (bucket, hours))


def of(planned: Plan) -> list[Any]:
    return [step.operation.arguments["key"] for step in planned.steps]


def test_those_of_a_day_ago_are_named_with_their_bytes_and_age_the_largest_first() -> None:
    planned = plan()
    assert of(planned) == ["archive.zip", "2026/film.mp4"]
    first = planned.steps[0]
    assert "archive.zip in documents" in first.title
    assert "900 MB in 9 parts" in first.title
    assert (first.risk, first.undo, first.operation.arguments["bytes"]) == (Risk.DESTRUCTIVE, None, 900 * MB)
    assert "archive.zip in documents" in first.destroys
    assert planned.target == "db"
    assert planned.steps_stand_alone


def test_one_to_which_a_part_came_lately_and_one_that_nobody_counted_stay() -> None:
    assert "slow.iso" not in of(plan())
    assert "unknown" not in of(plan())
    assert "1 is younger than 24 hours, and stays" in plan().notes
    assert of(plan(hours="1")) == ["archive.zip", "2026/film.mp4", "slow.iso"]


def test_one_bucket_is_the_name_that_is_typed() -> None:
    planned = plan("uploads", "72")
    assert (planned.target, of(planned)) == ("uploads", ["2026/film.mp4"])
    assert plan("avatars").steps == ()
    with pytest.raises(UsageError, match="documents"):
        plan("upload")


@pytest.mark.parametrize("hours", ["0", "-1", "x", "1.5"])
def test_what_is_no_number_of_hours_is_refused(hours: str) -> None:
    with pytest.raises(UsageError):
        plan(hours=hours)


def test_without_minio_there_is_nothing_to_ask() -> None:
    site = Site(SETTINGS.model_copy(update={"minio": None}))
    with pytest.raises(RefusedError):
        verbs.find("disk abort-uploads").codes(site, ("", "24"))


def test_a_step_holds_only_while_its_upload_is_as_it_was_and_is_seen_when_it_is_gone() -> None:
    (first, _second) = plan().steps
    assert readings.broken(first.before, snapshot()) == ""
    assert readings.broken(first.after, snapshot())
    written = replace(FACTS, uploads=(replace(LARGER, latest=NOW - 60),))
    assert readings.broken(first.before, snapshot(written))
    gone = replace(FACTS, uploads=(OLD,))
    assert readings.broken(first.before, snapshot(gone))
    assert readings.broken(first.after, snapshot(gone)) == ""


def test_it_is_listed_again_by_the_name_of_its_object_alone() -> None:
    condition: Condition = plan().steps[1].before[0]
    assert readings.codes_of((condition,)) == ("maintenance.uploads.of.uploads%2F2026%2Ffilm.mp4",)


def test_what_could_not_be_read_and_what_a_listing_may_hide_is_told() -> None:
    partial = replace(FACTS, unread=(("secret", "AccessDenied"),), is_partial=True)
    told = " ".join(plan(facts=partial).notes)
    assert "secret: could not look: AccessDenied" in told
    assert "more than were read" in told
    empty = plan(facts=replace(FACTS, uploads=()))
    assert empty.steps == ()
    assert "only by the exact name" in " ".join(empty.notes)


def test_a_plan_is_no_longer_than_people_read() -> None:
    many = tuple(replace(OLD, id=f"id-{number}") for number in range(60))
    planned = plan(facts=replace(FACTS, uploads=many))
    assert len(planned.steps) == 50
    assert "10 more in a next run: 50 at most in one" in planned.notes
