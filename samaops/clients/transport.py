"""requests as we use it: one server, connections of ours, no retries, no redirects, nothing from the environment.

It is the part of ``clients/http.py`` that imports requests, which takes longer than what is cheap here may.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from samaops.clients.time_limit import TimeLimit

# All that comes out of a request; a ClientError of the route passes through it.
ERRORS = (HTTPError, http.client.HTTPException, OSError, ValueError)


class Route:
    """The way to a server: how its connection is opened, and how the last one was."""

    def __init__(self, limit: TimeLimit, open_socket: Callable[[], socket.socket]) -> None:
        self.limit = limit
        self._open_socket = open_socket
        self.certificate: dict[str, Any] = {}
        self.forget()

    def forget(self) -> None:
        """Set the times back: the next request may use a connection that is open already."""
        self.open_ms = self.tls_ms = 0.0

    def open(self) -> socket.socket:
        """Open a connection. Raises ClientError."""
        started = time.monotonic()
        opened = self._open_socket()
        self.open_ms = milliseconds_since(started)
        return opened


class _Connection(HTTPConnection):
    def __init__(self, *arguments: Any, route: Route, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._route = route

    def _new_conn(self) -> socket.socket:
        return self._route.open()


class _TlsConnection(HTTPSConnection):
    def __init__(self, *arguments: Any, route: Route, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._route = route

    def _new_conn(self) -> socket.socket:
        return self._route.open()

    def connect(self) -> None:
        """Open the connection, through the handshake. Raises ClientError."""
        started = time.monotonic()
        try:
            super().connect()
        except OSError as error:
            raise self._route.limit.failure(error, "tls", is_connected=True) from error
        assert isinstance(self.sock, ssl.SSLSocket)
        self._route.certificate = dict(self.sock.getpeercert() or {})
        self._route.tls_ms = round(milliseconds_since(started) - self._route.open_ms, 2)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Sends every request through one pool; who is trusted is what that pool's TLS context says."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        super().__init__()
        self._pool = pool

    def get_connection_with_tls_context(self, *_request: Any, **_options: Any) -> HTTPConnectionPool:
        return self._pool

    def cert_verify(self, *_request: Any, **_options: Any) -> None:
        """Leave out requests' own list of authorities."""

    def close(self) -> None:
        self._pool.close()
        super().close()


def session(address: tuple[str, int], route: Route, context: ssl.SSLContext | None) -> requests.Session:
    """Return a session for one server, over TLS when there is a context. It keeps its connection, and no cookies."""
    host, port = address
    pool: HTTPConnectionPool
    if context is None:
        pool = _Pool(host, port, maxsize=1, route=route)
    else:
        pool = _TlsPool(host, port, maxsize=1, route=route, ssl_context=context)
    http_session = requests.Session()
    http_session.trust_env = False
    http_session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    # No compression: what is counted and cut is what was sent.
    http_session.headers.clear()
    http_session.headers.update({"User-Agent": "samaops", "Accept": "*/*", "Accept-Encoding": "identity"})
    for scheme in ("http://", "https://"):
        http_session.mount(scheme, _Adapter(pool))
    return http_session


def root_of(error: BaseException) -> BaseException:
    """Return the error of the socket or of http.client that lies under those of requests and urllib3."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OSError, http.client.HTTPException)) and not isinstance(
            cause, requests.RequestException
        ):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def milliseconds_since(started: float) -> float:
    """Return the milliseconds since a moment of the monotonic clock."""
    return round(max(0.0, time.monotonic() - started) * 1000, 2)
