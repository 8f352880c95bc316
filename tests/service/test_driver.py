"""The driver of PostgreSQL in a process of its own: the same answers, the same faults, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from samaops.clients import driver
from tests.service import faulty
from tests.service.postgres_server import (
    PostgresServer,
    eventually,
    postgres_server,  # noqa: F401 - a fixture
)

Address = tuple[str, int]
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one core there is no second process"),
]

# A program of its own: the process of the tests has threads, and must not be forked. It prints one JSON document.
PROGRAM = """
import json, os, signal, sys, time
from samaops.clients import driver, footprint
from samaops.clients.errors import ClientError

parameters, act = json.loads(sys.argv[1]), sys.argv[2]
driver.start()
tally = footprint.open_tally()
def tell(**words): print(json.dumps(words, default=str), flush=True)
def ended():
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True
child = driver._driver.pid
started = time.monotonic()
try:
    if act == "killed before":
        os.kill(child, signal.SIGKILL)
        time.sleep(0.3)
    session = driver.session(parameters, 3.0, 1.0)
    far = type(session).__name__ == "_FarSession"
    session.connect()
    if act == "killed between":
        os.kill(child, signal.SIGKILL)
    if act == "wait":
        tell(child=child)
        time.sleep(30)
    if act == "sleep":
        session.query("SELECT pg_sleep(30)")
    rows = session.query(
        "SELECT 1 AS a, 'x' AS b, timestamptz '2026-01-31 03:12:00.25+00' AS c, 1.5::numeric AS d, NULL AS e, ARRAY[1,2] AS f, %(given)s AS g",
        {"given": "it's"},
    )
    took = session.query_ms("SELECT 1")
    version = session.parameter("server_version")
    session.close()
    driver.stop()
    tell(far=far, types=[type(one).__name__ for one in rows[0].values()], rows=rows, took=took, version=version,
         counted=[tally.footprint().connections, tally.footprint().commands],
         bytes_read=tally.footprint().bytes_read, loaded="psycopg" in sys.modules, ended=ended())
except ClientError as error:
    seconds = time.monotonic() - started
    driver.stop()
    tell(kind=error.kind.value, message=error.message, stage=error.stage, seconds=seconds, ended=ended())
"""


def program(parameters: dict[str, Any], act: str = "") -> list[str]:
    return [sys.executable, "-c", PROGRAM, json.dumps(parameters), act]


def run(parameters: dict[str, Any], act: str = "") -> Any:
    done = subprocess.run(program(parameters, act), capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    return json.loads(done.stdout)


def parameters_of(server: PostgresServer, **changes: Any) -> dict[str, Any]:
    settings = server.settings()
    assert settings.password is not None
    return {
        "host": str(settings.host),
        "port": settings.port,
        "dbname": settings.database,
        "user": settings.user,
        "password": settings.password.reveal(),
        "gssencmode": "disable",
        "application_name": "samaops-driver-test",
        **changes,
    }


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:  # noqa: F811
    return postgres_server


def test_it_answers_what_a_session_here_answers(server: PostgresServer) -> None:
    far, near = run(parameters_of(server)), run(parameters_of(server), "killed before")

    assert (far["far"], far["loaded"], near["far"], near["loaded"]) == (True, False, False, True)
    assert far["types"] == near["types"] == ["int", "str", "datetime", "Decimal", "NoneType", "list", "str"]
    assert far["rows"][0]["g"] == "it's"
    assert far["counted"] == near["counted"] == [1, 2]
    assert far["bytes_read"] == near["bytes_read"] > 10
    assert far["version"] == near["version"]
    assert 0 < far["took"] < 1000
    assert far["ended"]


@pytest.mark.parametrize(
    ("changes", "kind", "stage"),
    [
        ({"password": "wrong"}, "authentication", "login"),
        ({"dbname": "absent"}, "missing", "login"),
        ({"port": 1}, "refused", "connect"),
    ],
)
def test_a_refusal_comes_back_with_its_kind_and_stage(
    server: PostgresServer, changes: dict[str, Any], kind: str, stage: str
) -> None:
    said = run(parameters_of(server, **changes))

    assert (said["kind"], said["stage"]) == (kind, stage)
    assert said["ended"]


@pytest.mark.parametrize(
    ("server_of", "kind", "stage"),
    [(faulty.silent, "silent", "connect"), (faulty.hanging, "no_answer", "login")],
)
def test_a_server_that_says_nothing_costs_the_time_of_the_connection(
    server: PostgresServer, server_of: Callable[[], AbstractContextManager[Address]], kind: str, stage: str
) -> None:
    with server_of() as (host, port):
        said = run(parameters_of(server, host=host, port=port))

    assert (said["kind"], said["stage"]) == (kind, stage)
    assert said["seconds"] < 2.5


def test_a_query_that_hangs_is_over_in_time(server: PostgresServer) -> None:
    said = run(parameters_of(server), "sleep")

    assert said["kind"] == "no_answer"
    assert 2.5 < said["seconds"] < 4.5
    assert said["ended"]


def test_when_it_dies_that_is_said_and_nothing_hangs(server: PostgresServer) -> None:
    said = run(parameters_of(server), "killed between")

    assert (said["kind"], said["seconds"] < 2) == ("error", True)
    assert "has ended" in said["message"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_process_that_began_it(server: PostgresServer, number: int) -> None:
    with subprocess.Popen(
        program(parameters_of(server), "wait"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = json.loads(process.stdout.readline())["child"]
        assert Path(f"/proc/{child}").exists()
        process.send_signal(number)
        process.wait(5)
        # Nobody need wait for it: its parent is gone, and the machine's first process may take its time to notice.
        assert eventually(lambda: _has_ended(child), 3)


def _has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_without_it_a_session_is_made_here() -> None:
    assert driver._driver is None
    session = driver.session({"host": "127.0.0.1"}, 1.0, 1.0)
    assert type(session).__module__ == "samaops.clients.libpq"
