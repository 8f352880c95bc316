"""GET and POST over HTTP and HTTPS, bounded in time and size, measured, never retried, never through a proxy.

Built on the standard library because importing requests alone takes longer than a healthy answer.
Credentials are never part of a message, nor is a URL's own user and password.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import Struct

from samaops.clients import footprint
from samaops.clients.bounded import BoundedSocket, Deadline, connect, os_error
from samaops.clients.errors import ClientError
from samaops.i18n import _
from samaops.model.failure import FailureKind

MAX_BYTES = 4 * 1024 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
# What a URL may hold after the host without being quoted again.
_URL_SAFE = "/%?&=+:;,@!$'()*~[]"

_KIND_OF_STATUS = {
    401: FailureKind.AUTHENTICATION,
    403: FailureKind.PERMISSION,
    404: FailureKind.MISSING,
    407: FailureKind.DEPENDENCY,
}


class HttpAnswer(Struct, frozen=True):
    """One answer. Header names are lower case; times in milliseconds.

    ``connect_ms`` is 0 on a connection used before; ``first_byte_ms`` counts from the sent request;
    ``total_ms`` is all of it, the connection too.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    connect_ms: float
    first_byte_ms: float
    total_ms: float
    is_truncated: bool = False

    @property
    def text(self) -> str:
        """The body as text, bytes that are not UTF-8 escaped."""
        return self.body.decode("utf-8", errors="backslashreplace")


def get(
    url: str,
    *,
    timeout: float,
    auth: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    max_bytes: int = MAX_BYTES,
) -> HttpAnswer:
    """Make one GET and return the answer, whatever its status. Redirects are not followed.

    ``timeout`` is for everything together, in seconds. A body over ``max_bytes`` is cut there.
    Raises ClientError.
    """
    with HttpConnection(url, timeout=timeout, ca_file=ca_file) as connection:
        return connection.get(auth=auth, headers=headers, max_bytes=max_bytes)


