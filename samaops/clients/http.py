"""GET and POST over HTTP and HTTPS, bounded in time and size, measured, never retried, never redirected.

No proxy but a configured one. Credentials are never part of a message, nor is a URL's own user and password.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit

from msgspec import Struct

from samaops.clients import footprint, tls
from samaops.clients.errors import ClientError
from samaops.clients.time_limit import TimeLimit
from samaops.i18n import _
from samaops.model.failure import FailureKind

if TYPE_CHECKING:
    from requests import Response

logger = logging.getLogger(__name__)
MAX_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 256 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
# A scheme stands at the beginning or after a comma; what is followed by "=" is a parameter of the one before.
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][\w-]*)(?=\s+[^\s=]|\s*(?:,|$))")
_LOGIN_PAGE = re.compile(r"log-?in|oauth|auth|sign-?in|sso", re.IGNORECASE)
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

    ``connect_ms``, through the TLS handshake, is 0 on a connection used before; ``first_byte_ms`` counts from
    there to the end of the headers; ``total_ms`` is all of it.
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
    ca_file: Path | None = None,
    max_bytes: int = MAX_BYTES,
) -> HttpAnswer:
    """Make one GET and return the answer, whatever its status.

    ``timeout`` is for everything together, in seconds. A body over ``max_bytes`` is cut there.
    Raises ClientError.
    """
    with HttpConnection(url, timeout=timeout, ca_file=ca_file) as connection:
        return connection.get(auth=auth, max_bytes=max_bytes)


def get_json(
    url: str,
    *,
    timeout: float,
    auth: tuple[str, str] | None = None,
    ca_file: Path | None = None,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Make one GET and return its JSON. Raises ClientError, also when the status is not 200."""
    return json_of(get(url, timeout=timeout, auth=auth, ca_file=ca_file, max_bytes=max_bytes), url)


def json_of(answer: HttpAnswer, url: str) -> Any:
    """Return the JSON of an answer with status 200. Raises ClientError, with the URL's path as its stage."""
    stage = urlsplit(url).path or "/"
    if answer.status != 200:
        raise refusal(answer, stage)
    try:
        return json.loads(whole(answer, stage))
    except (ValueError, RecursionError) as error:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not JSON"), stage) from error


def whole(answer: HttpAnswer, stage: str) -> bytes:
    """Return the body of an answer. Raises ClientError where it was cut: half of it would tell something else."""
    if answer.is_truncated:
        message = _("the answer is larger than {size} bytes").format(size=len(answer.body))
        raise ClientError(FailureKind.ERROR, message, stage)
    return answer.body


def refusal(answer: HttpAnswer, stage: str) -> ClientError:
    """Return why an answer has another status than 200; a log-in that takes no password is told by what it takes."""
    words, kind = f"HTTP {answer.status}", kind_of_status(answer.status)
    schemes = schemes_of([answer.headers.get("www-authenticate", "")])
    if answer.status == 401 and schemes and not takes_password(schemes):
        return ClientError(FailureKind.SCHEME, f"{words}: {', '.join(schemes)}", stage)
    page = urlsplit(answer.headers.get("location", "")).path
    if 300 <= answer.status < 400 and _LOGIN_PAGE.search(page):
        return ClientError(FailureKind.SCHEME, f"{words}: {page[:100]}", stage)
    return ClientError(kind, words, stage)


def schemes_of(headers: Iterable[str]) -> tuple[str, ...]:
    """Return the schemes that WWW-Authenticate or Proxy-Authenticate offer, as written, each once (RFC 9110, 11.6)."""
    offered = (_SCHEME.findall(_QUOTED.sub('""', header)) for header in headers)
    return tuple(dict.fromkeys(scheme for schemes in offered for scheme in schemes))


def takes_password(schemes: Iterable[str]) -> bool:
    """Return whether one of these schemes is Basic, the only one that the application and samaops speak."""
    return any(scheme.lower() == "basic" for scheme in schemes)


def kind_of_status(status: int) -> FailureKind:
    """Sort a status other than 200: what it says about the server or about us."""
    if status >= 500:
        return FailureKind.UNAVAILABLE
    return _KIND_OF_STATUS.get(status, FailureKind.ERROR)


