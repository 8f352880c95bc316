"""Prometheus and AlertManager on their documented answers, and broken in each way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from samaops.config.settings import Settings
from samaops.model.status import Status
from tests.service import faulty
from tests.service.documented import data, documented
from tests.service.looking import Look, look

pytestmark = pytest.mark.service
TARGETS = "/api/v1/targets?state=active"
RULES = "/api/v1/rules"
ALERTS = "/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=false"
SYSTEMS = {"prometheus": "prometheus.service.unreachable", "alertmanager": "alertmanager.service.unreachable"}


def seen(system: str, url: str, **changes: Any) -> Look:
    return look(Settings.model_validate({system: {"url": url, "timeout": 1.0, **changes}}), system)


def prometheus(targets: Any = None, rules: Any = None) -> dict[str, tuple[int, Any]]:
    return {
        TARGETS: (200, targets or data("prometheus/targets.json")),
        RULES: (200, rules or data("prometheus/rules.json")),
    }


def test_a_healthy_prometheus_is_ok_over_one_connection() -> None:
    with documented(prometheus()) as server:
        answer = seen("prometheus", server.url, username="ops", password="secret")
    assert not answer.bad(), answer.summary()
    assert answer.snapshot.footprint.connections == 1
    assert all(authorization for _method, _path, authorization in server.requests)


def test_a_prometheus_behind_a_path_is_found() -> None:
    with documented({f"/prometheus{path}": answer for path, answer in prometheus().items()}) as server:
        answer = seen("prometheus", f"{server.url}/prometheus/")
    assert not answer.bad(), answer.summary()


@pytest.mark.parametrize(("down", "status"), [(1, Status.WARNING), (2, Status.CRITICAL)])
def test_targets_that_are_down_are_named(down: int, status: Status) -> None:
    targets = copy.deepcopy(data("prometheus/targets.json"))
    for target in targets["data"]["activeTargets"][:down]:
        target |= {"health": "down", "lastError": "connection refused"}
    with documented(prometheus(targets)) as server:
        finding = seen("prometheus", server.url).one("prometheus.target.down")
    assert (finding.status, finding.value) == (status, down)
    assert finding.evidence["down"][0] == {
        "job": "node", "instance": "10.101.0.1:9100", "error": "connection refused",
    }  # fmt: skip


def test_a_prometheus_without_targets_measures_nothing() -> None:
    with documented(prometheus({"status": "success", "data": {"activeTargets": []}})) as server:
        assert seen("prometheus", server.url).status("prometheus.target.down") is Status.WARNING


def test_a_rule_that_fails_is_a_warning() -> None:
    rules = copy.deepcopy(data("prometheus/rules.json"))
    rules["data"]["groups"][0]["rules"][0] |= {"health": "err", "lastError": "many-to-many matching"}
    with documented(prometheus(rules=rules)) as server:
        finding = seen("prometheus", server.url).one("prometheus.rules.failing")
    assert (finding.status, finding.value) == (Status.WARNING, 1)


def test_rules_that_may_not_be_read_are_unknown_alone() -> None:
    with documented({**prometheus(), RULES: (403, {})}) as server:
        answer = seen("prometheus", server.url)
    assert answer.bad() == {"prometheus.rules.failing@prometheus/main"}
    assert answer.status("prometheus.rules.failing") is Status.UNKNOWN


def test_an_error_of_prometheus_is_unknown_with_its_words() -> None:
    with documented({TARGETS: (200, {"status": "error", "error": "query timed out"})}) as server:
        finding = seen("prometheus", server.url).one("prometheus.service.unreachable")
    assert finding.status is Status.UNKNOWN
    assert "query timed out" in finding.detail


def test_alerts_that_fire_are_counted_by_severity() -> None:
    with documented({ALERTS: (200, data("alertmanager/alerts.json"))}) as server:
        finding = seen("alertmanager", server.url).one("alertmanager.alerts.firing")
    assert (finding.status, finding.value) == (Status.CRITICAL, 2)
    assert finding.evidence["by_severity"] == {"critical": 1, "warning": 1}
    assert "DiskAlmostFull 10.101.0.1:9100" in finding.evidence["alerts"]


ALERT_LISTS = {
    "none": ([], Status.OK),
    "warning": ([{"labels": {"alertname": "A", "severity": "warning"}}], Status.WARNING),
    "info": ([{"labels": {"alertname": "Watchdog", "severity": "none"}}], Status.OK),
    "without severity": ([{"labels": {"alertname": "B"}}], Status.WARNING),
    "hostile": (
        [{"labels": {"alertname": "\x1b[31m[red]" + "x" * 10_000}}, 7, {"labels": 3}],
        Status.SKIPPED,  # what cannot be read may be worse than what can: the access finding says so
    ),
}


@pytest.mark.parametrize("which", ALERT_LISTS)
def test_alerts_decide_the_status(which: str) -> None:
    alerts, status = ALERT_LISTS[which]
    with documented({ALERTS: (200, alerts)}) as server:
        assert seen("alertmanager", server.url).status("alertmanager.alerts.firing") is status


FAULTS: dict[str, tuple[Callable[[], AbstractContextManager[faulty.Address]], Status, str]] = {
    "refused": (faulty.refused_port, Status.CRITICAL, "refused"),
    "hanging": (faulty.hanging, Status.CRITICAL, "no_answer"),
    "closing": (faulty.closing, Status.CRITICAL, "closed"),
    "garbage": (faulty.garbage, Status.CRITICAL, "garbage"),
    "drip": (lambda: faulty.dripping(b"HTTP/1.1 200 OK\r\n", 0.3), Status.CRITICAL, "no_answer"),
    "not JSON": (lambda: faulty.answering(faulty.http_response(b"<html>")), Status.CRITICAL, "garbage"),
    "another shape": (lambda: faulty.answering(faulty.http_response(b"3")), Status.CRITICAL, "garbage"),
    "password": (
        lambda: faulty.answering(faulty.http_response(b"{}", "401 Unauthorized")), Status.UNKNOWN, "authentication"
    ),
    "starting": (
        lambda: faulty.answering(faulty.http_response(b"{}", "503 Service Unavailable")),
        Status.CRITICAL, "unavailable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_server_is_told_by_its_kind(system: str, fault: str) -> None:
    server, status, kind = FAULTS[fault]
    with server() as (host, port):
        finding = seen(system, f"http://{host}:{port}").one(SYSTEMS[system])
    assert (finding.status, finding.evidence["kind"]) == (status, kind)
