"""External SQL Servers, stood in for by a real PostgreSQL over the real psqlODBC: which rung breaks."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyodbc
import pytest

from samaops.clients import sqlserver as client
from samaops.config.settings import Settings, SqlServer
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.service import faulty
from tests.service.looking import Look, look
from tests.service.postgres_server import PASSWORD, PostgresServer, postgres_server

pytestmark = pytest.mark.service
__all__ = ["postgres_server"]
DRIVER = "PostgreSQL Unicode"
CANARY = "canary-{of};the=odbc}driver"


@pytest.fixture(autouse=True)
def _needs_psqlodbc() -> None:
    if DRIVER not in pyodbc.drivers():
        pytest.skip("needs the Debian package odbc-postgresql")


def entry(**changes: Any) -> dict[str, Any]:
    values = {
        "name": "sic",
        "driver": DRIVER,
        "host": "127.0.0.1",
        "database": "samaconso",
        "user": "samaops",
    }
    return {**values, "password": PASSWORD, "timeout": 2.5, **changes}


def seen(**changes: Any) -> Look:
    return look(Settings.model_validate({"sqlserver": [entry(**changes)]}), "sqlserver")


def test_a_healthy_server_holds_on_every_rung(postgres_server: PostgresServer) -> None:
    answer = seen(port=postgres_server.port)
    assert {key for key in answer.bad() if "latency" not in key} == set(), answer.summary()
    evidence = answer.one("sqlserver.latency.high").evidence
    assert all(evidence[rung] is not None for rung in ("name_ms", "port_ms", "login_ms", "query_ms"))
    assert evidence["broken_rung"] == ""


def test_no_connection_is_left_behind(postgres_server: PostgresServer) -> None:
    assert not {key for key in seen(port=postgres_server.port).bad() if "latency" not in key}
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'samaops'"
    ends_at = time.monotonic() + 5
    while postgres_server.run(query)[0][0] and time.monotonic() < ends_at:
        time.sleep(0.02)
    assert postgres_server.run(query)[0][0] == 0


def test_a_missing_driver_is_unknown_and_says_that_the_port_is_open(postgres_server: PostgresServer) -> None:
    answer = seen(port=postgres_server.port, driver="ODBC Driver 18 for SQL Server")
    finding = answer.one("sqlserver.driver.missing")
    assert finding.status is Status.UNKNOWN
    assert DRIVER in finding.evidence["installed"]
    assert answer.status("sqlserver.server.unreachable") is Status.OK
    assert answer.status("sqlserver.login.refused") is Status.SKIPPED
    assert answer.status("sqlserver.query.failing") is Status.SKIPPED


def test_a_driver_whose_library_cannot_be_opened_is_missing_too(
    postgres_server: PostgresServer, tmp_path: Any
) -> None:
    library = tmp_path / "broken.so"
    library.write_bytes(b"not a library")
    answer = seen(port=postgres_server.port, driver=str(library))
    assert answer.status("sqlserver.driver.missing") is Status.UNKNOWN
    assert answer.status("sqlserver.login.refused") is Status.SKIPPED


def test_the_drivers_library_can_be_named_by_its_path(postgres_server: PostgresServer) -> None:
    path = "/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so"
    answer = seen(port=postgres_server.port, driver=path)
    assert answer.status("sqlserver.query.failing") is Status.OK, answer.summary()


REFUSALS = {"password": {"password": CANARY}, "user": {"user": "nobody"}}


@pytest.mark.parametrize("wrong", REFUSALS)
def test_a_refused_log_in_is_unknown_and_the_password_never_shown(
    postgres_server: PostgresServer, wrong: str
) -> None:
    answer = seen(port=postgres_server.port, **REFUSALS[wrong])
    finding = answer.one("sqlserver.login.refused")
    assert finding.status is Status.UNKNOWN
    assert finding.evidence["broken_rung"] == "login"
    assert answer.status("sqlserver.server.unreachable") is Status.OK
    assert CANARY not in repr(answer)


def test_a_database_that_is_not_there_is_what_customers_miss_and_no_refused_log_in(
    postgres_server: PostgresServer,
) -> None:
    answer = seen(port=postgres_server.port, database="absent")
    finding = answer.one("sqlserver.database.unavailable")
    assert (finding.status, finding.evidence["broken_rung"]) == (Status.CRITICAL, "database")
    assert answer.status("sqlserver.login.refused") is Status.SKIPPED
    assert answer.status("sqlserver.server.unreachable") is Status.OK


def test_a_password_with_every_special_character_works(postgres_server: PostgresServer) -> None:
    postgres_server.run(f"CREATE ROLE special LOGIN PASSWORD '{CANARY}'")
    try:
        answer = seen(port=postgres_server.port, user="special", password=CANARY)
    finally:
        postgres_server.run("DROP ROLE special")
    assert answer.status("sqlserver.query.failing") is Status.OK, answer.summary()


def test_a_failing_query_is_critical_with_the_servers_words(postgres_server: PostgresServer) -> None:
    finding = seen(port=postgres_server.port, query="SELECT * FROM absent_table").one(
        "sqlserver.query.failing"
    )
    assert finding.status is Status.CRITICAL
    assert "absent_table" in finding.detail


def test_a_query_that_may_not_be_asked_is_unknown(postgres_server: PostgresServer) -> None:
    finding = seen(port=postgres_server.port, query="SELECT * FROM pg_authid").one("sqlserver.query.failing")
    assert finding.status is Status.UNKNOWN


def test_a_query_that_hangs_is_ended_in_time_and_critical(postgres_server: PostgresServer) -> None:
    started = time.monotonic()
    finding = seen(port=postgres_server.port, query="SELECT pg_sleep(30)").one("sqlserver.query.failing")
    assert finding.status is Status.CRITICAL
    assert finding.evidence["broken_rung"] == "query"
    assert time.monotonic() - started < 4.5


@pytest.fixture
def bad_driver(tmp_path: Path) -> Callable[[str], str]:
    """A driver, as a library in C, that does this when it is loaded."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")

    def build(act: str) -> str:
        source, library = tmp_path / "driver.c", tmp_path / "driver.so"
        source.write_text(
            "#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
            f"__attribute__((constructor)) static void load(void) {{ {act} }}\n"
        )
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        return str(library)

    return build


