"""What Google says to the application now: its key, its worker's clock, through the proxy; nobody's phone rings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests

from samaops.lab.app.push import FCM_URL, GRANT_TYPE, PushError, ServiceAccount, signed_assertion
from samaops.lab.incidents.site import Site
from samaops.lab.layout import OUTSIDE_ADDRESS, PROXY_PORT
from samaops.lab.outside.places import Places

WORKER = "worker_1"
ANY_TOKEN = "lab-token-1"  # noqa: S105 - a device's name, not a password
TIMEOUT_SECONDS = 3.0


def clock_file(site: Site) -> Path:
    """Return the file that says how far off the clock of the worker is, in seconds."""
    server = site.server("workers")
    return server.outer(server.opt / "switches" / f"clock-offset-{WORKER}")


def refusal(site: Site, token: str = ANY_TOKEN) -> str:
    """Return with which words Google refuses a message that is only to be validated.

    Empty when it is accepted, and when Google cannot be asked.
    """
    places = Places.of(site.layout)
    try:
        account = ServiceAccount.load(places.service_account)
        return _refusal(places, account, _clock(site), token)
    except (PushError, requests.RequestException, OSError, ValueError):
        return ""


def _refusal(places: Places, account: ServiceAccount, now: float, token: str) -> str:
    form = {"grant_type": GRANT_TYPE, "assertion": signed_assertion(account, int(now))}
    granted = _post(places, account.token_uri, data=form)
    body = granted.json()
    if not granted.ok:
        return f"{body.get('error')}: {body.get('error_description')}"
    sent = _post(
        places,
        FCM_URL.format(project=account.project_id),
        headers={"Authorization": f"Bearer {body['access_token']}"},
        json={"validate_only": True, "message": {"token": token}},
    )
    error = sent.json().get("error", {})
    code = next((one["errorCode"] for one in error.get("details", ()) if "errorCode" in one), "")
    return "" if sent.ok else f"HTTP {sent.status_code} {code}: {error.get('message')}"


def _clock(site: Site) -> float:
    path = clock_file(site)
    return time.time() + (float(path.read_text(encoding="ascii")) if path.exists() else 0.0)


def _post(places: Places, url: str, **arguments: Any) -> requests.Response:
    proxy = f"http://{OUTSIDE_ADDRESS}:{PROXY_PORT}"
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": proxy}
        session.verify = str(places.ca_bundle)
        return session.post(url, timeout=TIMEOUT_SECONDS, **arguments)
