"""The HTTP client against real sockets that misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from samaops.clients import footprint, http
from samaops.clients.errors import ClientError
from samaops.model.failure import FailureKind
from tests.service import faulty
from tests.service.documented import documented

pytestmark = pytest.mark.service
TIMEOUT = 0.6
HEAD = b"HTTP/1.1 200 OK\r\n"

FAULTS: dict[str, tuple[Callable[[], AbstractContextManager[faulty.Address]], FailureKind]] = {
    "refused": (faulty.refused_port, FailureKind.REFUSED),
    "silent": (faulty.silent, FailureKind.SILENT),
    "hanging": (faulty.hanging, FailureKind.NO_ANSWER),
    "closing": (faulty.closing, FailureKind.CLOSED),
    "garbage": (faulty.garbage, FailureKind.GARBAGE),
    "SSH banner": (lambda: faulty.garbage(b"SSH-2.0-OpenSSH_9.2\r\n"), FailureKind.GARBAGE),
    "drip in the status line": (lambda: faulty.dripping(b"HTTP/1.", 0.1), FailureKind.NO_ANSWER),
    "drip in the headers": (lambda: faulty.dripping(HEAD + b"X-Long: ", 0.1), FailureKind.NO_ANSWER),
    "drip in the body": (
        lambda: faulty.dripping(HEAD + b"Content-Length: 9999\r\n\r\n", 0.1),
        FailureKind.NO_ANSWER,
    ),
    "endless headers": (lambda: faulty.garbage(HEAD + b"X: y\r\n" * 500), FailureKind.GARBAGE),
    "endless line": (lambda: faulty.garbage(HEAD + b"X: " + b"y" * 200_000), FailureKind.GARBAGE),
    "bad chunk": (
        lambda: faulty.garbage(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
        FailureKind.CLOSED,
    ),
    "body cut short": (
        lambda: faulty.answering(HEAD + b"Content-Length: 100\r\n\r\nten bytes."),
        FailureKind.CLOSED,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_kind_and_ends_in_time(fault: str) -> None:
    server, kind = FAULTS[fault]
    with server() as (host, port):
        started = time.monotonic()
        with pytest.raises(ClientError) as caught:
            http.get(f"http://{host}:{port}/health", timeout=TIMEOUT)
    assert caught.value.kind is kind
    assert caught.value.message
    assert time.monotonic() - started < TIMEOUT + 1


TLS_FAULTS: dict[str, tuple[Callable[[], AbstractContextManager[faulty.Address]], FailureKind]] = {
    "untrusted certificate": (lambda: faulty.answering(b"", tls=True), FailureKind.TLS),
    "no TLS at all": (lambda: faulty.garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"), FailureKind.TLS),
    "hanging in the handshake": (faulty.hanging, FailureKind.NO_ANSWER),
    "closing in the handshake": (faulty.closing, FailureKind.CLOSED),
    "refused": (faulty.refused_port, FailureKind.REFUSED),
}


@pytest.mark.parametrize("fault", TLS_FAULTS)
def test_each_fault_of_tls_has_its_kind(fault: str) -> None:
    server, kind = TLS_FAULTS[fault]
    with server() as (host, port), pytest.raises(ClientError) as caught:
        http.get(f"https://{host}:{port}/", timeout=TIMEOUT)
    assert caught.value.kind is kind


def test_a_name_that_does_not_resolve_is_told_apart() -> None:
    with pytest.raises(ClientError) as caught:
        http.get("http://no-such-host.invalid/", timeout=TIMEOUT)
    assert caught.value.kind is FailureKind.NAME
    assert "no-such-host.invalid" in caught.value.message


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://", "http://u:canary@h:port/"])
def test_a_url_that_cannot_be_used_gives_a_clear_message(url: str) -> None:
    with pytest.raises(ClientError) as caught:
        http.get(url, timeout=TIMEOUT)
    assert caught.value.stage == "url"
    assert "canary" not in str(caught.value)


def test_an_answer_comes_with_its_times_headers_and_size() -> None:
    body = json.dumps({"status": "running"}).encode()
    tally = footprint.open_tally()
    with faulty.answering(faulty.http_response(body, headers="Server: uvicorn\r\n")) as (host, port):
        answer = http.get(f"http://{host}:{port}/health", timeout=TIMEOUT, auth=("admin", "secret"))
    assert (answer.status, answer.body, answer.headers["server"]) == (200, body, "uvicorn")
    assert 0 < answer.connect_ms < answer.total_ms
    assert 0 < answer.first_byte_ms <= answer.total_ms
    counted = tally.footprint()
    assert (counted.connections, counted.commands, counted.writes) == (1, 1, 0)
    assert counted.bytes_read > len(body)


def test_a_body_larger_than_the_limit_is_cut() -> None:
    with faulty.answering(faulty.http_response(b"x" * 100_000)) as (host, port):
        answer = http.get(f"http://{host}:{port}/", timeout=TIMEOUT, max_bytes=1000)
    assert len(answer.body) == 1000
    assert answer.is_truncated


def test_an_endless_body_is_cut() -> None:
    with faulty.garbage(HEAD + b"\r\n" + b"x" * 50_000) as (host, port):
        answer = http.get(f"http://{host}:{port}/", timeout=TIMEOUT, max_bytes=1000)
    assert answer.is_truncated


STATUSES = {
    "401 Unauthorized": FailureKind.AUTHENTICATION,
    "403 Forbidden": FailureKind.PERMISSION,
    "404 Not Found": FailureKind.MISSING,
    "500 Oops": FailureKind.UNAVAILABLE,
    "302 Found": FailureKind.ERROR,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_other_than_200_is_no_json(status: str) -> None:
    with (
        faulty.answering(faulty.http_response(b"{}", status)) as (host, port),
        pytest.raises(ClientError) as e,
    ):
        http.get_json(f"http://{host}:{port}/api/nodes", timeout=TIMEOUT)
    assert e.value.kind is STATUSES[status]
    assert e.value.message == f"HTTP {status[:3]}"
    assert e.value.stage == "/api/nodes"


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_garbage(body: bytes) -> None:
    with faulty.answering(faulty.http_response(body)) as (host, port), pytest.raises(ClientError) as caught:
        http.get_json(f"http://{host}:{port}/", timeout=TIMEOUT)
    assert caught.value.kind is FailureKind.GARBAGE


def test_json_larger_than_the_limit_is_refused() -> None:
    with (
        faulty.answering(faulty.http_response(b"[" + b"1," * 1000 + b"1]")) as (host, port),
        pytest.raises(ClientError) as caught,
    ):
        http.get_json(f"http://{host}:{port}/", timeout=TIMEOUT, max_bytes=100)
    assert caught.value.kind is FailureKind.ERROR


def test_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty.refused_port() as (host, port):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{host}:{port}")
        with faulty.answering(faulty.http_response(b"{}")) as address:
            assert http.get_json("http://{}:{}/".format(*address), timeout=TIMEOUT) == {}


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    with faulty.answering(b"", tls=True) as (host, port), pytest.raises(ClientError) as caught:
        http.get(f"https://{host}:{port}/", timeout=TIMEOUT, ca_file=tmp_path / "absent.pem")
    assert caught.value.kind is FailureKind.MISSING
    assert "absent.pem" in caught.value.message


def test_several_gets_share_a_connection_where_the_server_keeps_it() -> None:
    kept = faulty.http_response(b"{}").replace(b"Connection: close\r\n", b"")
    with faulty.garbage(kept) as (host, port), contextlib.ExitStack() as stack:
        tally = footprint.open_tally()
        connection = stack.enter_context(http.HttpConnection(f"http://{host}:{port}/", timeout=TIMEOUT))
        assert connection.get().connect_ms > 0
    assert tally.footprint().connections == 1


def test_the_limit_is_one_for_all_requests_of_a_connection() -> None:
    with documented({"/a": (200, {})}) as server:
        started = time.monotonic()
        with http.HttpConnection(server.url, timeout=TIMEOUT) as connection:
            with pytest.raises(ClientError) as caught:
                _ask_until(connection, started + TIMEOUT + 5)
            assert time.monotonic() - started < TIMEOUT + 1
            connection.limit.restart(5)  # it is too late for this
            with pytest.raises(ClientError):
                connection.get("/a")
    assert caught.value.kind is FailureKind.NO_ANSWER


def _ask_until(connection: http.HttpConnection, ends_at: float) -> None:
    while time.monotonic() < ends_at:
        connection.get("/a")


def test_a_limit_that_is_restarted_in_time_counts_anew() -> None:
    with documented({"/a": (200, {})}) as server:
        started = time.monotonic()
        with http.HttpConnection(server.url, timeout=5) as connection:
            while time.monotonic() - started < 1.2:
                connection.limit.restart(1)
                assert connection.get("/a").status == 200


def test_a_body_without_a_length_that_never_ends_is_no_answer() -> None:
    with faulty.dripping(HEAD + b"\r\n", 0.1) as (host, port), pytest.raises(ClientError) as caught:
        http.get(f"http://{host}:{port}/", timeout=TIMEOUT)
    assert caught.value.kind is FailureKind.NO_ANSWER
    assert caught.value.message == "no answer within 0.6 s"


def test_a_connection_is_used_again_and_opened_again_once_the_server_has_closed_it() -> None:
    with documented({"/a": (200, {}), "/b": (404, {})}) as server:
        tally = footprint.open_tally()
        with http.HttpConnection(server.url, timeout=5) as connection:
            assert connection.get("/a").connect_ms > 0
            again = connection.get("/b")
        assert (again.status, again.connect_ms) == (404, 0.0)
    assert tally.footprint().connections == 1
    with faulty.answering(faulty.http_response(b"{}")) as (host, port):
        tally = footprint.open_tally()
        with http.HttpConnection(f"http://{host}:{port}/", timeout=5) as connection:
            assert connection.get().connect_ms > 0
            assert connection.get().connect_ms > 0
        assert tally.footprint().connections == 2


def test_nothing_is_sent_or_followed_that_nobody_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {faulty.LOOPBACK} login somebody password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    asked: list[tuple[str, Message]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append((self.path, self.headers))
            self.send_response(302)
            for name, value in (("Set-Cookie", "a=b"), ("Location", "/elsewhere"), ("Content-Length", "0")):
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer((faulty.LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://user:canary@{faulty.LOOPBACK}:{server.server_address[1]}/a%2Fb?c=é"
        with http.HttpConnection(url, timeout=5) as connection:
            assert [connection.get().status, connection.get("/x y").status] == [302, 302]
        server.shutdown()
    assert [path for path, _headers in asked] == ["/a%2Fb?c=%C3%A9", "/x%20y"]
    for _path, headers in asked:
        assert sorted(name.lower() for name in headers) == ["accept", "accept-encoding", "host", "user-agent"]
        assert headers["Accept-Encoding"] == "identity"
