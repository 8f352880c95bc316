"""Ask AlertManager over its HTTP API (v2)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection, get_json, kind_of_status
from samaops.clients.prometheus import auth_of
from samaops.config.settings import Endpoint

POST_PATH = "/api/v2/alerts"
ALERTS_PATH = "/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=false"
MAX_ANSWER_BYTES = 4096


def firing(settings: Endpoint) -> Any:
    """Return the alerts that fire and are not muted, as AlertManager shows them. Raises ClientError."""
    url = settings.url.rstrip("/") + ALERTS_PATH
    return get_json(url, timeout=settings.timeout, auth=auth_of(settings), ca_file=settings.ca_file)


def with_name(settings: Endpoint, name: str) -> Any:
    """Return the alerts of one name, muted ones too, as AlertManager shows them. Raises ClientError."""
    matcher = quote(f'alertname="{name}"', safe="")
    url = f"{settings.url.rstrip('/')}{POST_PATH}?filter={matcher}"
    return get_json(url, timeout=settings.timeout, auth=auth_of(settings), ca_file=settings.ca_file)


def send(settings: Endpoint, alerts: Any) -> None:
    """Send alerts, each with labels, annotations, startsAt and endsAt. Raises ClientError."""
    url, body = settings.url.rstrip("/") + POST_PATH, json.dumps(alerts).encode()
    with HttpConnection(url, timeout=settings.timeout, ca_file=settings.ca_file) as connection:
        answer = connection.post(
            body, content_type="application/json", auth=auth_of(settings), max_bytes=MAX_ANSWER_BYTES
        )
    if answer.status != 200:
        words = " ".join(answer.text.split())[:200]
        raise ClientError(
            kind_of_status(answer.status), f"HTTP {answer.status} {words}".strip(), "alertmanager"
        )
