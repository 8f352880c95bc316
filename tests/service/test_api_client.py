"""API members: a real uvicorn with FastAPI, and members that are broken in each way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from samaops.config.settings import Settings
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.service import faulty
from tests.service.looking import Look, look
from tests.service.postgres_server import eventually, free_port

pytestmark = pytest.mark.service
RUNNING = {"message": "SAMA CONSO", "version": "2.0.0", "status": "running"}


@contextmanager
def member(body: Any = RUNNING, status: int = 200, *delays_seconds: float) -> Iterator[str]:
    """Run one API member in a thread and yield its URL; its answers take these times by turns."""
    app, delays = FastAPI(), cycle(delays_seconds or (0.0,))

    @app.get("/health")
    async def health() -> JSONResponse:
        await asyncio.sleep(next(delays))
        return JSONResponse(body, status_code=status)

    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def looked_at(*urls: str, timeout: float = 1.5) -> Look:
    members = [{"name": f"api_{number}", "url": url} for number, url in enumerate(urls, 1)]
    return look(Settings.model_validate({"api": {"instances": members, "timeout": timeout}}), "api")


def test_healthy_members_are_ok_and_told_with_their_figures() -> None:
    with member() as first, member() as second:
        seen = looked_at(first, second)
    seen_bad = {key for key in seen.bad() if "latency" not in key}  # other work on this machine may slow it
    assert not seen_bad, seen.summary()
    latency = seen.one("api.latency.high", "api/api_1")
    assert latency.evidence["guide_p99_ms"] == 30
    assert len(latency.evidence["samples_ms"]) >= 3
    assert seen.one("api.members.all_down").value == 2
    assert seen.snapshot.footprint.connections == 2  # one connection a member for all its samples


def test_a_member_that_answers_503_is_critical_and_its_writer_is_named() -> None:
    with member({"error": "no database"}, status=503) as url, member() as well:
        seen = looked_at(url, well)
    finding = seen.one("api.health.failing", "api/api_1")
    assert (finding.status, finding.value) == (Status.CRITICAL, 503)
    assert finding.evidence["server_header"] == "uvicorn"
    assert finding.evidence["written_by"] == "member"
    assert "no database" in finding.evidence["body"]
    assert seen.status("api.health.wrong_body", "api/api_1") is Status.SKIPPED
    assert seen.status("api.members.all_down") is Status.OK


@pytest.mark.parametrize("body", [{"status": "starting"}, {"hello": 1}, [1, 2], "running", None])
def test_status_200_with_another_body_is_critical(body: Any) -> None:
    with member(body) as url:
        seen = looked_at(url)
    assert seen.status("api.health.wrong_body") is Status.CRITICAL
    assert seen.status("api.health.failing") is Status.OK
    assert seen.status("api.members.all_down") is Status.CRITICAL


def test_different_versions_are_a_warning() -> None:
    with member() as first, member({**RUNNING, "version": "2.1.0"}) as second:
        finding = looked_at(first, second).one("api.version.differs")
    assert finding.status is Status.WARNING
    assert finding.evidence["versions"] == {"api_1": "2.0.0", "api_2": "2.1.0"}


def test_a_slow_member_is_judged_by_the_kpi_and_not_asked_again() -> None:
    with member(RUNNING, 200, 0.7) as url:
        seen = looked_at(url)
    finding = seen.one("api.latency.high")
    assert finding.status is Status.WARNING
    assert isinstance(finding.value, float)
    assert finding.value >= 700
    assert len(finding.evidence["samples_ms"]) <= 3
    assert seen.status("api.latency.slow_for_guide") is Status.WARNING


def test_a_member_that_was_never_quick_is_asked_some_more_and_no_more() -> None:
    with member(RUNNING, 200, 0.04, 0.08) as url:
        finding = looked_at(url, timeout=3).one("api.latency.slow_for_guide")
    assert finding.status is Status.WARNING
    assert len(finding.evidence["samples_ms"]) == 10


def test_a_member_that_is_as_far_each_time_is_not_asked_ten_times() -> None:
    with member(RUNNING, 200, 0.2) as url:
        finding = looked_at(url, timeout=3).one("api.latency.slow_for_guide")
    assert finding.status is Status.WARNING
    assert len(finding.evidence["samples_ms"]) < 10


FAULTS: dict[str, tuple[Callable[[], AbstractContextManager[faulty.Address]], FailureKind]] = {
    "container stopped": (faulty.refused_port, FailureKind.REFUSED),
    "event loop blocked": (faulty.hanging, FailureKind.NO_ANSWER),
    "backlog full": (faulty.silent, FailureKind.SILENT),
    "published port without a process": (faulty.closing, FailureKind.CLOSED),
    "another program on the port": (faulty.garbage, FailureKind.GARBAGE),
    "one byte a second": (lambda: faulty.dripping(b"HTTP/1.1 200 OK\r\n", 0.3), FailureKind.NO_ANSWER),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_member_is_told_by_its_kind_and_in_time(fault: str) -> None:
    server, kind = FAULTS[fault]
    with server() as (host, port):
        started = time.monotonic()
        seen = looked_at(f"http://{host}:{port}", timeout=0.7)
        took = time.monotonic() - started
    finding = seen.one("api.member.unreachable")
    assert finding.status is Status.CRITICAL
    assert finding.evidence["kind"] == kind.value
    assert seen.status("api.members.all_down") is Status.CRITICAL
    assert seen.status("api.latency.high") is Status.SKIPPED
    assert took < 2.5


def test_a_name_that_does_not_resolve_is_unknown_and_not_an_outage() -> None:
    seen = looked_at("http://no-such-host.invalid:8001")
    assert seen.status("api.member.unreachable") is Status.UNKNOWN
    assert seen.status("api.members.all_down") is Status.UNKNOWN


def test_a_server_that_ends_the_connection_after_one_answer_is_still_healthy() -> None:
    body = b'{"status": "running", "version": "2.0.0"}'
    with faulty.answering(faulty.http_response(body, headers="Server: uvicorn\r\n")) as (host, port):
        seen = looked_at(f"http://{host}:{port}")
    assert seen.status("api.health.failing") is Status.OK
    assert seen.status("api.health.wrong_body") is Status.OK


def test_a_hostile_body_is_kept_short() -> None:
    with member({"status": "\x1b[31m[red]x[/red]" + "y" * 10_000}) as url:
        finding = looked_at(url).one("api.health.wrong_body")
    assert finding.status is Status.CRITICAL
    assert len(str(finding.evidence["body_status"])) <= 200
    assert len(str(finding.evidence["body"])) <= 200
