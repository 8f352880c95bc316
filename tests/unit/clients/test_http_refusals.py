"""What an HTTP answer that refuses says: our password, or that a password is not what it takes."""

from __future__ import annotations

import pytest

from samaops.clients.http import HttpAnswer, refusal, schemes_of
from samaops.model.failure import FailureKind


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        (["Negotiate", "NTLM"], ("Negotiate", "NTLM")),
        (["Negotiate, NTLM"], ("Negotiate", "NTLM")),
        (['Basic realm="a, Negotiate", charset="UTF-8", Negotiate'], ("Basic", "Negotiate")),
        (['Digest realm="x", qop="auth,auth-int", nonce=abc, algorithm=MD5'], ("Digest",)),
        (["Negotiate YIIabc==", "Negotiate"], ("Negotiate",)),
        (["NTLM TlRMTVNTUAAC==, basic realm=x"], ("NTLM", "basic")),
        (['Bearer realm="x", scope="a b", error="invalid_token"'], ("Bearer",)),
        ([""], ()),
    ],
)
def test_the_schemes_that_are_offered(headers: list[str], schemes: tuple[str, ...]) -> None:
    assert schemes_of(headers) == schemes


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, FailureKind.AUTHENTICATION),
        (401, {"www-authenticate": 'Basic realm="Prometheus"'}, FailureKind.AUTHENTICATION),
        (401, {"www-authenticate": 'Bearer, basic realm="x"'}, FailureKind.AUTHENTICATION),
        (401, {"www-authenticate": "Negotiate"}, FailureKind.SCHEME),
        (401, {"www-authenticate": 'Bearer realm="x"'}, FailureKind.SCHEME),
        (302, {"location": "https://sso.senelec.sn/oauth2/start?rd=x"}, FailureKind.SCHEME),
        (302, {"location": "/-/healthy"}, FailureKind.ERROR),
        (403, {}, FailureKind.PERMISSION),
    ],
)
def test_a_password_that_is_not_asked_for_was_not_refused(
    status: int, headers: dict[str, str], kind: FailureKind
) -> None:
    assert refusal(HttpAnswer(status, headers, b"", 1.0, 1.0, 1.0), "/api").kind is kind
