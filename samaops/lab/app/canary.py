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
from pathlib import Path
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
    """What was done, step by step: each in milliseconds from the end of the one before, so that none are lost."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.current = ""
        self._last = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step; one that fails is the last."""
        self.current = name
        yield
        now = time.monotonic()
        self.steps.append({"step": name, "ms": round((now - self._last) * 1000, 1)})
        self._last = now


def send(marker: str, credentials_file: Path) -> dict[str, Any]:
    """Send the canary and return its report, as docs/troubleshooting.md of samaops describes it.

    Raises:
        CanaryError: a step failed; its report says which, and how long those before it took.
    """
    timeline, report = _Timeline(), {"marker": marker, "validate_only": True}
    try:
        name = _validate(marker, credentials_file, timeline)
    except (OSError, HTTPException) as error:
        words = str(error) or type(error).__name__
        raise CanaryError("UNREACHABLE", words, _of(report, timeline, failed=True)) from error
    except push.PushError as error:
        raise CanaryError(error.code, error.detail, _of(report, timeline, failed=True)) from error
    return {**_of(report, timeline), "name": name}


def _of(report: dict[str, Any], timeline: _Timeline, *, failed: bool = False) -> dict[str, Any]:
    return {**report, "steps": timeline.steps, **({"failed": timeline.current} if failed else {})}


def _validate(marker: str, credentials_file: Path, timeline: _Timeline) -> str:
    with timeline.step("key"):
        account = push.ServiceAccount.load(credentials_file)
        assertion = push.signed_assertion(account, int(switches.now()))
        trusted = os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
        context = ssl.create_default_context(cafile=trusted)
    way = _Way(timeline, context)
    form = urlencode({"grant_type": push.GRANT_TYPE, "assertion": assertion})
    with way.to(account.token_uri, "oauth") as connection, timeline.step("oauth.token"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        granted = _post(connection, account.token_uri, form, headers)
        if granted.status != 200 or "access_token" not in granted.body:
            raise granted.oauth_error()
    url = push.FCM_URL.format(project=account.project_id)
    message = {"topic": TOPIC, "data": {"marker": marker}}
    headers = {"Authorization": f"Bearer {granted.body['access_token']}", "Content-Type": "application/json"}
    with way.to(url, "fcm") as connection, timeline.step("fcm.send"):
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
        answer = json.loads(response.read())
    except ValueError:
        answer = {}
    return _Answer(response.status, answer if isinstance(answer, dict) else {})


class _Way:
    """The way to Google's hosts, each step of it measured."""

    def __init__(self, timeline: _Timeline, context: ssl.SSLContext) -> None:
        self._timeline, self._context = timeline, context

    @contextmanager
    def to(self, url: str, host: str) -> Iterator[HTTPSConnection]:
        """Open the way through the proxy, then TLS over it."""
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port or 443
        connection = HTTPSConnection(name, port)
        with self._timeline.step(f"{host}.proxy"):
            way = _opened(url, name, port)
        try:
            with self._timeline.step(f"{host}.tls"):
                connection.sock = self._context.wrap_socket(way.sock, server_hostname=name)
            yield connection
        finally:
            connection.close()
            way.close()


def _opened(url: str, name: str, port: int) -> HTTPConnection:
    """Connect to a host: through the environment's proxy, with its password if it has one, or with none between."""
    proxy = urlsplit(get_environ_proxies(url).get("https", ""))
    if not proxy.hostname:
        direct = HTTPConnection(name, port, timeout=SECONDS)
        direct.connect()
        return direct
    headers = {}
    if proxy.username:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login).decode('ascii')}"
    way = HTTPConnection(proxy.hostname, proxy.port or 80, timeout=SECONDS)
    way.set_tunnel(name, port, headers)
    way.connect()
    return way
