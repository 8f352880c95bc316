"""Send one push message as the Firebase SDK does: a signed assertion for a token, then FCM's HTTP v1 API.

The proxy (HTTPS_PROXY, NO_PROXY) and the trusted authorities (REQUESTS_CA_BUNDLE) come from the
environment, for the whole process; certificates are always verified. Errors carry FCM's documented code as
their first word.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Struct

from . import switches

FCM_URL = "https://fcm.googleapis.com/v1/projects/{project}/messages:send"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600
RENEW_BEFORE_SECONDS = 10
TIMEOUT_SECONDS = (3.0, 10.0)

CODE_OF_HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "THIRD_PARTY_AUTH_ERROR",
    403: "SENDER_ID_MISMATCH",
    404: "UNREGISTERED",
    429: "QUOTA_EXCEEDED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class PushError(Exception):
    """A message that was not accepted: FCM's code (or UNREACHABLE, CREDENTIALS, OAuth's), and its words."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class ServiceAccount(Struct, frozen=True):
    """The application's identity at Google."""

    project_id: str
    client_email: str
    private_key_id: str
    private_key: rsa.RSAPrivateKey
    token_uri: str

    @staticmethod
    def load(path: Path) -> ServiceAccount:
        """Read a service-account file.

        Raises:
            PushError: the file is absent or is not a service account.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return ServiceAccount(
                project_id=data["project_id"],
                client_email=data["client_email"],
                private_key_id=data["private_key_id"],
                private_key=_rsa_key(data["private_key"]),
                token_uri=data["token_uri"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PushError("CREDENTIALS", f"{path}: {error!r}") from error


def _rsa_key(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode("ascii"), password=None)
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    raise ValueError("the private key is not an RSA key")


def signed_assertion(account: ServiceAccount, issued_at: int) -> str:
    """Return the JWT that asks for an access token (RFC 7523), signed with RS256."""
    header = {"alg": "RS256", "typ": "JWT", "kid": account.private_key_id}
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": issued_at,
        "exp": issued_at + ASSERTION_SECONDS,
    }
    signing_input = f"{_segment(header)}.{_segment(claims)}"
    signature = account.private_key.sign(signing_input.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing_input}.{_base64url(signature)}"


def _segment(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode("utf-8"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


class Sender:
    """Sends messages, and keeps the access token until shortly before it ends."""

    def __init__(self, credentials_file: Path) -> None:
        self._credentials_file = credentials_file
        self._token = ""
        self._token_ends_at = 0.0

    def send(self, token: str, text: str, validate_only: bool = False) -> str:
        """Send one message to one device and return the name FCM gave it.

        Raises:
            PushError: Google could not be reached, or did not accept it.
        """
        account = ServiceAccount.load(self._credentials_file)
        message = {"token": token, "notification": {"title": "SamaConso", "body": text}}
        response = _post(
            FCM_URL.format(project=account.project_id),
            headers={"Authorization": f"Bearer {self._access_token(account)}"},
            json={"validate_only": validate_only, "message": message},
        )
        if response.status_code != requests.codes.ok:
            raise fcm_error(response.status_code, _body(response))
        return str(_body(response).get("name", ""))

    def _access_token(self, account: ServiceAccount) -> str:
        now = switches.now()
        if now < self._token_ends_at - RENEW_BEFORE_SECONDS:
            return self._token
        assertion = signed_assertion(account, int(now))
        response = _post(account.token_uri, data={"grant_type": GRANT_TYPE, "assertion": assertion})
        body = _body(response)
        if response.status_code != requests.codes.ok or "access_token" not in body:
            raise _oauth_error(response, body)
        self._token = str(body["access_token"])
        self._token_ends_at = now + float(body.get("expires_in", 0))
        return self._token


def _post(url: str, **arguments: Any) -> requests.Response:
    try:
        return requests.post(url, timeout=TIMEOUT_SECONDS, **arguments)
    except requests.RequestException as error:
        raise PushError("UNREACHABLE", f"{url}: {error}") from error


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _oauth_error(response: requests.Response, body: dict[str, Any]) -> PushError:
    code = str(body.get("error", f"HTTP {response.status_code}"))
    return PushError(code, f"{body.get('error_description', 'no description')} (HTTP {response.status_code})")


def fcm_error(status: int, body: dict[str, Any]) -> PushError:
    """Return what FCM's answer says: its own code, else the documented one of its HTTP status."""
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    codes = [detail["errorCode"] for detail in error.get("details", []) if "errorCode" in detail]
    fallback = CODE_OF_HTTP_STATUS.get(status, "UNSPECIFIED_ERROR")
    code = codes[0] if codes else str(error.get("status", fallback))
    return PushError(code, f"{error.get('message', 'no message')} (HTTP {status})")