def get_json(
    url: str,
    *,
    timeout: float,
    auth: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Make one GET and return its JSON. Raises ClientError, also when the status is not 200."""
    answer = get(url, timeout=timeout, auth=auth, headers=headers, ca_file=ca_file, max_bytes=max_bytes)
    return json_of(answer, url)


def json_of(answer: HttpAnswer, url: str) -> Any:
    """Return the JSON of an answer with status 200. Raises ClientError, with the URL's path as its stage."""
    stage = urlsplit(url).path or "/"
    if answer.status != 200:
        raise ClientError(kind_of_status(answer.status), f"HTTP {answer.status}", stage)
    if answer.is_truncated:
        message = _("the answer is larger than {size} bytes").format(size=len(answer.body))
        raise ClientError(FailureKind.ERROR, message, stage)
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not JSON"), stage) from error


def kind_of_status(status: int) -> FailureKind:
    """Sort a status other than 200: what it says about the server or about us."""
    if status >= 500:
        return FailureKind.UNAVAILABLE
    return _KIND_OF_STATUS.get(status, FailureKind.ERROR)


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a verifying TLS context: the system's authorities, and those of a file."""
    context = ssl.create_default_context()
    # Python 3.13 began to refuse authorities that curl and the application's own Python accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or str(error)
            raise ClientError(FailureKind.MISSING, f"{ca_file}: {reason}", "ca_file") from error
    return context


class HttpConnection:
    """One connection that is kept for several GETs to the same server, all within one time limit."""

    def __init__(self, url: str, *, timeout: float, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        self._deadline = Deadline(timeout)
        self._target = quote(parts.path or "/", safe=_URL_SAFE)
        if parts.query:
            self._target += "?" + quote(parts.query, safe=_URL_SAFE)
        self._wire = _Wire(address_of(url), parts.scheme == "https", ca_file, self._deadline)

    @classmethod
    def over(cls, sock: BoundedSocket, url: str) -> HttpConnection:
        """Return the connection over a socket that is connected already, as through a tunnel."""
        connection = cls(url, timeout=sock.deadline.seconds)
        connection._deadline = sock.deadline
        connection._wire.adopt(sock)
        return connection

    def __enter__(self) -> HttpConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wire.abort()

    def get(
        self,
        path: str | None = None,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> HttpAnswer:
        """GET a path of this server (the URL's own when absent) and return the answer. Raises ClientError."""
        sent = {"User-Agent": "samaops", "Accept": "*/*", **(headers or {})}
        if auth is not None:
            sent["Authorization"] = basic(*auth)
        return self._ask("GET", path, None, sent, max_bytes)

    def post(
        self,
        body: bytes,
        *,
        content_type: str,
        auth: tuple[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> HttpAnswer:
        """POST to the URL's own path and return the answer, whatever its status. Raises ClientError."""
        sent = {"User-Agent": "samaops", "Accept": "*/*", "Content-Type": content_type}
        if auth is not None:
            sent["Authorization"] = basic(*auth)
        return self._ask("POST", None, body, sent, max_bytes)

    def _ask(
        self, method: str, path: str | None, body: bytes | None, sent: Mapping[str, str], max_bytes: int
    ) -> HttpAnswer:
        target = self._target if path is None else quote(path, safe=_URL_SAFE)
        self._wire.connect_ms = 0.0
        started = time.monotonic()
        try:
            self._wire.request(method, target, body=body, headers=dict(sent))
            return self._answer(target, max_bytes, started)
        except OSError as error:
            raise os_error(error, target, self._wire.is_connected, self._deadline) from error
        except http.client.InvalidURL as error:
            raise ClientError(FailureKind.ERROR, str(error), target) from error
        except (http.client.HTTPException, ValueError) as error:
            raise _not_http(error, target) from error

    def _answer(self, target: str, max_bytes: int, started: float) -> HttpAnswer:
        sent_at = time.monotonic()
        response = self._wire.getresponse()
        body = response.read(max_bytes + 1)
        is_truncated = len(body) > max_bytes
        if response.length and not is_truncated:
            message = _("the answer ended {size} bytes too early").format(size=response.length)
            raise ClientError(FailureKind.CLOSED, message, target)
        if is_truncated:
            self._wire.abort()  # what was not read would be taken for the next answer
        footprint.count(commands=1)
        now = time.monotonic()
        return HttpAnswer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=body[:max_bytes],
            connect_ms=self._wire.connect_ms,
            first_byte_ms=_milliseconds(sent_at, self._wire.first_byte_at or now),
            total_ms=_milliseconds(started, now),
            is_truncated=is_truncated,
        )


class _Wire(http.client.HTTPConnection):
    """http.client's connection over a bounded socket."""

    sock: Any

    def __init__(
        self, address: tuple[str, int], is_tls: bool, ca_file: Path | None, deadline: Deadline
    ) -> None:
        super().__init__(*address)
        self._is_tls = is_tls
        self._ca_file = ca_file
        self._deadline = deadline
        self.default_port = DEFAULT_PORTS["https" if is_tls else "http"]
        self.connect_ms = 0.0
        self.is_connected = False
        self.first_byte_at: float | None = None
        self._opened: BoundedSocket | None = None

    def connect(self) -> None:
        """Open the connection, through the TLS handshake. Raises ClientError or OSError."""
        started = time.monotonic()
        context = tls_context(self._ca_file) if self._is_tls else None
        self.sock = self._opened = connect(self.host, self.port, self._deadline)
        self.is_connected = True
        if context is not None:
            self._shake_hands(self.sock, context)
        self.connect_ms = _milliseconds(started, time.monotonic())

    def _shake_hands(self, sock: BoundedSocket, context: ssl.SSLContext) -> None:
        try:
            sock.start_tls(context, self.host)
        except OSError as error:
            raise os_error(error, "tls", True, self._deadline) from error

    def adopt(self, sock: BoundedSocket) -> None:
        """Use a socket that is connected already; its TLS, if any, is done."""
        self.sock = self._opened = sock
        self._deadline = sock.deadline
        self.is_connected = True

    def abort(self) -> None:
        """Close the connection, also in the middle of an answer."""
        self.close()
        if self._opened is not None:
            self._opened.abort()

    def getresponse(self) -> http.client.HTTPResponse:
        """Read the status line and the headers."""
        sock = self.sock
        try:
            return super().getresponse()
        finally:
            self.first_byte_at = sock.first_byte_at if sock is not None else None


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization (or Proxy-Authorization) header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL. Raises ClientError, which never holds a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ClientError(FailureKind.ERROR, _("the URL has no valid port"), "url") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ClientError(FailureKind.ERROR, _("the URL is not http://host or https://host"), "url")
    return parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def _not_http(error: Exception, stage: str) -> ClientError:
    """Sort what http.client could not read: an answer cut short, or one in another protocol."""
    if isinstance(error, http.client.IncompleteRead):
        return ClientError(FailureKind.CLOSED, _("the answer ended too early"), stage)
    message = _("the answer is not HTTP: {words}").format(words=ascii(str(error))[:80])
    return ClientError(FailureKind.GARBAGE, message, stage)


def _milliseconds(started: float, ended: float) -> float:
    return round(max(0.0, ended - started) * 1000, 2)
