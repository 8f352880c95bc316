"""Talk to RabbitMQ: GETs of its management API on one connection, and a look at the AMQP port.

Nothing is declared, published or consumed; AMQP is only greeted, without a log-in.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import Struct

from samaops.clients.bounded import BoundedSocket, Deadline, connect, os_error
from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection, json_of
from samaops.config.settings import RabbitMQ
from samaops.i18n import _
from samaops.model.failure import FailureKind

PAGE_SIZE = 200  # queues of one answer, the fullest first: bounds its size whatever the broker holds
_ALL_SEEING_TAGS = frozenset({"administrator", "monitoring"})
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME, _FRAME_END, _CONNECTION_START = 1, 0xCE, (10, 10)
_MAX_GREETING_BYTES = 128 * 1024


class ManagementApi:
    """The management API of one broker, for one virtual host, within ``settings.timeout`` in all."""

    def __init__(self, host: str, settings: RabbitMQ) -> None:
        scheme = "https" if settings.management_tls else "http"
        self._url = f"{scheme}://{_bracketed(host)}:{settings.management_port}/"
        self._auth = (settings.username, settings.password.reveal() if settings.password else "")
        self._vhost = quote(settings.vhost, safe="")
        self._connection = HttpConnection(self._url, timeout=settings.timeout)
        self.tags: frozenset[str] = frozenset()
        self._is_logged_in = False

    def __enter__(self) -> ManagementApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, traceback)

    @property
    def sees_everything(self) -> bool:
        """Whether our user sees all connections, channels and nodes; others see only their own."""
        return bool(self.tags & _ALL_SEEING_TAGS)

    def log_in(self) -> None:
        """Check the password and learn what our user may see. Raises ClientError."""
        who = self.get("whoami")
        tags = who.get("tags", ()) if isinstance(who, dict) else ()
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
        answer = self._connection.get(target, auth=self._auth)
        if answer.status == 401:
            raise self._refused(answer, path)
        return json_of(answer, self._url + f"api/{path}")

    def in_vhost(self, kind: str, *names: str, **parameters: str | int) -> Any:
        """GET what belongs to our virtual host, such as ``queues`` or one named queue."""
        path = "/".join((kind, self._vhost, *(quote(name, safe="") for name in names)))
        return self.get(path, **parameters)

    def list_of(self, path: str, **parameters: str | int) -> list[dict[str, Any]]:
        """GET a list of objects. Raises ClientError when it is something else."""
        return objects(self.get(path, **parameters), path)

    def _refused(self, answer: HttpAnswer, path: str) -> ClientError:
        """Tell a wrong password from a missing right: RabbitMQ answers 401 to both."""
        try:
            reason = str(json.loads(answer.body).get("reason", ""))[:200]
        except (ValueError, AttributeError):
            reason = f"HTTP {answer.status}"
        is_login = not self._is_logged_in and not reason.startswith(("Not management", "User not authorised"))
        kind = FailureKind.AUTHENTICATION if is_login else FailureKind.PERMISSION
        return ClientError(kind, reason, f"/api/{path}")


def objects(answer: object, stage: str) -> list[dict[str, Any]]:
    """Return an answer that must be a list of objects. Raises ClientError."""
    if not isinstance(answer, list):
        raise ClientError(FailureKind.GARBAGE, _("the answer is not a list"), stage)
    return [one for one in answer if isinstance(one, dict)]


def columns(names: Sequence[str]) -> str:
    """Return the value of ``columns=``, by which the broker leaves out everything else."""
    return ",".join(names)


class Greeting(Struct, frozen=True):
    """How the broker introduced itself on its AMQP port, and how long that took."""

    properties: Mapping[str, str]
    milliseconds: float


def greet(host: str, port: int, timeout: float) -> Greeting:
    """Open an AMQP 0-9-1 connection up to ``connection.start`` and hang up. Raises ClientError."""
    deadline, started = Deadline(timeout), time.perf_counter()
    wire = connect(host, port, deadline)
    try:
        wire.sendall(_AMQP_HEADER)
        payload = _first_frame(wire)
    except OSError as error:
        raise os_error(error, "greeting", connected=True, deadline=deadline) from error
    finally:
        wire.abort()
    return Greeting(_server_properties(payload), round((time.perf_counter() - started) * 1000, 1))


def _first_frame(wire: BoundedSocket) -> bytes:
    kind, _channel, size = struct.unpack(">BHI", _exactly(wire, 7))
    if kind != _METHOD_FRAME or not 4 <= size <= _MAX_GREETING_BYTES:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not AMQP 0-9-1"), "greeting")
    frame = _exactly(wire, size + 1)
    if frame[-1] != _FRAME_END or struct.unpack(">HH", frame[:4]) != _CONNECTION_START:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not AMQP 0-9-1"), "greeting")
    return frame[:-1]


def _exactly(wire: BoundedSocket, size: int) -> bytes:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        more = wire.receive_into(view[got:])
        if more == 0:
            raise ClientError(FailureKind.CLOSED, _("the connection was closed"), "greeting")
        got += more
    return bytes(data)


def _server_properties(payload: bytes) -> dict[str, str]:
    """Return the long strings of the greeting's table (product, version, cluster_name...)."""
    # method ids (4), protocol version (2), then the table: its size (4), and name, type, value each
    properties: dict[str, str] = {}
    try:
        (size,) = struct.unpack_from(">I", payload, 6)
        position, end = 10, min(10 + size, len(payload))
        while position < end:
            length = payload[position]
            name = payload[position + 1 : position + 1 + length].decode("utf-8", "backslashreplace")
            position += 1 + length
            kind = payload[position : position + 1]
            (length,) = struct.unpack_from(">I", payload, position + 1) if kind in b"SF" else (1 - 4,)
            if kind == b"S":
                value = payload[position + 5 : position + 5 + length]
                properties[name] = value.decode("utf-8", "backslashreplace")
            elif kind not in (b"F", b"t"):
                break  # no broker we know sends another type here
            position += 5 + length
    except (struct.error, IndexError) as error:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not AMQP 0-9-1"), "greeting") from error
    return properties


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
