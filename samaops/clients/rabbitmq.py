"""Talk to RabbitMQ's management API on one connection: look at everything, and read, take and publish single messages.

Messages by this way are for a few thousand, not for a load. What is read stays in its queue and is marked
redelivered. What is taken is gone from the broker once it answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection, bracketed, json_of, refusal
from samaops.config.settings import RabbitMQ
from samaops.i18n import _
from samaops.model.failure import FailureKind

PAGE_SIZE = 200  # queues of one answer, the fullest first: bounds its size whatever the broker holds
_ALL_SEEING_TAGS = frozenset({"administrator", "monitoring"})
# A request for messages may be as slow, and its answer as large, as they are.
MESSAGE_SECONDS = 30.0
MAX_MESSAGE_BYTES = 256 * 1024 * 1024

Message = Mapping[str, Any]


class ManagementApi:
    """The management API of one broker, for one virtual host.

    Looks take ``settings.timeout`` in all; each request for messages has ``MESSAGE_SECONDS`` of its own.
    """

    def __init__(self, host: str, settings: RabbitMQ) -> None:
        scheme = "https" if settings.management_tls else "http"
        self._url = f"{scheme}://{bracketed(host)}:{settings.management_port}/"
        self._auth = (settings.username, settings.password.reveal() if settings.password else "")
        self._vhost = quote(settings.vhost, safe="")
        self._connection = HttpConnection(
            self._url, timeout=settings.timeout, ca_file=settings.tls.ca_file if settings.tls else None
        )
        self.tags: frozenset[str] = frozenset()
        self._is_logged_in = False

    def __enter__(self) -> ManagementApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, traceback)

    @property
    def user(self) -> str:
        """As whom we ask."""
        return self._auth[0]

    @property
    def sees_everything(self) -> bool:
        """Whether our user sees all connections, channels and nodes; others see only their own."""
        return bool(self.tags & _ALL_SEEING_TAGS)

    def log_in(self) -> None:
        """Check the password and learn what our user may see. Raises ClientError."""
        whoami = self.get("whoami")
        tags = whoami.get("tags") if isinstance(whoami, dict) else None
        if not isinstance(tags, (str, list)):
            raise ClientError(
                FailureKind.ERROR, _("the answer has no {names}").format(names="tags"), "whoami"
            )
        # A list since 3.9, one comma-separated string before.
        self.tags = frozenset(tags.split(",") if isinstance(tags, str) else map(str, tags))
        self._is_logged_in = True

    def require_everything(self, stage: str) -> None:
        """Raise a PERMISSION error when our user would see an empty list where others see all."""
        if not self.sees_everything:
            raise ClientError(FailureKind.PERMISSION, _("our user lacks the tag monitoring"), stage)

    def get(self, path: str, **parameters: str | int) -> Any:
        """GET ``/api/<path>`` and return its JSON. ``path`` is already quoted. Raises ClientError."""
        target = f"/api/{path}" + (f"?{urlencode(parameters)}" if parameters else "")
        return self._json(self._connection.get(target, auth=self._auth), path)

    def in_vhost(self, kind: str, *names: str, **parameters: str | int) -> Any:
        """GET what belongs to our virtual host, such as ``queues`` or one named queue."""
        path = "/".join((kind, self._vhost, *(quote(name, safe="") for name in names)))
        return self.get(path, **parameters)

    def read(self, queue: str, count: int, truncate_bytes: int | None = None) -> list[dict[str, Any]]:
        """Return the first messages of a queue and leave them there. Raises ClientError."""
        return self._messages(queue, count, "ack_requeue_true", truncate_bytes)

    def take(self, queue: str, count: int) -> list[dict[str, Any]]:
        """Return the first messages of a queue, which has them no longer. Raises ClientError."""
        return self._messages(queue, count, "ack_requeue_false", None)

    def publish(self, queue: str, message: Message) -> None:
        """Publish a message that was read or taken to a queue again, as it was. Raises ClientError."""
        body = {
            "properties": message.get("properties") or {},
            "routing_key": queue,
            "payload": message.get("payload", ""),
            "payload_encoding": message.get("payload_encoding", "string"),
        }
        path = f"exchanges/{self._vhost}/amq.default/publish"
        answer = self._post(path, body)
        if not (isinstance(answer, dict) and answer.get("routed") is True):
            text = _("the message was not routed to the queue {queue}").format(queue=queue)
            raise ClientError(FailureKind.ERROR, text, path)

    def definitions(self, kinds: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Return these lists of the broker's definitions. Raises ClientError also where one is absent: that is not empty."""
        path = "definitions"
        raw = self.get(path)
        absent = [kind for kind in kinds if not isinstance(raw, dict) or kind not in raw]
        if absent:
            text = _("the answer has no {names}").format(names=", ".join(absent))
            raise ClientError(FailureKind.GARBAGE, text, f"/api/{path}")
        return {kind: objects(raw[kind], f"/api/{path}") for kind in kinds}

    def define(self, definitions: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Have the broker make what it has not, and set what it has, as these lists say. Raises ClientError."""
        path = "definitions"
        answer = self._connection.post(
            json.dumps(definitions).encode(), f"/api/{path}", content_type="application/json", auth=self._auth
        )
        if answer.status in (400, 401):
            self._json(answer, path)
        if answer.status not in (200, 201, 204):
            raise refusal(answer, f"/api/{path}")

    @staticmethod
    def path(*names: str) -> str:
        """Return the path to what these names lead to."""
        return "/".join(quote(name, safe="") for name in names)

    def remove(self, *names: str, only_if: Iterable[str] = ()) -> None:
        """DELETE what these names lead to, with conditions of the broker's own (``if-empty``); one that is gone is removed.

        Raises ClientError, also where the broker says that a condition does not hold.
        """
        path = self.path(*names)
        conditions = "&".join(f"{name}=true" for name in only_if)
        target = f"/api/{path}" + (f"?{conditions}" if conditions else "")
        answer = self._connection.delete(target, auth=self._auth)
        if answer.status in (400, 401):
            self._json(answer, path)
        if answer.status not in (200, 204, 404):
            raise refusal(answer, f"/api/{path}")

    def _messages(self, queue: str, count: int, mode: str, truncate: int | None) -> list[dict[str, Any]]:
        body: dict[str, Any] = {"count": count, "ackmode": mode, "encoding": "auto"}
        if truncate is not None:
            body["truncate"] = truncate
        path = f"queues/{self._vhost}/{quote(queue, safe='')}/get"
        return objects(self._post(path, body), path)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        self._connection.limit.restart(MESSAGE_SECONDS)
        answer = self._connection.post(
            json.dumps(body).encode(),
            f"/api/{path}",
            content_type="application/json",
            auth=self._auth,
            max_bytes=MAX_MESSAGE_BYTES,
        )
        return self._json(answer, path)

    def list_of(self, path: str, **parameters: str | int) -> list[dict[str, Any]]:
        """GET a list of objects. Raises ClientError when it is something else."""
        return objects(self.get(path, **parameters), path)

    def _json(self, answer: HttpAnswer, path: str) -> Any:
        if answer.status == 401:
            raise self._refused(answer, path)
        if answer.status == 400:  # such as: Stats in management UI are disabled on this node
            raise ClientError(FailureKind.MISSING, _reason_of(answer), f"/api/{path}")
        return json_of(answer, self._url + f"api/{path}")

    def _refused(self, answer: HttpAnswer, path: str) -> ClientError:
        """Tell a wrong password from a missing right: RabbitMQ answers 401 to both."""
        reason = _reason_of(answer)
        is_login = not self._is_logged_in and not reason.startswith(("Not management", "User not authorised"))
        kind = FailureKind.AUTHENTICATION if is_login else FailureKind.PERMISSION
        return ClientError(kind, reason, f"/api/{path}")


def _reason_of(answer: HttpAnswer) -> str:
    """Return the broker's own words for a refusal."""
    try:
        return str(json.loads(answer.body).get("reason", ""))[:200]
    except (ValueError, AttributeError):
        return f"HTTP {answer.status}"


def objects(answer: object, stage: str) -> list[dict[str, Any]]:
    """Return an answer that must be a list of objects. Raises ClientError."""
    if not isinstance(answer, list):
        raise ClientError(FailureKind.GARBAGE, _("the answer is not a list"), stage)
    if not all(isinstance(row, dict) for row in answer):
        raise ClientError(FailureKind.GARBAGE, _("the answer is not a list of objects"), stage)
    return answer


def columns(names: Sequence[str]) -> str:
    """Return the value of ``columns=``, by which the broker leaves out everything else."""
    return ",".join(names)
