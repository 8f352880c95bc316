"""Every check of the external SQL Servers on facts given as data."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.facts.sqlserver import SqlServerFacts
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.unit.checks.judged import failed, findings, observed, uncovered, with_fields
from tests.unit.checks.test_api import CRITICAL, OK, SKIPPED, UNKNOWN, WARNING

SETTINGS = Settings.model_validate({"sqlserver": [{"name": "sic", "host": "10.101.2.87"}]})
SUBJECT = "sqlserver/sic"
HEALTHY = SqlServerFacts(
    name="sic",
    address="10.101.2.87:1433",
    driver="ODBC Driver 18 for SQL Server",
    installed_drivers=("ODBC Driver 18 for SQL Server",),
    name_ms=0.2,
    port_ms=1.1,
    login_ms=30.0,
    query_ms=5.0,
    broken_rung="",
    failure_kind="",
    words="",
)
NO_DRIVER = {"broken_rung": "driver", "failure_kind": "missing", "login_ms": None, "query_ms": None}
NO_LOGIN = {"broken_rung": "login", "failure_kind": "authentication", "login_ms": None, "query_ms": None}
REFUSED = {**NO_LOGIN, "error_number": 18486}
NO_DATABASE = {**NO_LOGIN, "broken_rung": "database", "failure_kind": "missing", "database": "SIC"}
NO_QUERY = {"broken_rung": "query", "failure_kind": "no_answer", "query_ms": None, "words": "\x1b[31m[red]"}
CASES: list[tuple[str, dict[str, Any], Status]] = [
    ("sqlserver.server.unreachable", {}, OK),
    ("sqlserver.driver.missing", {}, OK),
    ("sqlserver.driver.missing", NO_DRIVER, UNKNOWN),
    ("sqlserver.driver.missing", NO_LOGIN, OK),
    ("sqlserver.login.refused", {}, OK),
    ("sqlserver.login.refused", NO_LOGIN, UNKNOWN),
    ("sqlserver.login.refused", NO_DRIVER, SKIPPED),
    ("sqlserver.login.refused", NO_QUERY, OK),
    ("sqlserver.login.refused", REFUSED, UNKNOWN),
    ("sqlserver.login.refused", NO_DATABASE, SKIPPED),
    ("sqlserver.database.unavailable", {}, OK),
    ("sqlserver.database.unavailable", NO_DATABASE, CRITICAL),
    ("sqlserver.database.unavailable", NO_LOGIN, SKIPPED),
    ("sqlserver.database.unavailable", NO_QUERY, OK),
    ("sqlserver.query.failing", {}, OK),
    ("sqlserver.query.failing", NO_QUERY, CRITICAL),
    ("sqlserver.query.failing", {**NO_QUERY, "failure_kind": "permission"}, UNKNOWN),
    ("sqlserver.query.failing", NO_LOGIN, SKIPPED),
    ("sqlserver.latency.high", {}, OK),
    ("sqlserver.latency.high", {"query_ms": 150.0}, WARNING),
    ("sqlserver.latency.high", {"query_ms": 500.0}, CRITICAL),
    ("sqlserver.latency.high", NO_QUERY, SKIPPED),
]


def test_every_check_has_its_cases() -> None:
    covered: dict[str, set[Status]] = {}
    for code, _changes, status in CASES:
        covered.setdefault(code, set()).add(status)
    assert uncovered("sqlserver", covered) == []


@pytest.mark.parametrize(("code", "changes", "status"), CASES)
def test_each_case_is_judged(code: str, changes: dict[str, Any], status: Status) -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, changes), SUBJECT))
    assert found[f"{code}@{SUBJECT}"].status is status


@pytest.mark.parametrize(
    ("changes", "code", "title"),
    [
        (REFUSED, "login.refused", "sic refuses our log-in: the account is locked"),
        (NO_LOGIN, "login.refused", "sic refuses our log-in"),
        (
            NO_DATABASE,
            "database.unavailable",
            "sic: the database SIC cannot be opened: offline, being restored, absent, or not open to this account",
        ),
        (
            {**NO_DATABASE, "error_number": 927},
            "database.unavailable",
            "sic: the database SIC cannot be opened: it is being restored",
        ),
    ],
)
def test_the_title_says_what_the_number_means(changes: dict[str, Any], code: str, title: str) -> None:
    found = findings(SETTINGS, observed(with_fields(HEALTHY, changes), SUBJECT))
    assert found[f"sqlserver.{code}@{SUBJECT}"].title == title


@pytest.mark.parametrize(
    ("kind", "status"),
    [(FailureKind.REFUSED, CRITICAL), (FailureKind.NO_ANSWER, CRITICAL), (FailureKind.NAME, UNKNOWN)],
)
def test_a_failed_look_is_told_by_the_access_check(kind: FailureKind, status: Status) -> None:
    found = findings(SETTINGS, failed(SqlServerFacts, SUBJECT, kind))
    assert found[f"sqlserver.server.unreachable@{SUBJECT}"].status is status
    assert found[f"sqlserver.query.failing@{SUBJECT}"].status is SKIPPED
