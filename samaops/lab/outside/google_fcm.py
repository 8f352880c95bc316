"""FCM's HTTP v1 API: messages:send, with the documented errors.

https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from samaops.lab.outside.google_control import Control
from samaops.lab.outside.google_oauth import Answer, token_is_good

SEND_PATH = re.compile(r"/v1/projects/(?P<project>[a-z0-9-]+)/messages:send")
TOPIC = re.compile(r"[a-zA-Z0-9\-_.~%]+")
# What FCM answers whoever a message is for; its other refusals are of one device.
OF_EVERYTHING = ("quota", "unavailable", "internal")
DEAD_TOKEN_PREFIX = "lab-dead-token-"  # noqa: S105 - a device's name, not a password
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class Fault(Struct, frozen=True):
    """One error of FCM: HTTP status, Google's status, FCM's code, message."""

    http: int
    status: str
    code: str
    message: str


FAULTS = {
    "quota": Fault(
        429,
        "RESOURCE_EXHAUSTED",
        "QUOTA_EXCEEDED",
        "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute' of service "
        "'fcm.googleapis.com'.",
    ),
    "unavailable": Fault(503, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."),
    "internal": Fault(500, "INTERNAL", "INTERNAL", "Internal error encountered."),
    "invalid_argument": Fault(
        400,
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "The registration token is not a valid FCM registration token",
    ),
    "sender_id_mismatch": Fault(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch"),
    "third_party_auth": Fault(
        401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service"
    ),
    "unregistered": Fault(404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found."),
}
RETRY_AFTER = {"quota": "60", "unavailable": "30"}
UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
    "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


class Request(Struct, frozen=True):
    """One POST, and when it came by Google's clock."""

    path: str
    authorization: str
    body: bytes
    now: float


def send(request: Request, projects: frozenset[str], token_key: bytes, control: Control) -> Answer:
    """Answer a POST to messages:send."""
    bearer = request.authorization.removeprefix("Bearer ")
    if not token_is_good(bearer, token_key, request.now):
        return _error(Fault(401, "UNAUTHENTICATED", "", UNAUTHENTICATED))
    match = SEND_PATH.fullmatch(request.path)
    if match is None or match["project"] not in projects:
        return _error(FAULTS["sender_id_mismatch"])
    message = _message(request.body)
    addressed = message.get("message", {})
    device, topic = addressed.get("token"), addressed.get("topic")
    if isinstance(topic, str) and TOPIC.fullmatch(topic) and device is None:
        fault: str = control.mode if control.mode in OF_EVERYTHING else ""
    elif isinstance(device, str) and device:
        fault = _fault_of(device, control)
    else:
        return _error(FAULTS["invalid_argument"])
    if fault:
        return _error(FAULTS[fault], RETRY_AFTER.get(fault))
    return _accepted(match["project"], validate_only=message.get("validate_only") is True)


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError:
        return {}
    well_formed = isinstance(message, dict) and isinstance(message.get("message"), dict)
    return message if well_formed else {}


def _fault_of(device: str, control: Control) -> str:
    if control.mode != "ok":
        return control.mode
    return "unregistered" if is_dead(device, control.unregistered_share) else ""


def is_dead(device: str, share: float) -> bool:
    """Tell whether a token is among the dead ones; for one share it is always the same answer."""
    rank = int.from_bytes(hashlib.sha256(device.encode("utf-8")).digest()[:4], "big") / 2**32
    return device.startswith(DEAD_TOKEN_PREFIX) or rank < share


def _accepted(project: str, *, validate_only: bool) -> Answer:
    identifier = (
        "fake_message_id" if validate_only else f"0:{secrets.randbelow(10**16):016d}%{secrets.token_hex(8)}"
    )
    return Answer(200, {"name": f"projects/{project}/messages/{identifier}"})


def _error(fault: Fault, retry_after_seconds: str | None = None) -> Answer:
    error: dict[str, Any] = {"code": fault.http, "message": fault.message, "status": fault.status}
    if fault.code:
        error["details"] = [{"@type": _FCM_ERROR, "errorCode": fault.code}]
    headers: Mapping[str, str] = {"Retry-After": retry_after_seconds} if retry_after_seconds else {}
    return Answer(fault.http, {"error": error}, headers)
