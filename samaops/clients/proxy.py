"""Go through an HTTP proxy with CONNECT, and hear what the proxy itself says about it."""

from __future__ import annotations

import http.client
import socket
import time
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.http import address_of, basic, get, schemes_of
from samaops.clients.time_limit import TimeLimit
from samaops.config.settings import Proxy
from samaops.i18n import _
from samaops.model.failure import FailureKind


class TunnelAnswer(Struct, frozen=True):
    """What the proxy answered to CONNECT; ``schemes`` are the ways to log in that it offers, if it wants one."""

    status: int
    reason: str
    after_ms: float
    schemes: tuple[str, ...]


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

    def __init__(self, settings: Proxy, host: str, port: int, limit: TimeLimit) -> None:
        self._settings = settings
        self._target = f"{host}:{port}"
        self._limit = limit
        self._asked_at = 0.0
        started = time.monotonic()
        self.sock: socket.socket = limit.connect(*address(settings))
        self.connect_ms = round((time.monotonic() - started) * 1000, 2)

    def ask(self) -> None:
        """Send CONNECT. Raises ClientError."""
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}", "User-Agent: samaops"]
        if self._settings.username is not None:
            password = self._settings.password.reveal() if self._settings.password else ""
            lines.append(f"Proxy-Authorization: {basic(self._settings.username, password)}")
        self._asked_at = time.monotonic()
        try:
            self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        except OSError as error:
            raise self._limit.failure(error, "CONNECT", is_connected=True) from error

    def answer(self) -> TunnelAnswer:
        """Read the proxy's answer. Raises ClientError. With a status of 2xx the socket leads to the target."""
        response = http.client.HTTPResponse(self.sock, method="CONNECT")
        try:
            self.sock.settimeout(self._limit.remaining())
            response.begin()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failure(error) from error
        finally:
            response.close()
        after_ms = round((time.monotonic() - self._asked_at) * 1000, 2)
        # tinyproxy asks as a server would, with 401
        asks = ("proxy-authenticate", "www-authenticate")
        schemes = schemes_of(offer for header in asks for offer in response.headers.get_all(header) or ())
        # squid tells its reason by a name
        words = (response.reason, response.headers.get("x-squid-error") or "", *schemes)
        return TunnelAnswer(response.status, ", ".join(filter(None, words))[:200], after_ms, schemes)

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()

    def _failure(self, error: Exception) -> ClientError:
        if self._limit.is_expired:
            error = TimeoutError()
        if isinstance(error, OSError):
            return self._limit.failure(error, "CONNECT", is_connected=True)
        message = _("the proxy's answer is not HTTP: {words}").format(words=ascii(str(error))[:80])
        return ClientError(FailureKind.GARBAGE, message, "CONNECT")


def connect_tunnel(settings: Proxy, host: str, port: int, limit: TimeLimit) -> socket.socket:
    """Return a connection to a host through the proxy.

    Raises ClientError of the kind DEPENDENCY: what fails here is the proxy, or what the proxy refuses.
    """
    tunnel = None
    try:
        tunnel = Tunnel(settings, host, port, limit)
        tunnel.ask()
        answer = tunnel.answer()
    except ClientError as error:
        if tunnel is not None:
            tunnel.close()
        raise _on_the_way(settings, error) from error
    if not 200 <= answer.status < 300:
        tunnel.close()
        words = f"HTTP {answer.status} {answer.reason}"
        raise _on_the_way(settings, ClientError(FailureKind.UNAVAILABLE, words))
    return tunnel.sock


def _on_the_way(settings: Proxy, error: ClientError) -> ClientError:
    message = _("the proxy {proxy}: {words}").format(proxy=name(settings), words=error.message)
    return error.on_the_way("proxy", message)


def alive_after_ms(settings: Proxy, timeout: float) -> float:
    """Return how long the proxy takes to accept a connection and to answer what needs nobody behind it.

    Proxies answer a request for themselves with an error of their own, which is an answer. Raises ClientError.
    """
    host, port = address(settings)
    return get(f"http://{host}:{port}/", timeout=timeout, max_bytes=4096).connect_ms
