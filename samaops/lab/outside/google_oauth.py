"""Google's token endpoint: a signed assertion against an access token, with the documented refusals.

https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Struct, field

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://oauth2.googleapis.com/token"
FCM_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
LONGEST_ASSERTION_SECONDS = 3600
CLOCK_TOLERANCE_SECONDS = 300

NOT_SHORT_LIVED = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)

# Public keys in PEM by client e-mail, then by key id.
Accounts = Mapping[str, Mapping[str, str]]


class Answer(Struct, frozen=True):
    """What a server says: a status, a JSON body, further headers."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class Issuer(Struct, frozen=True):
    """What is needed to give out tokens and to know them again."""

    accounts: Accounts
    token_key: bytes
    token_seconds: int


class RefusedError(Exception):
    """The assertion is not good; args: the error's name and its description."""


def grant(form: Mapping[str, str], issuer: Issuer, now: float) -> Answer:
    """Answer a POST to /token."""
    if form.get("grant_type") != GRANT_TYPE:
        grant_type = form.get("grant_type", "")
        return _refusal("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
    try:
        verify(form.get("assertion", ""), issuer.accounts, now)
    except RefusedError as refused:
        return _refusal(*refused.args)
    body = {
        "access_token": access_token(issuer, now),
        "expires_in": issuer.token_seconds - 1,
        "token_type": "Bearer",
    }
    return Answer(200, body)


def verify(assertion: str, accounts: Accounts, now: float) -> None:
    """Check an assertion as Google does.

    Raises:
        RefusedError: it is malformed, of an unknown account, wrongly signed, or not of this hour.
    """
    header, claims = _parts(assertion)
    keys = accounts.get(str(claims.get("iss")))
    if keys is None:
        raise RefusedError("invalid_grant", "Invalid grant: account not found")
    if claims.get("aud") != AUDIENCE:
        raise RefusedError(
            "invalid_grant", f"Invalid JWT: Failed audience check. The right audience is {AUDIENCE}"
        )
    _verify_signature(assertion, keys.get(str(header.get("kid"))))
    _verify_times(claims, now)
    if FCM_SCOPE not in str(claims.get("scope", "")).split():
        raise RefusedError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        header, claims, _signature = (_decode(part) for part in assertion.split("."))
        decoded = json.loads(header), json.loads(claims)
    except (ValueError, binascii.Error) as error:
        raise RefusedError("invalid_grant", "Invalid JWT: malformed assertion.") from error
    if not all(isinstance(part, dict) for part in decoded):
        raise RefusedError("invalid_grant", "Invalid JWT: malformed assertion.")
    return decoded


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _verify_signature(assertion: str, public_key: str | None) -> None:
    signed, _dot, signature = assertion.rpartition(".")
    key = serialization.load_pem_public_key(public_key.encode("ascii")) if public_key else None
    if not isinstance(key, rsa.RSAPublicKey):
        raise RefusedError("invalid_grant", "Invalid JWT Signature.")
    try:
        key.verify(_decode(signature), signed.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise RefusedError("invalid_grant", "Invalid JWT Signature.") from error


def _verify_times(claims: Mapping[str, Any], now: float) -> None:
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not isinstance(issued_at, int) or not isinstance(expires_at, int):
        raise RefusedError("invalid_grant", NOT_SHORT_LIVED)
    too_long = expires_at - issued_at > LONGEST_ASSERTION_SECONDS
    from_the_future = issued_at > now + CLOCK_TOLERANCE_SECONDS
    expired = expires_at < now
    if too_long or from_the_future or expired:
        raise RefusedError("invalid_grant", NOT_SHORT_LIVED)


def access_token(issuer: Issuer, now: float) -> str:
    """Make a token that says itself when it ends, under a seal."""
    ends_at = f"{int(now) + issuer.token_seconds:x}"
    return f"ya29.lab-{ends_at}-{_seal(issuer.token_key, ends_at)}"


def token_is_good(token: str, token_key: bytes, now: float) -> bool:
    """Tell whether a token was given out here and has not ended."""
    prefix, _dash, rest = token.partition("-")
    ends_at, _dash, seal = rest.partition("-")
    sealed = hmac.compare_digest(seal.encode("utf-8"), _seal(token_key, ends_at).encode("ascii"))
    if prefix != "ya29.lab" or not sealed:
        return False
    return now < int(ends_at, 16)


def _seal(token_key: bytes, text: str) -> str:
    return hmac.new(token_key, text.encode("ascii", "replace"), hashlib.sha256).hexdigest()


def _refusal(error: str, description: str) -> Answer:
    return Answer(400, {"error": error, "error_description": description})
