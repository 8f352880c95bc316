"""A BIG-IP over iControl REST: one who only looks, and one who takes members out and puts them back.

Who looks uses GET and basic authentication, because asking for a token is a write. Who changes a member logs in for a
token, as F5 asks of everybody whose password another system checks; one that has run out is asked for anew. Nothing is
saved: what is set lives in the running configuration, until it is saved by somebody else or the F5 starts anew.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any
from urllib.parse import quote

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection, json_of
from samaops.config.balancer_settings import BigIp
from samaops.facts.loadbalancer import DISABLED, ENABLED, OFFLINE
from samaops.i18n import _
from samaops.model.failure import FailureKind

logger = logging.getLogger(__name__)
ROOT = "/mgmt/tm/ltm"
LOGIN, TOKENS = "/mgmt/shared/authn/login", "/mgmt/shared/authz/tokens"
# The two fields of a member for what a person may set it to: one alone says little.
FIELDS = {
    ENABLED: {"state": "user-up", "session": "user-enabled"},
    DISABLED: {"state": "user-up", "session": "user-disabled"},
    OFFLINE: {"state": "user-down", "session": "user-disabled"},
}
# A pool names its monitors without their types; these are the types that look at an HTTP answer.
HTTP_MONITOR_TYPES = ("http", "https")


class BigIpClient:
    """One connection to one BIG-IP, used as a context manager through ``connection``."""

    def __init__(self, connection: HttpConnection, settings: BigIp) -> None:
        self._connection = connection
        self._settings = settings
        self._auth = (settings.username, settings.password.reveal() if settings.password else "")

    def pool(self) -> dict[str, Any]:
        """Return the pool's configuration. Raises ClientError."""
        return self._get(f"/pool/{self._path(self._settings.pool)}")

    def member_stats(self) -> list[dict[str, Any]]:
        """Return the statistics of each member of the pool, as flat values. Raises ClientError."""
        return entries_of(self._get(f"/pool/{self._path(self._settings.pool)}/members/stats"))

    def members(self) -> list[dict[str, Any]]:
        """Return the members as they are configured: name, address, state, session. Raises ClientError."""
        return items_of(self._get(f"/pool/{self._path(self._settings.pool)}/members"))

    def virtual_stats(self) -> dict[str, Any]:
        """Return the statistics of the virtual server, as flat values. Raises ClientError."""
        entries = entries_of(self._get(f"/virtual/{self._path(self._settings.virtual_server)}/stats"))
        return entries[0] if entries else {}

    def virtual(self) -> dict[str, Any]:
        """Return the virtual server's configuration. Raises ClientError."""
        return self._get(f"/virtual/{self._path(self._settings.virtual_server)}")

    def cookie_persistence(self, full_path: str) -> dict[str, Any] | None:
        """Return a profile that keeps customers by a cookie; None when this name is no such profile."""
        try:
            return self._get(f"/persistence/cookie/{tilde(full_path)}")
        except ClientError as error:
            if error.kind is not FailureKind.MISSING:
                raise
            return None

    def http_monitor(self, full_path: str) -> dict[str, Any] | None:
        """Return an HTTP or HTTPS monitor; None when there is none of these types under this name."""
        for kind in HTTP_MONITOR_TYPES:
            try:
                return self._get(f"/monitor/{kind}/{tilde(full_path)}")
            except ClientError as error:
                if error.kind is not FailureKind.MISSING:
                    raise
        return None

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._connection.get(ROOT + path, auth=self._auth)
        document = json_of(answer, ROOT + path)
        if not isinstance(document, dict):
            raise ClientError(FailureKind.GARBAGE, type(document).__name__, ROOT + path)
        return document

    def _path(self, name: str) -> str:
        return tilde(full_path(name, self._settings))


