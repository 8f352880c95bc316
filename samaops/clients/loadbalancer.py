"""Read a BIG-IP over iControl REST. Only GET; basic authentication, because asking for a token is a write."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection, json_of
from samaops.config.settings import BigIp
from samaops.i18n import _
from samaops.model.failure import FailureKind

ROOT = "/mgmt/tm/ltm"
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

    def virtual_stats(self) -> dict[str, Any]:
        """Return the statistics of the virtual server, as flat values. Raises ClientError."""
        entries = entries_of(self._get(f"/virtual/{self._path(self._settings.virtual_server)}/stats"))
        return entries[0] if entries else {}

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
        return tilde(name if name.startswith("/") else f"/{self._settings.partition}/{name}")


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
