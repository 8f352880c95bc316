"""Ask Flower, which knows what it heard of Celery's events. Only what it already has: no refresh, no inspect."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpConnection, json_of, refusal
from samaops.config.settings import Flower
from samaops.i18n import _
from samaops.model.failure import FailureKind

# Without --basic-auth or --auth Flower closes its API and says what would open it; its pages stay open.
_WITHOUT_AUTHENTICATION = "FLOWER_UNAUTHENTICATED_API"


class FlowerClient:
    """One connection to Flower, for ``settings.timeout`` seconds in all."""

    def __init__(self, url: str, settings: Flower) -> None:
        self._url = url.rstrip("/")
        self._prefix = _path_of(self._url)
        password = settings.password.reveal() if settings.password else None
        self._auth = (settings.username, password) if password is not None else None
        self._connection = HttpConnection(self._url + "/", timeout=settings.timeout)
        self._allows_any_origin = False
        # When it answered last, by its own clock, in seconds since the epoch; None where it does not say.
        self.told_at: float | None = None

    def __enter__(self) -> FlowerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, traceback)

    def online(self) -> dict[str, bool]:
        """Return each worker's node name and whether its heartbeats arrive. Raises ClientError."""
        answer = self._object("/api/workers?status=1")
        if not all(isinstance(online, bool) for online in answer.values()):
            raise ClientError(
                FailureKind.ERROR, _("the answer has no {names}").format(names="status"), "workers"
            )
        return dict(answer)

    def is_open(self) -> bool:
        """Return whether its API answers without our password too; only one that lets in any page is asked."""
        if not self._allows_any_origin:
            return False
        try:
            return self._connection.get(self._prefix + "/api/workers?status=1").status == 200
        except ClientError:
            return False

    def heartbeats(self) -> list[dict[str, Any]]:
        """Return what each worker said with its last heartbeat: active, processed, status."""
        rows = self._object("/workers?json=1").get("data")
        return [row for row in rows or () if isinstance(row, dict)] if isinstance(rows, list) else []

    def tasks(self, limit: int, state: str = "") -> list[dict[str, Any]]:
        """Return the last tasks that Flower heard of, newest first; all states unless one is given."""
        chosen = f"&state={state}" if state else ""
        answer = self._object(f"/api/tasks?limit={limit}{chosen}")
        if not all(isinstance(task, dict) for task in answer.values()):
            raise ClientError(FailureKind.ERROR, _("the answer is not a list of objects"), "tasks")
        return list(answer.values())

    def task(self, identifier: str) -> dict[str, Any] | None:
        """Return what Flower heard of one task; None when nothing. Raises ClientError."""
        try:
            return self._object(f"/api/task/info/{quote(identifier, safe='')}")
        except ClientError as error:
            if error.kind is FailureKind.MISSING:
                return None
            raise

    def _object(self, path: str) -> dict[str, Any]:
        answer = self._connection.get(self._prefix + path, auth=self._auth)
        self._allows_any_origin = answer.headers.get("access-control-allow-origin") == "*"
        self.told_at = _moment(answer.headers.get("date", ""))
        if answer.status == 401 and _WITHOUT_AUTHENTICATION in answer.text:
            raise ClientError(FailureKind.NO_AUTHENTICATION, answer.text[:200].strip(), path)
        if 300 <= answer.status < 400 or (answer.status == 401 and answer.body):
            error = refusal(answer, path)
            is_scheme = error.kind is FailureKind.SCHEME  # an OAuth log-in page
            words = answer.text[:200].strip() if answer.status == 401 and not is_scheme else error.message
            raise ClientError(error.kind if is_scheme else FailureKind.AUTHENTICATION, words, path)
        document = json_of(answer, self._url + path)
        if not isinstance(document, dict):
            raise ClientError(FailureKind.GARBAGE, _("the answer is not a JSON object"), path)
        return document


def _path_of(url: str) -> str:
    """Return the path under which Flower is served (``--url_prefix``), without a last slash."""
    host_and_path = url.partition("://")[2]
    _host, slash, path = host_and_path.partition("/")
    return slash + path


def _moment(text: str) -> float | None:
    """Return the moment of a Date header; None where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