class HttpConnection:
    """One connection that is kept for several requests to the same server, all within one time limit.

    ``open_socket`` replaces the direct way there, as by one through a proxy. Raises ClientError.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        ca_file: Path | None = None,
        open_socket: Callable[[TimeLimit], socket.socket] | None = None,
    ) -> None:
        from samaops.clients import transport

        parts, address = urlsplit(url), address_of(url)
        self._target = quote(parts.path or "/", safe=_URL_SAFE)
        if parts.query:
            self._target += "?" + quote(parts.query, safe=_URL_SAFE)
        self._origin = f"{parts.scheme}://{authority_of(url)}"
        context = tls.verifying(ca_file) if parts.scheme == "https" else None
        # from here on it is the server's time, not that of this machine
        self.limit = limit = TimeLimit(timeout)
        self.route = transport.Route(
            limit, lambda: open_socket(limit) if open_socket else limit.connect(*address)
        )
        self._session = transport.session(address, self.route, context)

    def __enter__(self) -> HttpConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()
        self.limit.cancel()

    def get(
        self,
        path: str | None = None,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> HttpAnswer:
        """GET a path of this server (the URL's own when absent) and return the answer. Raises ClientError."""
        return self._request("GET", path, None, _headers(auth, headers), max_bytes)

    def post(
        self,
        body: bytes,
        path: str | None = None,
        *,
        content_type: str,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> HttpAnswer:
        """POST to a path (the URL's own when absent) and return the answer, whatever its status. Raises ClientError."""
        more = {**(headers or {}), "Content-Type": content_type}
        return self._request("POST", path, body, _headers(auth, more), max_bytes)

    def delete(self, path: str, *, auth: tuple[str, str] | None = None) -> HttpAnswer:
        """DELETE a path and return the answer, whatever its status. Raises ClientError."""
        return self._request("DELETE", path, None, _headers(auth, {}), MAX_BYTES)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str],
        sink: Callable[[bytes], Any] | None = None,
    ) -> HttpAnswer:
        """Make one request of any method and return the answer, whatever its status. Raises ClientError.

        A ``sink`` takes the body of a success, of whatever size, a block at a time; the answer then holds none.
        """
        return self._request(method, path, body, headers, MAX_BYTES, sink)

    def _request(
        self,
        method: str,
        path: str | None,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str],
        max_bytes: int,
        sink: Callable[[bytes], Any] | None = None,
    ) -> HttpAnswer:
        from samaops.clients import transport

        target = self._target if path is None else quote(path, safe=_URL_SAFE)
        if self.limit.is_expired:
            raise self.limit.failure(TimeoutError(), target, is_connected=True)
        self.route.forget()
        started = time.monotonic()
        try:
            response = self._session.request(
                method,
                self._origin + target,
                data=body,
                headers=headers,
                timeout=self.limit.remaining(),
                stream=True,
                allow_redirects=False,
            )
            with response:
                first_byte_ms = transport.milliseconds_since(started)
                while sink is not None and response.status_code == 200:
                    block = response.raw.read(_BLOCK_BYTES, decode_content=False)
                    if not block:
                        break
                    sink(block)
                content = response.raw.read(max_bytes + 1, decode_content=False)
                if len(content) <= max_bytes:
                    response.raw.read(1)  # the end, or the error that it came too early
        except transport.ERRORS as error:
            raise self._failure(transport.root_of(error), target) from error
        if self.limit.is_expired:  # an answer without a length ends like this too
            raise self.limit.failure(TimeoutError(), target, is_connected=True)
        return self._answer(
            response, content, max_bytes, first_byte_ms, transport.milliseconds_since(started)
        )

    def _answer(
        self, response: Response, content: bytes, max_bytes: int, first_byte_ms: float, total_ms: float
    ) -> HttpAnswer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        head_size = sum(len(name) + len(value) + 4 for name, value in headers.items())
        place = response.url.partition("?")[0]  # what is asked for may be a secret
        logger.debug("%s: %d after %.0f ms", place, response.status_code, total_ms)
        footprint.count(commands=1, bytes_read=head_size + len(content))
        connect_ms = round(self.route.open_ms + self.route.tls_ms, 2)
        return HttpAnswer(
            status=response.status_code,
            headers=headers,
            body=content[:max_bytes],
            connect_ms=connect_ms,
            first_byte_ms=round(first_byte_ms - connect_ms, 2),
            total_ms=total_ms,
            is_truncated=len(content) > max_bytes,
        )

    def _failure(self, root: BaseException, stage: str) -> ClientError:
        """Sort what went wrong once the connection stood; what went wrong before is sorted already."""
        if isinstance(root, OSError) or self.limit.is_expired:
            root = root if isinstance(root, OSError) else TimeoutError()
            return self.limit.failure(root, stage, is_connected=True)
        if isinstance(root, http.client.IncompleteRead):
            # urllib3 tells how much is missing, http.client only of a body in chunks that it is
            is_chunked = isinstance(root.partial, bytes)
            message = _("the answer ended {size} bytes too early").format(size=root.expected)
            return ClientError(
                FailureKind.CLOSED, _("the answer ended too early") if is_chunked else message, stage
            )
        if isinstance(root, http.client.HTTPException):
            message = _("the answer is not HTTP: {words}").format(words=ascii(str(root))[:80])
            return ClientError(FailureKind.GARBAGE, message, stage)
        # the words of what is left may be the URL, which may be a secret
        return ClientError(FailureKind.ERROR, type(root).__name__, stage)


def _headers(auth: tuple[str, str] | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    credentials = {} if auth is None else {"Authorization": basic(*auth)}
    return {**(headers or {}), **credentials}


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


def authority_of(url: str) -> str:
    """Return the Host of requests to a URL: its port only where it is not the scheme's own. Raises ClientError."""
    host, port = address_of(url)
    is_default = port == DEFAULT_PORTS[urlsplit(url).scheme]
    return bracketed(host) if is_default else f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
