"""The lab's load: bounded, for this machine alone, and honest about what came of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from samaops.errors import RefusedError, UsageError
from samaops.lab import load
from samaops.lab.layout import QUEUE_PRIORITIES

PRIORITIES = tuple(QUEUE_PRIORITIES)


class Member(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(503)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Member) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "elsewhere",
    ["http://10.101.0.10:8080", "http://example.com", "http://localhost.example.com", "http://[::]", "x", ""],
)
def test_an_address_of_another_machine_is_refused(elsewhere: str) -> None:
    with pytest.raises(RefusedError, match="loopback"):
        load.run(1, 1, url=elsewhere)


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0, 1), (-1, 1), (4000, 1), (1, 0), (1, 1000), (float("nan"), 1)]
)
def test_what_is_out_of_bounds_is_refused(seconds: float, rate: float) -> None:
    with pytest.raises(UsageError):
        load.run(seconds, rate)


def test_the_plan_has_every_kind_and_every_priority_evenly() -> None:
    planned = load.plan(28, 10, PRIORITIES)
    kinds = Counter(request.kind for request in planned)
    assert len(planned) == 280
    assert set(kinds) == {"health", "consumption", *(f"notification {name}" for name in PRIORITIES)}
    assert {kinds[f"notification {name}"] for name in PRIORITIES} == {20}
    assert [request.due_seconds for request in planned] == [number / 10 for number in range(280)]


def test_every_request_has_an_outcome(url: str) -> None:
    result = load.run(1, 28, url=url)
    assert result.sent == sum(result.outcomes.values()) == 28
    assert result.outcomes["health 200"] == 4
    assert result.outcomes["consumption 200"] == 16
    assert result.outcomes["notification urgent 503"] == 2
    assert result.seconds < 5


def test_nobody_there_is_an_outcome_too() -> None:
    assert set(load.run(0.2, 10, url="http://127.0.0.1:1").outcomes) <= {
        "health connection failed",
        "consumption connection failed",
    }


def test_it_can_be_stopped_early(url: str) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    load.run(60, 5, url=url, stop=stop)
    assert time.monotonic() - began < 5


def test_progress_is_told(url: str) -> None:
    progress: list[tuple[int, int]] = []
    load.run(0.5, 10, url=url, on_progress=lambda sent, wanted: progress.append((sent, wanted)))
    assert progress[-1] == (5, 5)
