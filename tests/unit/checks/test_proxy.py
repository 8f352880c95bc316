"""Every check of the proxy on facts given as data."""

from __future__ import annotations

import pytest

from samaops.config.settings import Settings
from samaops.facts.proxy import ProxyFacts, TunnelFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered
from tests.unit.checks.test_api import CRITICAL, OK, SKIPPED, UNKNOWN

SETTINGS = Settings.model_validate({"proxy": {}, "firebase": {}})
SUBJECT = "proxy/10.101.201.204:8080"
OAUTH, FCM = "oauth2.googleapis.com", "fcm.googleapis.com"


def tunnel(
    status: int | None, failure: FailureKind | None = None, *schemes: str, words: str = "words"
) -> TunnelFacts:
    return TunnelFacts(FCM, 443, status, words, failure.value if failure else "", 4.0, schemes)


def proxy(one: TunnelFacts, has_credentials: bool = False) -> ProxyFacts:
    """Return a proxy with this tunnel to FCM and a good one to OAuth."""
    good = TunnelFacts(OAUTH, 443, 200, "Connection established", "", 3.0)
    return ProxyFacts("10.101.201.204:8080", 1.2, has_credentials, (good, one))


GOOD = tunnel(200)
CASES: list[tuple[str, str, ProxyFacts, Status]] = [
    ("proxy.service.unreachable", SUBJECT, proxy(GOOD), OK),
    ("proxy.auth.required", SUBJECT, proxy(GOOD), OK),
    ("proxy.auth.required", SUBJECT, proxy(tunnel(407)), CRITICAL),
    ("proxy.auth.required", SUBJECT, proxy(tunnel(407), has_credentials=True), UNKNOWN),
    ("proxy.auth.required", SUBJECT, proxy(tunnel(401), has_credentials=True), UNKNOWN),
    (
        "proxy.auth.required",
        SUBJECT,
        proxy(tunnel(407, None, "Negotiate", "basic"), has_credentials=True),
        UNKNOWN,
    ),
    (
        "proxy.auth.required",
        SUBJECT,
        proxy(tunnel(407, None, "Negotiate", "NTLM"), has_credentials=True),
        CRITICAL,
    ),
    ("proxy.auth.required", SUBJECT, proxy(tunnel(407, None, "Digest")), CRITICAL),
    ("proxy.host.blocked", f"proxy/{FCM}", proxy(GOOD), OK),
    ("proxy.host.blocked", f"proxy/{FCM}", proxy(tunnel(403)), CRITICAL),
    ("proxy.host.blocked", f"proxy/{FCM}", proxy(tunnel(405)), CRITICAL),
    ("proxy.host.blocked", f"proxy/{FCM}", proxy(tunnel(302)), CRITICAL),
    ("proxy.host.blocked", f"proxy/{OAUTH}", proxy(tunnel(403)), OK),
    ("proxy.host.blocked", f"proxy/{FCM}", proxy(tunnel(407)), SKIPPED),
    ("proxy.host.blocked", f"proxy/{FCM}", proxy(tunnel(503)), SKIPPED),
    ("proxy.upstream.failing", f"proxy/{FCM}", proxy(GOOD), OK),
    ("proxy.upstream.failing", f"proxy/{FCM}", proxy(tunnel(502)), CRITICAL),
    ("proxy.upstream.failing", f"proxy/{FCM}", proxy(tunnel(504)), CRITICAL),
    ("proxy.upstream.failing", f"proxy/{FCM}", proxy(tunnel(None, FailureKind.NO_ANSWER)), CRITICAL),
    ("proxy.upstream.failing", f"proxy/{FCM}", proxy(tunnel(None, FailureKind.DEADLINE)), UNKNOWN),
    ("proxy.upstream.failing", f"proxy/{FCM}", proxy(tunnel(403)), SKIPPED),
    ("proxy.upstream.failing", f"proxy/{OAUTH}", proxy(tunnel(502)), OK),
]


def test_a_proxy_that_takes_no_password_does_not_refuse_ours() -> None:
    facts = proxy(tunnel(407, None, "Negotiate", "NTLM"), has_credentials=True)
    finding = findings(SETTINGS, observed(facts, SUBJECT))[f"proxy.auth.required@{SUBJECT}"]
    assert "by NTLM, Negotiate only" in finding.title
    assert "refuses" not in finding.title


def test_every_check_has_its_cases() -> None:
    covered: dict[str, set[Status]] = {}
    for code, _subject, _facts, status in CASES:
        covered.setdefault(code, set()).add(status)
    assert uncovered("proxy", covered) == []


@pytest.mark.parametrize(("code", "subject", "facts", "status"), CASES)
def test_each_case_is_judged(code: str, subject: str, facts: ProxyFacts, status: Status) -> None:
    assert findings(SETTINGS, observed(facts, SUBJECT))[f"{code}@{subject}"].status is status


def test_a_refusal_is_one_finding_and_no_second_for_the_same_host() -> None:
    found = findings(SETTINGS, observed(proxy(tunnel(403, words="Filtered")), SUBJECT))
    bad = {key: one for key, one in found.items() if one.status in (CRITICAL, UNKNOWN)}
    assert set(bad) == {f"proxy.host.blocked@proxy/{FCM}"}
    assert bad[f"proxy.host.blocked@proxy/{FCM}"].evidence["host"] == FCM
    assert "Filtered" in bad[f"proxy.host.blocked@proxy/{FCM}"].title


@pytest.mark.parametrize(("kind", "status"), [(FailureKind.REFUSED, CRITICAL), (FailureKind.NAME, UNKNOWN)])
def test_a_failed_look_is_told_by_the_access_check(kind: FailureKind, status: Status) -> None:
    found = findings(SETTINGS, failed(ProxyFacts, SUBJECT, kind))
    assert found[f"proxy.service.unreachable@{SUBJECT}"].status is status
    assert found[f"proxy.auth.required@{SUBJECT}"].status is SKIPPED
