"""Go through an HTTP proxy with CONNECT, and hear what the proxy itself says about it."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.clients.bounded import BoundedSocket, Deadline, connect, os_error
from samaops.clients.errors import ClientError
from samaops.clients.http import address_of, basic, get
from samaops.config.settings import Proxy
from samaops.i18n import _
from samaops.model.failure import FailureKind

# What proxies say of their reasons: squid's error name, and the scheme of the password they want.
REASON_HEADERS = ("x-squid-error", "proxy-authenticate")


class TunnelAnswer(Struct, frozen=True):
    """What the proxy answered to CONNECT."""

    status: int
    reason: str
    after_ms: float


def address(settings: Proxy) -> tuple[str, int]:
    """Return host and port of the proxy. Raises ClientError when the URL is no http:// URL."""
    if urlsplit(settings.url).scheme != "http":
        raise ClientError(FailureKind.MISSING, _("only proxies of http:// can be looked at"), "url")
    return address_of(settings.url)


def name(settings: Proxy) -> str:
    """Return how the proxy is named in findings: host and port, never its password."""
    parts = urlsplit(settings.url)
    try:
        port = parts.port or 80
    except ValueError:
        port = 80
    return f"{parts.hostname or '?'}:{port}"


def has_credentials(settings: Proxy) -> bool:
    """Return whether a user is configured for the proxy."""
    return settings.username is not None


class Tunnel:
    """One connection to the proxy and one CONNECT through it."""

    def __init__(self, settings: Proxy, host: str, port: int, deadline: Deadline) -> None:
        self._settings = settings
        self._target = f"{host}:{port}"
        self._deadline = deadline
        self._asked_at = 0.0
        started = time.monotonic()
        self.sock: BoundedSocket = connect(*address(settings), deadline)
        self.connect_ms = round((time.monotonic() - started) * 1000, 2)

    def ask(self) -> None:
        """Send CONNECT. Raises ClientError."""
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}", "User-Agent: samaops"]
        credentials = _credentials(self._settings)
        if credentials is not None:
            lines.append(f"Proxy-Authorization: {basic(*credentials)}")
        self._asked_at = time.monotonic()
        try:
            self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        except OSError as error:
            raise os_error(error, "CONNECT", True, self._deadline) from error

    def answer(self) -> TunnelAnswer:
        """Read the proxy's answer. Raises ClientError. With status 200 the socket leads to the target."""
        response = http.client.HTTPResponse(self.sock, method="CONNECT")  # type: ignore[arg-type]
        try:
            response.begin()
        except OSError as error:
            raise os_error(error, "CONNECT", True, self._deadline) from error
        except (http.client.HTTPException, ValueError) as error:
            message = _("the proxy's answer is not HTTP: {words}").format(words=ascii(str(error))[:80])
            raise ClientError(FailureKind.GARBAGE, message, "CONNECT") from error
        after_ms = round((time.monotonic() - self._asked_at) * 1000, 2)
        return TunnelAnswer(response.status, _reason(response), after_ms)

    def close(self) -> None:
        """Close the connection."""
        self.sock.abort()


def alive_after_ms(settings: Proxy, timeout: float) -> float:
    """Return how long the proxy takes to accept a connection and to answer what needs nobody behind it.

    Proxies answer a request for themselves with an error of their own, which is an answer. Raises ClientError.
    """
    host, port = address(settings)
    return get(f"http://{host}:{port}/", timeout=timeout, max_bytes=4096).connect_ms


def _reason(response: http.client.HTTPResponse) -> str:
    said = [response.reason, *(response.headers.get(header) or "" for header in REASON_HEADERS)]
    return ", ".join(part for part in said if part)[:200]


def _credentials(settings: Proxy) -> tuple[str, str] | None:
    if settings.username is None:
        return None
    return settings.username, settings.password.reveal() if settings.password else ""
