"""Ask Prometheus over its HTTP API (v1)."""

from __future__ import annotations

from typing import Any

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection, json_of
from samaops.config.settings import Endpoint
from samaops.model.failure import FailureKind

TARGETS_PATH = "/api/v1/targets?state=active"
RULES_PATH = "/api/v1/rules"


def ask(connection: HttpConnection, settings: Endpoint, path: str) -> dict[str, Any]:
    """Return the ``data`` of one answer. Raises ClientError, also when Prometheus says "error"."""
    target = settings.url.rstrip("/") + path
    prefix = settings.url.rstrip("/").partition("://")[2].partition("/")[2]
    full_path = f"/{prefix}{path}" if prefix else path
    answer = json_of(connection.get(full_path, auth=auth_of(settings)), target)
    if not isinstance(answer, dict):
        raise ClientError(FailureKind.GARBAGE, type(answer).__name__, path)
    if answer.get("status") != "success":
        raise ClientError(FailureKind.ERROR, str(answer.get("error", "?"))[:200], path)
    data = answer.get("data")
    return data if isinstance(data, dict) else {}


def auth_of(settings: Endpoint) -> tuple[str, str] | None:
    """Return user and password of an endpoint, if it has any."""
    if settings.username is None:
        return None
    return settings.username, settings.password.reveal() if settings.password else ""