@pytest.mark.parametrize(
    ("act", "how"),
    [("raise(SIGSEGV);", "Segmentation fault"), ("abort();", "Aborted"), ("_exit(3);", "exit code 3")],
)
def test_a_driver_that_crashes_costs_its_own_look_alone(
    postgres_server: PostgresServer, bad_driver: Callable[[str], str], act: str, how: str
) -> None:
    driver = bad_driver(act)
    answer = seen(port=postgres_server.port, driver=driver)
    finding = answer.one("sqlserver.driver.missing")
    assert finding.status is Status.UNKNOWN
    assert finding.title == f"sic: the ODBC driver «{driver}» cannot be used here"
    assert finding.detail == f"the driver ended the process that used it: {how}"
    assert answer.status("sqlserver.server.unreachable") is Status.OK, "its port was open"
    assert answer.status("sqlserver.latency.high") is Status.SKIPPED


def test_a_driver_that_keeps_no_limit_is_ended(
    postgres_server: PostgresServer, bad_driver: Callable[[str], str]
) -> None:
    driver, started = bad_driver("sleep(60);"), time.monotonic()
    finding = seen(port=postgres_server.port, timeout=1.2, driver=driver).one("sqlserver.server.unreachable")
    assert (finding.evidence["kind"], finding.evidence["stage"]) == ("no_answer", "login")
    assert time.monotonic() - started < 4
    loaded = [path for path in Path("/proc").glob("[0-9]*/maps") if driver in _text_of(path)]
    assert loaded == [], "nothing of it is left"


def _text_of(path: Path) -> str:
    with contextlib.suppress(OSError):  # ended meanwhile
        return path.read_text(errors="replace")
    return ""


FAULTS: dict[str, tuple[Callable[[], AbstractContextManager[faulty.Address]], FailureKind, str]] = {
    "refused": (faulty.refused_port, FailureKind.REFUSED, "connect"),
    "silent": (faulty.silent, FailureKind.SILENT, "connect"),
    "hanging": (faulty.hanging, FailureKind.NO_ANSWER, "login"),
    "closing": (faulty.closing, FailureKind.CLOSED, "login"),
    "garbage": (faulty.garbage, FailureKind.GARBAGE, "login"),
    "drip": (lambda: faulty.dripping(b"R\x00\x00\x07\xd0", 0.3), FailureKind.NO_ANSWER, "login"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_server_is_told_by_kind_and_rung_and_in_time(
    fault: str,
) -> None:
    server, kind, stage = FAULTS[fault]
    with server() as (_host, port):
        started = time.monotonic()
        finding = seen(port=port, timeout=1.2).one("sqlserver.server.unreachable")
        took = time.monotonic() - started
    assert finding.status is Status.CRITICAL, finding
    assert (finding.evidence["kind"], finding.evidence["stage"]) == (kind.value, stage)
    assert took < 3.5


def test_a_name_that_does_not_resolve_is_the_name_rung() -> None:
    finding = seen(host="no-such-host.invalid").one("sqlserver.server.unreachable")
    assert (finding.evidence["kind"], finding.evidence["stage"]) == ("name", "name")


STRINGS = {
    "ODBC Driver 18 for SQL Server": "Server=10.1.2.3,1433;Database=SIC;UID=reader;PWD={a;b}}c};Encrypt=yes;",
    "FreeTDS": "Server=10.1.2.3;Port=1433;TDS_Version=7.4;Database=SIC;UID=reader;PWD={a;b}}c};Encrypt=yes;",
    "PostgreSQL Unicode": "Server=10.1.2.3;Port=1433;Database=SIC;UID=reader;PWD={a;b}}c};Encrypt=yes;",
}


@pytest.mark.parametrize("driver", STRINGS)
def test_the_connection_string_is_in_the_words_of_the_driver(driver: str) -> None:
    settings = SqlServer.model_validate(
        {
            "name": "sic", "driver": driver, "host": "10.1.2.3", "database": "SIC", "user": "reader",
            "password": "a;b}c", "options": {"Encrypt": "yes"},
        }
    )  # fmt: skip
    assert client.connection_string(settings) == f"Driver={{{driver}}};{STRINGS[driver]}"
