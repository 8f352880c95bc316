"""That nothing could be reached, which points at this machine, is said only when nobody answered at all."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from samaops.clients.errors import ClientError
from samaops.config.settings import Settings
from samaops.errors import UNAVAILABLE
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.servers import ReachFacts
from samaops.facts.sqlserver import SqlServerFacts
from samaops.model.failure import Failure, FailureKind
from samaops.site.site import Site
from samaops.workflows.diagnose import judge
from tests.unit.checks.judged import failed, observed, with_fields
from tests.unit.checks.test_sqlserver import HEALTHY, NO_DATABASE, SUBJECT

SITE = Site(Settings.model_validate({"servers": {"db": {"address": "10.101.1.210"}}}))
SILENT = failed(SqlServerFacts, "sqlserver/silent", FailureKind.SILENT)
NOT_THERE = ReachFacts("10.101.1.210", 22, True, None, "no echo", "silent", None, "timed out")


def is_unreached(*observations: Observation) -> bool:
    report = judge(Snapshot(datetime.now(timezone.utc), observations), SITE)
    assert all(error.exit_code == UNAVAILABLE for error in report.errors)
    return bool(report.errors)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_who_answers_anything_was_reached(kind: FailureKind) -> None:
    nobody = ("refused", "silent", "name", "dependency", "deadline")
    assert is_unreached(failed(SqlServerFacts, SUBJECT, kind)) == (kind.value in nobody)
    assert is_unreached(SILENT, failed(SqlServerFacts, SUBJECT, kind)) == (kind.value in (*nobody, "absent"))


@pytest.mark.parametrize(
    ("of_the_way", "expected"), [("silent", True), ("host_key", False), ("authentication", False)]
)
def test_what_lies_behind_something_is_reached_as_far_as_that_was(of_the_way: str, expected: bool) -> None:
    failure = ClientError(FailureKind(of_the_way), "words", "ssh").on_the_way("ssh").failure()
    assert failure.kind is FailureKind.DEPENDENCY
    assert is_unreached(Observation("docker", "docker/db", "db", "DockerFacts", failure=failure)) == expected


def test_a_look_that_hangs_before_anybody_answered_reached_nobody() -> None:
    hung = Failure(FailureKind.NO_ANSWER, "no answer after 6.0 s", "name", 6000, has_answered=False)
    assert is_unreached(SILENT, Observation("sqlserver", SUBJECT, None, "SqlServerFacts", failure=hung))


def test_facts_that_are_all_bad_are_an_answer_too() -> None:
    assert not is_unreached(SILENT, observed(with_fields(HEALTHY, NO_DATABASE), SUBJECT))


def test_that_a_server_is_not_there_is_no_answer() -> None:
    gone = Observation("servers", "servers/db", "db", "ReachFacts", facts=NOT_THERE)
    assert is_unreached(SILENT, gone)
