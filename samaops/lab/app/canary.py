"""The canary of samaops: one push message that FCM only validates, with the time of every step to Google.

It goes the way of every other message (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE, the same key) and asks for an
access token of its own: one kept from before would hide that the key is refused. What it sends is addressed to a
topic that nobody subscribes to, so that it would reach no phone even if it were not only validated.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import certifi
from requests.utils import get_environ_proxies

from . import push, switches

TOPIC = "samaops-canary"
SECONDS = 10.0


class CanaryError(push.PushError):
    """FCM did not accept the canary: the code, the words, and the report of how far it came."""

    def __init__(self, code: str, detail: str, report: dict[str, Any]) -> None:
        super().__init__(code, detail)
        self.args = (code, detail, report)


class _Timeline:
    """What was done, step by step, in milliseconds."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.current = "key"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step; one that fails is the last."""
        self.current = name
        began = time.monotonic()
        yield
        self.steps.append({"step": name, "ms": round((time.monotonic() - began) * 1000, 1)})


def send(marker: str, account: push.ServiceAccount) -> dict[str, Any]:
    """Send the canary and return its report, as docs/troubleshooting.md of samaops describes it.

    Raises:
        CanaryError: a step failed; its report says which, and how long those before it took.
    """
    timeline, report = _Timeline(), {"marker": marker, "validate_only": True}
    try:
        name = _validate(marker, account, timeline)
    except (OSError, HTTPException) as error:
        words = str(error) or type(error).__name__
        raise CanaryError("UNREACHABLE", words, _of(report, timeline, failed=True)) from error
    except push.PushError as error:
        raise CanaryError(error.code, error.detail, _of(report, timeline, failed=True)) from error
    return {**_of(report, timeline), "name": name}


def _of(report: dict[str, Any], timeline: _Timeline, *, failed: bool = False) -> dict[str, Any]:
    return {**report, "steps": timeline.steps, **({"failed": timeline.current} if failed else {})}


def _validate(marker: str, account: push.ServiceAccount, timeline: _Timeline) -> str:
    assertion = push.signed_assertion(account, int(switches.now()))
    form = urlencode({"grant_type": push.GRANT_TYPE, "assertion": assertion})
    with _connected(account.token_uri, "oauth", timeline) as connection, timeline.step("oauth.token"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        granted = _post(connection, account.token_uri, form, headers)
        if granted.status != 200 or "access_token" not in granted.body:
            raise granted.oauth_error()
    url = push.FCM_URL.format(project=account.project_id)
    message = {"topic": TOPIC, "data": {"marker": marker}}
    headers = {"Authorization": f"Bearer {granted.body['access_token']}", "Content-Type": "application/json"}
    with _connected(url, "fcm", timeline) as connection, timeline.step("fcm.send"):
        sent = _post(connection, url, json.dumps({"validate_only": True, "message": message}), headers)
        if sent.status != 200:
            raise sent.fcm_error()
    return str(sent.body.get("name", ""))


class _Answer:
    """One answer of Google, as ``push`` reads it."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status, self.body = status, body

    def oauth_error(self) -> push.PushError:
        words = f"{self.body.get('error_description', 'no description')} (HTTP {self.status})"
        return push.PushError(str(self.body.get("error", f"HTTP {self.status}")), words)

    def fcm_error(self) -> push.PushError:
        return push.fcm_error(self.status, self.body)


def _post(connection: HTTPSConnection, url: str, body: str, headers: dict[str, str]) -> _Answer:
    connection.request("POST", urlsplit(url).path, body.encode("ascii"), headers)
    response = connection.getresponse()
    try:
        said = json.loads(response.read())
    except ValueError:
        said = {}
    return _Answer(response.status, said if isinstance(said, dict) else {})


@contextmanager
def _connected(url: str, host: str, timeline: _Timeline) -> Iterator[HTTPSConnection]:
    """Open the way through the proxy, then TLS over it, each measured."""
    parts = urlsplit(url)
    name, port = parts.hostname or "", parts.port or 443
    context = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where())
    with timeline.step(f"{host}.proxy"):
        way = _way(url, name, port)
        way.connect()
    connection = HTTPSConnection(name, port)
    try:
        with timeline.step(f"{host}.tls"):
            connection.sock = context.wrap_socket(way.sock, server_hostname=name)
        yield connection
    finally:
        connection.close()
        way.close()


def _way(url: str, name: str, port: int) -> HTTPConnection:
    """Return what leads to a host: the environment's proxy, with its password if it has one, or nobody between."""
    proxy = urlsplit(get_environ_proxies(url).get("https", ""))
    if not proxy.hostname:
        return HTTPConnection(name, port, timeout=SECONDS)
    headers = {}
    if proxy.username:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login).decode('ascii')}"
    way = HTTPConnection(proxy.hostname, proxy.port or 80, timeout=SECONDS)
    way.set_tunnel(name, port, headers)
    return way
