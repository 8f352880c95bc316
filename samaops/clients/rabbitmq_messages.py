"""Read, take and publish single messages over RabbitMQ's management API: for a few thousand, not for a load.

What is read stays in its queue and is marked redelivered. What is taken is gone from the broker once it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import objects
from samaops.config.settings import RabbitMQ
from samaops.i18n import _
from samaops.model.failure import FailureKind

Message = Mapping[str, Any]
# A request may be as slow as the messages are large.
SECONDS = 30.0


class MessageApi:
    """The messages of one virtual host."""

    def __init__(self, host: str, settings: RabbitMQ) -> None:
        import requests

        scheme = "https" if settings.management_tls else "http"
        bracketed = f"[{host}]" if ":" in host else host
        self._base = f"{scheme}://{bracketed}:{settings.management_port}"
        self._vhost = quote(settings.vhost, safe="")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (settings.username, settings.password.reveal() if settings.password else "")

    def __enter__(self) -> MessageApi:
        return self

    def __exit__(self, *_error: object) -> None:
        self._session.close()

    def read(self, queue: str, count: int, truncate_bytes: int | None = None) -> list[dict[str, Any]]:
        """Return the first messages of a queue and leave them there. Raises ClientError."""
        return self._get(queue, count, "ack_requeue_true", truncate_bytes)

    def take(self, queue: str, count: int) -> list[dict[str, Any]]:
        """Return the first messages of a queue, which has them no longer. Raises ClientError."""
        return self._get(queue, count, "ack_requeue_false", None)

    def _get(self, queue: str, count: int, mode: str, truncate: int | None) -> list[dict[str, Any]]:
        body: dict[str, Any] = {"count": count, "ackmode": mode, "encoding": "auto"}
        if truncate is not None:
            body["truncate"] = truncate
        path = f"/api/queues/{self._vhost}/{quote(queue, safe='')}/get"
        return objects(self._post(path, body), path)

    def publish(self, queue: str, message: Message) -> None:
        """Publish a message that was read or taken to a queue again, as it was. Raises ClientError."""
        body = {
            "properties": message.get("properties") or {},
            "routing_key": queue,
            "payload": message.get("payload", ""),
            "payload_encoding": message.get("payload_encoding", "string"),
        }
        path = f"/api/exchanges/{self._vhost}/amq.default/publish"
        answer = self._post(path, body)
        if not (isinstance(answer, dict) and answer.get("routed") is True):
            text = _("the message was not routed to the queue {queue}").format(queue=queue)
            raise ClientError(FailureKind.ERROR, text, path)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        import requests

        try:
            answer = self._session.post(self._base + path, json=body, timeout=SECONDS)
            footprint.count(commands=1, bytes_read=len(answer.content))
            if answer.status_code != 200:
                raise _refused(answer.status_code, path)
            return answer.json()
        except requests.Timeout as error:
            raise ClientError(FailureKind.NO_ANSWER, _("no answer in time"), path) from error
        except requests.ConnectionError as error:
            raise ClientError(FailureKind.REFUSED, type(error).__name__, path) from error
        except ValueError as error:  # requests' own error for what is not JSON
            raise ClientError(FailureKind.GARBAGE, _("the answer is not JSON"), path) from error


def _refused(status: int, path: str) -> ClientError:
    kinds = {401: FailureKind.AUTHENTICATION, 403: FailureKind.PERMISSION, 404: FailureKind.MISSING}
    return ClientError(kinds.get(status, FailureKind.ERROR), f"HTTP {status}", path)
