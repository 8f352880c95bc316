"""Speak AMQP 0-9-1 with RabbitMQ: greet it and log in; hold single messages, copy them, give the others back.

What was received stays the broker's until it is acknowledged: it comes back to its place when the connection ends,
however it ends. The management API has no such moment: what it gives away is gone before it is kept anywhere.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from msgspec import Struct

from samaops.clients import footprint, tls
from samaops.clients.errors import ClientError
from samaops.clients.http import bracketed
from samaops.clients.time_limit import TimeLimit
from samaops.config.settings import RabbitMQ, Tls
from samaops.facts.rabbitmq import Count, Refusal
from samaops.i18n import _
from samaops.model.failure import FailureKind

# Above every worker's, which is 0: what is ready comes here first.
FIRST = 1000
_PERSISTENT = 2
# type, channel and size
_FRAME_HEADER = struct.Struct(">BHI")
_METHOD_FRAME, _HEARTBEAT_FRAME, _FRAME_END = 1, 8, b"\xce"
# The methods of a connection and a channel, by their class and number.
_START, _START_OK, _TUNE, _TUNE_OK, _OPEN, _OPEN_OK, _CLOSE, _CLOSE_OK = (
    struct.pack(">HH", 10, number) for number in (10, 11, 30, 31, 40, 41, 50, 51)
)
_CHANNEL_OPEN, _CHANNEL_OPEN_OK = (struct.pack(">HH", 20, number) for number in (10, 11))
_LONGEST_GREETING_BYTES = 128 * 1024
_WORDS_CHARACTERS = 300
# For the leave of a session that failed.
_LEAVE_SECONDS = 1.0
_HEADERS = "application_headers"
_KINDS = {
    403: FailureKind.PERMISSION,
    404: FailureKind.MISSING,
    530: FailureKind.MISSING,
    320: FailureKind.CLOSED,
}


class Greeting(Struct, frozen=True):
    """How the broker introduced itself on its AMQP port, how long that took, and how far our user came then."""

    properties: Mapping[str, str]
    milliseconds: float
    stage: str = ""
    refusal: Refusal | None = None


def greet(
    host: str, port: int, timeout: float, user: RabbitMQ | None = None, over: Tls | None = None
) -> Greeting:
    """Open a connection up to ``connection.start``; with a user who has a password, up to a channel. Then hang up.

    A user whom the broker refuses is no error: it answers. Raises ClientError.
    """
    import amqp.transport  # noqa: F401 - before the time begins to run

    started = time.perf_counter()
    with TimeLimit(timeout) as limit, _connected(host, port, limit, over) as connection:
        connection.settimeout(None)  # the limit ends it
        stage, refusal = "greeting", None
        try:
            conversation = _Conversation(connection)
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            if user is not None and user.password is not None:
                stage = "log-in"
                stage, refusal = conversation.log_in(user.username, user.password.reveal(), user.vhost)
        except OSError as error:
            raise limit.failure(error, stage, is_connected=True) from error
    texts = {name: value for name, value in conversation.properties.items() if isinstance(value, str)}
    return Greeting(texts, milliseconds, "" if stage == "greeting" else stage, refusal)


def _connected(host: str, port: int, limit: TimeLimit, over: Tls | None) -> socket.socket:
    connection = limit.connect(host, port)
    if over is None:
        return connection
    return tls.wrap(tls.of(over), connection, over.server_name or host, limit)


class _Conversation:
    """The first words of a connection, method by method: the library would wait longer than our limit for some."""

    def __init__(self, connection: socket.socket) -> None:
        from amqp.transport import AMQP_PROTOCOL_HEADER, TCPTransport

        connection.sendall(AMQP_PROTOCOL_HEADER)
        # Looked at first: the library would wait for as many bytes as the first words of anything seem to promise.
        header = b""
        while len(header) < _FRAME_HEADER.size:
            block = connection.recv(_FRAME_HEADER.size - len(header))
            if not block:
                raise ConnectionResetError(_("the connection was closed"))
            header += block
        kind, _channel, size = _FRAME_HEADER.unpack(header)
        if kind != _METHOD_FRAME or size > _LONGEST_GREETING_BYTES:
            raise _not_amqp()
        self._connection = connection
        self._transport = TCPTransport("")
        self._transport.sock = connection
        self._transport._setup_transport()
        self._transport._read_buffer = header  # TLS has no way to look without taking
        # protocol version, server properties, ways to log in, languages
        self.properties: dict[str, Any] = dict(self._read({_START: "ooFSS"})[1][2])

    def log_in(self, user: str, password: str, vhost: str) -> tuple[str, Refusal | None]:
        """Log in, open the virtual host and a channel, and take leave. Return how far it came, and why no farther."""
        client = {"product": "samaops", "capabilities": {"authentication_failure_close": True}}
        words: tuple[Any, ...] = (client, "PLAIN", f"\0{user}\0{password}", "en_US")
        method, values = self._ask(0, _START_OK, "FsSs", words, {_TUNE: "BlB"})
        if method == _CLOSE:
            return "log-in", self._refusal("log-in", values)
        self._write(0, _TUNE_OK, "BlB", (*values[:2], 0))
        for stage, channel, question, words, answer in (
            ("virtual host", 0, _OPEN, (vhost, "", False), _OPEN_OK),
            ("channel", 1, _CHANNEL_OPEN, ("",), _CHANNEL_OPEN_OK),
        ):
            method, values = self._ask(channel, question, "ssb"[: len(words)], words, {answer: ""})
            if method == _CLOSE:
                return stage, self._refusal(stage, values)
        # Else the broker logs a lost connection.
        self._ask(0, _CLOSE, "BsBB", (200, "", 0, 0), {_CLOSE_OK: ""})
        return "channel", None

    def _refusal(self, stage: str, values: tuple[Any, ...]) -> Refusal:
        self._write(0, _CLOSE_OK, "", ())
        return Refusal(stage, int(values[0]), str(values[1])[:_WORDS_CHARACTERS])

    def _ask(
        self, channel: int, method: bytes, form: str, values: tuple[Any, ...], answers: Mapping[bytes, str]
    ) -> tuple[bytes, tuple[Any, ...]]:
        self._write(channel, method, form, values)
        return self._read({**answers, _CLOSE: "BsBB"})

    def _write(self, channel: int, method: bytes, form: str, values: tuple[Any, ...]) -> None:
        from amqp.serialization import dumps

        payload = method + dumps(form, values)
        frame = _FRAME_HEADER.pack(_METHOD_FRAME, channel, len(payload)) + payload + _FRAME_END
        self._connection.sendall(frame)

    def _read(self, answers: Mapping[bytes, str]) -> tuple[bytes, tuple[Any, ...]]:
        """Return the next method, one of those, with its values."""
        from amqp.exceptions import AMQPError
        from amqp.serialization import loads

        try:
            kind, _channel, payload = self._transport.read_frame()
            while kind == _HEARTBEAT_FRAME:
                kind, _channel, payload = self._transport.read_frame()
            method = bytes(payload[:4])
            if kind != _METHOD_FRAME or method not in answers:
                raise _not_amqp()
            values, _end = loads(answers[method], payload, len(method))
        except (AMQPError, struct.error, ValueError, IndexError) as error:
            raise _not_amqp() from error
        except OSError as error:
            if error.errno is None:  # the library's own, when the broker hangs up
                raise ConnectionResetError(_("the connection was closed")) from error
            raise
        return method, tuple(values)


def _not_amqp() -> ClientError:
    return ClientError(FailureKind.GARBAGE, _("the answer is not AMQP 0-9-1"), "greeting")


class Delivery(Struct, frozen=True):
    """One message in our hands; it is still the broker's."""

    tag: int
    is_redelivered: bool
    body: bytes
    properties: Mapping[str, Any]

    @property
    def headers(self) -> Mapping[str, Any]:
        """Return the headers of the application."""
        headers = self.properties.get(_HEADERS)
        return headers if isinstance(headers, Mapping) else {}

    @property
    def priority(self) -> int:
        """Return its priority in its queue."""
        return int(self.properties.get("priority") or 0)

    @property
    def task_id(self) -> str:
        """Return the id of its Celery task; empty for what is no task."""
        return str(self.headers.get("id") or self.properties.get("correlation_id") or "")


