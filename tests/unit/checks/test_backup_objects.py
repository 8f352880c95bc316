"""The judgement of the copy of the objects, on data alone."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from samaops.facts.objects import FAILED, STARTED, STOPPED, WHOLE, BucketRun, ObjectCopyFacts, ObjectRun
from samaops.facts.observation import Observation
from tests.unit.checks.judging import NOT_ALLOWED, REFUSED, findings, seen, statuses

NOW = 1_795_000_000.0
HOUR = 3600.0
SUBJECT = "backup/db-objects"


def run(hours: float, state: str = WHOLE, **changes: Any) -> ObjectRun:
    """Return a run of so many hours ago."""
    moment = datetime.fromtimestamp(NOW - hours * HOUR, timezone.utc)
    values: dict[str, Any] = {"buckets": {"avatars": BucketRun(100, 1000)}, **changes}
    name = f"{moment:%Y%m%dT%H%M%SZ}-00aa"
    return ObjectRun(name, "samaconso", state, moment.isoformat(timespec="seconds"), **values)


def copied(*runs: ObjectRun, **changes: Any) -> ObjectCopyFacts:
    values: dict[str, Any] = {"emptied": (), **changes}
    return ObjectCopyFacts("/data/backups/minio", values.pop("exists", True), 10**9, NOW, runs, **values)


def observed(*runs: ObjectRun, **changes: Any) -> Observation:
    return seen(SUBJECT, copied(*runs, **changes), "db")


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ((run(2),), "ok"),
        ((run(30),), "warning"),
        ((run(60),), "critical"),
        ((run(1, FAILED), run(30)), "warning"),
        ((run(1, STARTED),), "critical"),
        ((), "critical"),
    ],
)
def test_the_age_is_that_of_the_newest_whole_one(runs: tuple[ObjectRun, ...], expected: str) -> None:
    assert statuses("backup.objects.old", observed(*runs)) == {SUBJECT: expected}


def test_a_copy_that_is_not_there_is_told_once() -> None:
    assert statuses("backup.objects.unreadable", observed(exists=False)) == {SUBJECT: "critical"}
    assert statuses("backup.objects.old", observed(exists=False)) == {}


def test_a_copy_of_the_future_has_no_age() -> None:
    assert statuses("backup.objects.old", observed(run(-2))) == {SUBJECT: "unknown"}


@pytest.mark.parametrize(
    ("observation", "expected", "words"),
    [
        (observed(run(1)), "ok", "has what"),
        (observed(run(1, STOPPED, reason="avatars: 90 of 100"), run(25)), "critical", "avatars: 90 of 100"),
        (observed(run(1), emptied=("avatars",)), "critical", "no object is left of the 100"),
        # the next run was whole again: it was put back, or the limit was set higher
        (observed(run(1), run(2, STOPPED, reason="x")), "ok", "has what"),
        (observed(run(1), emptied=None), "skipped", "not asked"),
    ],
)
def test_what_the_storage_lost_is_critical(observation: Observation, expected: str, words: str) -> None:
    finding = findings("backup.objects.lost", observation)[SUBJECT]
    assert finding.status.value == expected
    assert words in finding.title + finding.detail


def test_a_storage_that_could_not_be_asked_is_unknown() -> None:
    for failure in (REFUSED, NOT_ALLOWED):
        observation = seen(SUBJECT, copied(run(1), emptied=None), "db", {"emptied": failure})
        assert statuses("backup.objects.lost", observation)[SUBJECT] in ("unknown", "skipped")


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (run(1), "ok"),
        (run(1, FAILED, reason="connect: refused"), "warning"),
        (run(1, left_out=("avatars/x: it changed",)), "warning"),
    ],
)
def test_a_run_that_failed_or_left_something_out_is_said(newest: ObjectRun, expected: str) -> None:
    assert statuses("backup.objects.failed", observed(newest, run(25))) == {SUBJECT: expected}
