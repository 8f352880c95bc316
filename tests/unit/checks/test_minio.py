"""Every check of MinIO on facts given as data."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.facts.minio import MinioFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields
from tests.unit.checks.test_api import CRITICAL, OK, SKIPPED, UNKNOWN

SETTINGS = Settings.model_validate({"minio": {}, "servers": {"db": {"address": "10.101.0.1"}}})
SUBJECT = "minio/db"
HEALTHY = MinioFacts(
    url="http://10.101.0.1:9000",
    health_status=200,
    health_ms=2.5,
    server_header="MinIO",
    buckets=("avatars", "documents", "uploads", "\x1b[31m[red]"),
    default_credentials="refused",
    write_status=200,
    write_headers={},
)
CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("minio.service.unreachable", {}, OK),
    ("minio.health.failing", {}, OK),
    ("minio.health.failing", {"health_status": 503}, CRITICAL),
    ("minio.login.refused", {}, OK),
    ("minio.login.refused", {"health_status": 503, "buckets": None}, SKIPPED),
    ("minio.bucket.missing", {}, OK),
    ("minio.bucket.missing", {"buckets": ("avatars",)}, CRITICAL),
    ("minio.bucket.missing", {"buckets": ()}, CRITICAL),
    ("minio.bucket.missing", {"health_status": 503, "buckets": None}, SKIPPED),
    ("minio.write.refused", {}, OK),
    ("minio.write.refused", {"write_status": 503}, CRITICAL),
    ("minio.write.refused", {"write_status": 404}, SKIPPED),
    ("minio.write.refused", {"health_status": 503, "write_status": None}, SKIPPED),
    ("minio.credentials.default", {}, OK),
    ("minio.credentials.default", {"default_credentials": ""}, OK),
    ("minio.credentials.default", {"default_credentials": "configured"}, CRITICAL),
    ("minio.credentials.default", {"default_credentials": "accepted"}, CRITICAL),
]


def test_every_check_has_its_cases() -> None:
    covered: dict[str, set[Status]] = {}
    for code, _changes, status in CASES:
        covered.setdefault(code, set()).add(status)
    assert uncovered("minio", covered) == []


@pytest.mark.parametrize(("code", "changes", "status"), CASES)
def test_each_case_is_judged(code: str, changes: dict[str, Any], status: Status) -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, changes), SUBJECT))
    assert found[f"{code}@{SUBJECT}"].status is status


def test_buckets_that_could_not_be_listed_are_one_unknown() -> None:
    facts = with_fields(HEALTHY, {"buckets": None})
    found = findings(SETTINGS, observed(facts, SUBJECT, missing=("buckets",)))
    assert found[f"minio.login.refused@{SUBJECT}"].status is UNKNOWN
    assert found[f"minio.bucket.missing@{SUBJECT}"].status is SKIPPED
    assert "minio.login.refused" in found[f"minio.bucket.missing@{SUBJECT}"].detail


@pytest.mark.parametrize(
    ("kind", "status"), [(FailureKind.REFUSED, CRITICAL), (FailureKind.DEADLINE, UNKNOWN)]
)
def test_a_failed_look_is_told_by_the_access_check(kind: FailureKind, status: Status) -> None:
    found = findings(SETTINGS, failed(MinioFacts, SUBJECT, kind))
    assert found[f"minio.service.unreachable@{SUBJECT}"].status is status
    assert found[f"minio.bucket.missing@{SUBJECT}"].status is SKIPPED
