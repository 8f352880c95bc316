"""Every check of Google's hosts on facts given as data."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.facts.firebase import FirebaseFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields
from tests.unit.checks.test_api import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING

SETTINGS = Settings.model_validate({"proxy": {}, "firebase": {}})
SUBJECT = "firebase/fcm.googleapis.com"
HEALTHY = FirebaseFacts(
    host="fcm.googleapis.com",
    port=443,
    through_proxy=True,
    status=404,
    issuer_organisation="Google Trust Services",
    issuer_name="WR2",
    certificate_name="upload.video.google.com",
    certificate_ends="Mar 31 03:12:00 2026 GMT",
    verify_error="",
    tunnel_ms=40.0,
    tls_ms=60.0,
    first_byte_ms=30.0,
)
UNTRUSTED = {"status": None, "first_byte_ms": None, "verify_error": "unable to get local issuer certificate"}
THIEF = {"issuer_organisation": "Senelec DSI", "issuer_name": "Proxy CA"}
HOSTILE = {"issuer_organisation": "\x1b[31m[red]", "issuer_name": "x" * 10_000}
CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("firebase.host.unreachable", {}, OK),
    ("firebase.tls.intercepted", {}, OK),
    ("firebase.tls.intercepted", {**UNTRUSTED, **THIEF}, CRITICAL),
    ("firebase.tls.intercepted", {**UNTRUSTED, **HOSTILE}, CRITICAL),
    ("firebase.tls.intercepted", {**UNTRUSTED, "issuer_organisation": "", "issuer_name": ""}, CRITICAL),
    ("firebase.tls.intercepted", UNTRUSTED, CRITICAL),
    ("firebase.tls.intercepted", THIEF, WARNING),
    ("firebase.service.failing", {}, OK),
    ("firebase.service.failing", {"status": 429}, OK),
    ("firebase.service.failing", {"status": 503}, CRITICAL),
    ("firebase.service.failing", UNTRUSTED, SKIPPED),
    ("firebase.latency.high", {}, OK),
    ("firebase.latency.high", {"first_byte_ms": 1900.0}, WARNING),
    ("firebase.latency.high", UNTRUSTED, SKIPPED),
]


def test_every_check_has_its_cases() -> None:
    covered: dict[str, set[Status]] = {}
    for code, _changes, status in CASES:
        covered.setdefault(code, set()).add(status)
    assert uncovered("firebase", covered) == []


@pytest.mark.parametrize(("code", "changes", "status"), CASES)
def test_each_case_is_judged(code: str, changes: dict[str, Any], status: Status) -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, changes), SUBJECT))
    assert found[f"{code}@{SUBJECT}"].status is status


@pytest.mark.parametrize(
    ("kind", "status"),
    [(FailureKind.TLS, CRITICAL), (FailureKind.SILENT, CRITICAL), (FailureKind.DEPENDENCY, UNKNOWN)],
)
def test_a_failed_look_is_told_by_the_access_check(kind: FailureKind, status: Status) -> None:
    found = findings(SETTINGS, failed(FirebaseFacts, SUBJECT, kind))
    assert found[f"firebase.host.unreachable@{SUBJECT}"].status is status
    assert found[f"firebase.tls.intercepted@{SUBJECT}"].status is SKIPPED


def test_an_interception_names_issuer_and_command() -> None:
    finding = findings(SETTINGS, observed(with_fields(HEALTHY, {**UNTRUSTED, **THIEF}), SUBJECT))[
        f"firebase.tls.intercepted@{SUBJECT}"
    ]
    assert finding.evidence["issuer"] == "Senelec DSI / Proxy CA"
    assert "Senelec DSI / Proxy CA" in finding.title
    assert finding.hint is not None
    assert "-proxy 10.101.201.204:8080 -connect fcm.googleapis.com:443 " in finding.hint
