"""Ask AlertManager over its HTTP API (v2)."""

from __future__ import annotations

from typing import Any

from samaops.clients.http import get_json
from samaops.clients.prometheus import auth_of
from samaops.config.settings import Endpoint

ALERTS_PATH = "/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=false"


def firing(settings: Endpoint) -> Any:
    """Return the alerts that fire and are not muted, as AlertManager shows them. Raises ClientError."""
    url = settings.url.rstrip("/") + ALERTS_PATH
    return get_json(url, timeout=settings.timeout, auth=auth_of(settings), ca_file=settings.ca_file)