class AmqpSession:
    """One connection and its one channel, in confirm mode. Raises ClientError throughout."""

    def __init__(self, host: str, settings: RabbitMQ) -> None:
        self._host, self._settings = host, settings
        self._waiting: deque[Delivery] = deque()
        self._connection: Any = None
        self._channel: Any = None

    def __enter__(self) -> AmqpSession:
        import amqp

        settings = self._settings
        with _sorting_errors("connect"):
            self._connection = amqp.Connection(
                f"{bracketed(self._host)}:{settings.port}", userid=settings.username, login_method="PLAIN",
                password=settings.password.reveal() if settings.password else "",
                virtual_host=settings.vhost, confirm_publish=True, connect_timeout=settings.timeout,
                read_timeout=settings.timeout, write_timeout=settings.timeout,
                ssl=_library_options(settings.tls, self._host) if settings.tls else False,
            )  # fmt: skip
            try:
                self._connection.connect()
                self._open_channel()
            except BaseException:
                self._leave(_LEAVE_SECONDS)
                raise
        footprint.count(connections=1)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._leave(self._settings.timeout if kind is None else _LEAVE_SECONDS)

    def _leave(self, seconds: float) -> None:
        """Take leave, so that the broker logs no lost connection; one in trouble is not waited for for long."""
        import amqp
        from amqp import spec

        with suppress(amqp.AMQPError, OSError):
            if self._connection.connected:
                self._connection.send_method(spec.Connection.Close, "BsBB", (200, "", 0, 0))
                self._connection.wait(spec.Connection.CloseOk, timeout=seconds)
        self._connection.collect()

    def _open_channel(self) -> None:
        self._channel = self._connection.channel()
        self._channel.auto_decode = False  # bytes stay what they are

    def ready(self, queue: str) -> int | None:
        """Return how many messages are ready in a queue; None when there is no such queue."""
        count = self.count(queue)
        return None if count is None else count.ready

    def count(self, queue: str) -> Count | None:
        """Return what the broker counts of a queue now; None when there is no such queue."""
        import amqp

        with _sorting_errors(queue):
            try:
                answer = self._channel.queue_declare(queue, passive=True)
            except amqp.NotFound:  # the broker has closed the channel with it
                self._open_channel()
                return None
        return Count(int(answer.message_count), int(answer.consumer_count))

    def declare(self, queue: str) -> None:
        """Make a durable queue; one that is there with other settings is an error."""
        with _sorting_errors(queue):
            self._channel.queue_declare(queue, durable=True, auto_delete=False)

    def delete_if_empty(self, queue: str) -> None:
        """Delete a queue, unless it holds something or somebody consumes it."""
        import amqp

        with _sorting_errors(queue):
            try:
                self._channel.queue_delete(queue, if_unused=True, if_empty=True)
            except (amqp.PreconditionFailed, amqp.NotFound):
                self._open_channel()

    def subscribe(self, queue: str) -> None:
        """Consume a queue before all others and without limit, until ``give_back``."""
        with _sorting_errors(queue):
            self._channel.basic_consume(queue, callback=self._take, arguments={"x-priority": FIRST})

    def next(self, seconds: float) -> Delivery | None:
        """Return the next message that was consumed; None when none comes in time."""
        ends_at = time.monotonic() + seconds
        with _sorting_errors("consume"):
            while not self._waiting:
                left = ends_at - time.monotonic()
                if left <= 0:
                    return None
                try:
                    self._connection.drain_events(timeout=left)
                except TimeoutError:
                    return None
        return self._waiting.popleft()

    def get(self, queue: str) -> Delivery | None:
        """Return the first ready message of a queue; None when there is none, or no such queue."""
        import amqp

        with _sorting_errors(queue):
            try:
                message = self._channel.basic_get(queue, no_ack=False)
            except amqp.NotFound:
                self._open_channel()
                return None
        return None if message is None else _delivery(message)

    def copy(self, delivery: Delivery, queue: str, headers: Mapping[str, Any], **properties: Any) -> None:
        """Publish a message with these headers to a queue, and wait until the broker has it on its disk.

        ``properties`` replace the message's own; None leaves one out.
        """
        import amqp

        kept = {**delivery.properties, **properties, _HEADERS: dict(headers), "delivery_mode": _PERSISTENT}
        message = amqp.Message(
            delivery.body, **{key: value for key, value in kept.items() if value is not None}
        )
        with _sorting_errors(queue):
            self._channel.basic_publish_confirm(
                message, exchange="", routing_key=queue, mandatory=True,
                confirm_timeout=self._settings.timeout,
            )  # fmt: skip
        footprint.count(commands=1)

    def pass_through_own_queue(self, queue: str, body: bytes) -> bytes | None:
        """Publish to a queue that only this connection has and that ends with it; return what comes out of it."""
        import amqp

        with _sorting_errors("declare"):
            self._channel.queue_declare(queue, durable=False, exclusive=True, auto_delete=True)
        with _sorting_errors("publish"):
            self._channel.basic_publish_confirm(
                amqp.Message(body), exchange="", routing_key=queue, mandatory=True,
                confirm_timeout=self._settings.timeout,
            )  # fmt: skip
        delivery = self.get(queue)
        if delivery is not None:
            self.acknowledge(delivery)
        with _sorting_errors("delete"):
            self._channel.queue_delete(queue)
        footprint.count(commands=4)
        return None if delivery is None else delivery.body

    def acknowledge(self, delivery: Delivery) -> None:
        """Let the broker forget a message."""
        with _sorting_errors("ack"):
            self._channel.basic_ack(delivery.tag)

    def give_back(self) -> None:
        """Put all that is in our hands back where it was, and consume no more; it counts as delivered before.

        Both at once, as only the end of a channel does it: in between, workers would be given what is newer first.
        """
        self._waiting.clear()
        with _sorting_errors("requeue"):
            self._channel.close()
            self._open_channel()

    def _take(self, message: Any) -> None:
        self._waiting.append(_delivery(message))