class BigIpControl:
    """Who changes members of one pool. Each request has a connection of its own: a drain takes longer than one lives."""

    def __init__(self, settings: BigIp, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._token = ""
        self._pool = f"{ROOT}/pool/{tilde(full_path(settings.pool, settings))}/members"

    def members(self) -> list[dict[str, Any]]:
        """Return the members as they are configured. Raises ClientError."""
        return items_of(self._ask("GET", self._pool))

    def member_stats(self) -> list[dict[str, Any]]:
        """Return the statistics of each member, as flat values. Raises ClientError."""
        return entries_of(self._ask("GET", f"{self._pool}/stats"))

    def set(self, name: str, setting: str) -> None:
        """Set a member by its name to enabled, disabled or offline; an answer is no proof. Raises ClientError."""
        self._ask("PATCH", self.path_of(name), FIELDS[setting])

    def path_of(self, name: str) -> str:
        """Return where one member is. Raises ClientError when the pool has none, or two, of this name."""
        paths = [str(item.get("fullPath", "")) for item in self.members() if name_of(item) == name]
        if len(paths) != 1 or not paths[0]:
            text = _("the pool has {count} members of the name {name}").format(count=len(paths), name=name)
            raise ClientError(FailureKind.MISSING, text, self._pool)
        return f"{self._pool}/{tilde(paths[0])}"

    def close(self) -> None:
        """Give the token back: an F5 keeps a hundred for each user."""
        if not self._token:
            return
        try:
            self._request("DELETE", f"{TOKENS}/{quote(self._token, safe='')}", None)
        except ClientError as error:
            logger.info("the token was not given back: %s", error.message)
        self._token = ""

    def _ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
        body = None if fields is None else json.dumps(fields).encode()
        is_new = not self._token
        if is_new:
            self._log_in()
        answer = self._request(method, path, body)
        if answer.status == 401 and not is_new:  # the token has run out
            self._log_in()
            answer = self._request(method, path, body)
        document = json_of(answer, path)
        if not isinstance(document, dict):
            raise ClientError(FailureKind.GARBAGE, type(document).__name__, path)
        return document

    def _log_in(self) -> None:
        self._token = ""
        document = json_of(self._request("POST", LOGIN, log_in_body(self._settings)), LOGIN)
        token = _mapping(_mapping(document).get("token")).get("token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ClientError(
                FailureKind.GARBAGE, _("the answer has no {names}").format(names="token"), LOGIN
            )
        self._token = token

    def _request(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["X-F5-Auth-Token"] = self._token
        ca_file = self._settings.ca_file
        with HttpConnection(self._settings.url, timeout=self._timeout, ca_file=ca_file) as connection:
            return connection.request(method, path, body, headers)


_TOKEN = re.compile(r"[\w.+/=-]{1,200}", re.ASCII)
# A member's name ends with its port, behind a dot where the address has colons.
_NAME = re.compile(r"(.+)[:.](\d+)")


def log_in_body(settings: BigIp) -> bytes:
    """Return what is posted to log in, on one line; it holds the password."""
    password = settings.password.reveal() if settings.password else ""
    who = {"username": settings.username, "password": password}
    return json.dumps({**who, "loginProviderName": settings.login_provider}).encode()


def full_path(name: str, settings: BigIp) -> str:
    """Return an object's full path; a name alone is one of the configured partition."""
    return name if name.startswith("/") else f"/{settings.partition}/{name}"


def name_of(item: dict[str, Any]) -> str:
    """Return the name of a configured member as its statistics have it: node:port, an IPv6 address in brackets."""
    node, port = "?", "?"
    if matched := _NAME.fullmatch(str(item.get("name", ""))):
        node, port = matched.groups()
    return f"[{node}]:{port}" if ":" in node else f"{node}:{port}"


def setting_of(item: dict[str, Any]) -> str:
    """Return what a person has set a configured member to; "" when its fields do not fit together.

    Read back, they have other words than were written: ``state`` is up, down, unchecked, ..., ``session`` monitor-enabled.
    """
    state, session = str(item.get("state", "")), str(item.get("session", ""))
    if session == "user-disabled":
        return OFFLINE if state == "user-down" else DISABLED if state else ""
    if session in ("user-enabled", "monitor-enabled"):
        return ENABLED if state and state != "user-down" else ""
    return ""


def items_of(collection: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the members of a collection. Raises ClientError where it has none that could be read."""
    items = collection.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ClientError(FailureKind.ERROR, _("the answer has no {names}").format(names="items"), ROOT)
    return items


def tilde(full_path: str) -> str:
    """Return a full path such as /Common/x as it stands in a URL of iControl REST: ~Common~x."""
    return quote(full_path.replace("/", "~"), safe="~:.%")


def entries_of(stats: dict[str, Any]) -> list[dict[str, Any]]:
    """Flatten iControl's statistics: each entry's nested ``{"description": x}`` or ``{"value": x}`` to x.

    Older versions nest the entries of a collection once more; both shapes are understood.
    """
    flat: list[dict[str, Any]] = []
    for entry in _mapping(stats.get("entries")).values():
        nested = _mapping(_mapping(entry).get("nestedStats"))
        inner = _mapping(nested.get("entries"))
        if any("nestedStats" in _mapping(value) for value in inner.values()):
            flat.extend(entries_of(nested))
        elif inner:
            flat.append({name: _value(value) for name, value in inner.items()})
        else:
            text = _("the answer has no {names}").format(names="nestedStats")
            raise ClientError(FailureKind.ERROR, text, ROOT)
    return flat


def _value(statistic: object) -> object:
    statistic = _mapping(statistic)
    return statistic.get("description", statistic.get("value"))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
