"""The judgement of certificates, on data alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from samaops.checks.registry import rules
from samaops.facts.certificates import CertificateFacts
from samaops.model.failure import Failure, FailureKind
from tests.unit.checks.judging import failed, seen, statuses

NOW, DAY = 1_770_000_000.0, 86400.0
GOOD = CertificateFacts(
    host="10.0.0.1",
    port=443,
    server_name="api.senelec.sn",
    subject="CN=api.senelec.sn",
    issuer="CN=Authority",
    names=("api.senelec.sn", "*.lab.senelec.sn", "10.0.0.1"),
    valid_from=NOW - 100 * DAY,
    valid_until=NOW + 100 * DAY,
    serial="1f",
    tls_version="TLSv1.3",
    verify_error=None,
    seen_at=NOW,
)
CASES = [
    ("certificates.endpoint.unreachable", GOOD, "ok"),
    ("certificates.expiry.near", GOOD, "ok"),
    ("certificates.expiry.near", replace(GOOD, valid_until=NOW + 29 * DAY), "warning"),
    ("certificates.expiry.near", replace(GOOD, valid_until=NOW + 6 * DAY), "critical"),
    ("certificates.expiry.near", replace(GOOD, valid_until=NOW - DAY), "critical"),
    ("certificates.expiry.near", replace(GOOD, valid_from=NOW + DAY), "critical"),
    ("certificates.chain.untrusted", GOOD, "ok"),
    ("certificates.chain.untrusted", replace(GOOD, verify_error="self-signed certificate"), "critical"),
    ("certificates.name.mismatch", GOOD, "ok"),
    ("certificates.name.mismatch", replace(GOOD, server_name="API.senelec.sn."), "ok"),
    ("certificates.name.mismatch", replace(GOOD, server_name="x.lab.senelec.sn"), "ok"),
    ("certificates.name.mismatch", replace(GOOD, server_name="y.x.lab.senelec.sn"), "critical"),
    ("certificates.name.mismatch", replace(GOOD, server_name="lab.senelec.sn"), "critical"),
    ("certificates.name.mismatch", replace(GOOD, server_name="10.0.0.1"), "ok"),
    ("certificates.name.mismatch", replace(GOOD, server_name="10.0.0.2"), "critical"),
    ("certificates.name.mismatch", replace(GOOD, names=()), "critical"),
]


@pytest.mark.parametrize(("code", "facts", "status"), CASES)
def test_a_certificate_is_judged(code: str, facts: CertificateFacts, status: str) -> None:
    assert statuses(code, seen("certificates/vip", facts)) == {"certificates/vip": status}


def test_every_rule_of_certificates_has_a_case() -> None:
    assert {rule.code for rule in rules(("certificates",))} == {case[0] for case in CASES}


@pytest.mark.parametrize(
    ("kind", "status"),
    [(FailureKind.REFUSED, "critical"), (FailureKind.TLS, "critical"), (FailureKind.NAME, "unknown")],
)
def test_an_endpoint_that_cannot_be_looked_at_is_one_finding(kind: FailureKind, status: str) -> None:
    observation = failed("certificates/vip", CertificateFacts, Failure(kind, "why"))
    found = {
        rule.code: statuses(rule.code, observation)["certificates/vip"] for rule in rules(("certificates",))
    }
    assert found.pop("certificates.endpoint.unreachable") == status
    assert set(found.values()) == {"skipped"}