def _library_options(over: Tls, host: str) -> dict[str, Any]:
    """Return what the library makes its TLS connection of; it trusts the named authority alone, or the system's."""
    return {
        "cert_reqs": ssl.CERT_REQUIRED if over.verify else ssl.CERT_NONE,
        "server_hostname": (over.server_name or host) if over.verify else None,
        "ca_certs": over.ca_file,
        "certfile": over.certificate_file,
        "keyfile": over.key_file,
    }


def _delivery(message: Any) -> Delivery:
    info = message.delivery_info
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    return Delivery(int(info["delivery_tag"]), bool(info["redelivered"]), body, dict(message.properties))


@contextmanager
def _sorting_errors(stage: str) -> Iterator[None]:
    """Raise the library's errors as a ClientError."""
    import amqp

    try:
        yield
    except amqp.AMQPError as error:
        code = getattr(error, "reply_code", None) or getattr(error, "code", None)
        kind = _KINDS.get(code, FailureKind.ERROR) if isinstance(code, int) else FailureKind.ERROR
        raise ClientError(kind, str(error) or type(error).__name__, stage) from error
    except TimeoutError as error:
        raise ClientError(FailureKind.NO_ANSWER, _("no answer in time"), stage) from error
    except OSError as error:
        kind = FailureKind.TLS if isinstance(error, ssl.SSLError) else FailureKind.REFUSED
        raise ClientError(kind, str(error) or type(error).__name__, stage) from error
