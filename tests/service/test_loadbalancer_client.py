"""The virtual address against real sockets, and the F5's iControl REST on its documented answers."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from samaops.config.settings import Settings
from samaops.model.status import Status
from tests.service import faulty
from tests.service.documented import data
from tests.service.looking import Look, look

pytestmark = pytest.mark.service
RUNNING = b'{"message": "SAMA CONSO", "version": "2.0.0", "status": "running"}'
POOL = "/mgmt/tm/ltm/pool/~Common~samaconso_api_pool"
VIRTUAL = "/mgmt/tm/ltm/virtual/~Common~samaconso_api_vip/stats"
MONITOR = "/mgmt/tm/ltm/monitor/http/~Common~http_health_samaconso"
F5_URL = "https://f5.test"
CANARY = "canary-f5-password"
MEMBER_2 = f"https://localhost{POOL}/members/~Common~10.101.0.2:8002/stats"
SUBJECT_1, SUBJECT_2 = "loadbalancer/10.101.0.2:8001", "loadbalancer/10.101.0.2:8002"


def vip(url: str, timeout: float = 1.5) -> Look:
    return look(
        Settings.model_validate({"loadbalancer": {"url": url, "timeout": timeout}}), "loadbalancer.vip"
    )


def test_a_healthy_virtual_address_is_ok() -> None:
    answer = faulty.http_response(RUNNING, headers="Server: uvicorn\r\n")
    with faulty.answering(answer) as (host, port):
        seen = vip(f"http://{host}:{port}")
    assert {key for key in seen.bad() if "latency" not in key} == set(), seen.summary()


WRITERS = {
    "the balancer": ("502 Bad Gateway", b"<html>502</html>", "Server: nginx\r\nContent-Type: text/html\r\n"),
    "a member": ("503 Service Unavailable", b'{"error": "x"}', "Server: uvicorn\r\n"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_an_error_names_who_wrote_it(writer: str) -> None:
    status, body, headers = WRITERS[writer]
    with faulty.answering(faulty.http_response(body, status, headers)) as (host, port):
        finding = vip(f"http://{host}:{port}").one("loadbalancer.vip.failing")
    assert finding.status is Status.CRITICAL
    assert finding.evidence["written_by"] == writer.rpartition(" ")[2]
    assert f"written by {writer}" in finding.title


def test_another_page_is_a_wrong_body() -> None:
    with faulty.answering(faulty.http_response(b"<html>It works!</html>")) as (host, port):
        assert vip(f"http://{host}:{port}").status("loadbalancer.vip.wrong_body") is Status.CRITICAL


VIP_FAULTS = {
    "refused": (faulty.refused_port, "refused"),
    "silent": (faulty.silent, "silent"),
    "hanging": (faulty.hanging, "no_answer"),
    "reset as an F5 without members": (faulty.closing, "closed"),
    "garbage": (faulty.garbage, "garbage"),
}


@pytest.mark.parametrize("fault", VIP_FAULTS)
def test_a_broken_virtual_address_is_told_by_its_kind(fault: str) -> None:
    server, kind = VIP_FAULTS[fault]
    with server() as (host, port):
        finding = vip(f"http://{host}:{port}", 0.7).one("loadbalancer.vip.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.CRITICAL, kind)


def test_an_untrusted_certificate_of_the_virtual_address_is_told() -> None:
    with faulty.answering(faulty.http_response(RUNNING), tls=True) as (host, port):
        finding = vip(f"https://{host}:{port}").one("loadbalancer.vip.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.CRITICAL, "tls")


def answers(**changes: Any) -> dict[str, tuple[int, Any]]:
    """Return the healthy answers of an F5, some of them changed."""
    healthy = {
        f"{POOL}/members/stats": (200, data("loadbalancer/members_stats.json")),
        POOL: (200, data("loadbalancer/pool.json")),
        VIRTUAL: (200, data("loadbalancer/virtual_stats.json")),
        MONITOR: (200, data("loadbalancer/monitor.json")),
    }
    paths = {"members": f"{POOL}/members/stats", "pool": POOL, "virtual": VIRTUAL, "monitor": MONITOR}
    return healthy | {paths[name]: value for name, value in changes.items()}


def members_with(**entries: str) -> tuple[int, Any]:
    """Return the members' statistics with some words of the second member changed."""
    stats = copy.deepcopy(data("loadbalancer/members_stats.json"))
    inner = stats["entries"][MEMBER_2]["nestedStats"]["entries"]
    for name, words in entries.items():
        inner[name.replace("__", ".")] = {"description": words}
    return 200, stats


@contextmanager
def mocked(documented: Mapping[str, tuple[int, Any]]) -> Iterator[responses.RequestsMock]:
    """Answer as an F5 that knows these paths; any other is 404."""

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        status, value = documented.get(request.path_url, (404, {"code": 404, "message": "not found"}))
        return status, {}, json.dumps(value)

    with responses.RequestsMock() as mock:
        mock.add_callback(responses.GET, re.compile(re.escape(F5_URL)), answer)
        yield mock


def f5(url: str, timeout: float = 1.5) -> Look:
    bigip = {"url": url, "username": "reader", "password": CANARY}
    settings = {"loadbalancer": {"url": "http://127.0.0.1:1", "timeout": timeout, "bigip": bigip}}
    parts = ("management", "member", "pool", "virtual", "monitor")
    return look(Settings.model_validate(settings), *(f"loadbalancer.{part}" for part in parts))


def test_a_healthy_f5_is_read_with_get_alone() -> None:
    with mocked(answers()) as mock:
        seen = f5(F5_URL)
        requests = [call.request for call in mock.calls]
    assert not seen.bad(), seen.summary()
    assert {request.method for request in requests} == {"GET"}
    assert all(request.headers["Authorization"].startswith("Basic ") for request in requests)
    assert seen.one("loadbalancer.member.down", SUBJECT_1).status is Status.OK
    assert CANARY not in repr(seen)


def test_a_member_down_by_its_monitor_is_critical_with_the_f5s_reason() -> None:
    reason = "Pool member has been marked down by a monitor"
    down = members_with(
        status__availabilityState="offline", monitorStatus="down", status__statusReason=reason
    )
    with mocked(answers(members=down)):
        seen = f5(F5_URL)
    finding = seen.one("loadbalancer.member.down", SUBJECT_2)
    assert (finding.status, finding.evidence["forced"]) == (Status.CRITICAL, False)
    assert reason in finding.title
    assert seen.status("loadbalancer.pool.down") is Status.OK


def test_a_member_at_its_connection_limit_is_a_warning_and_not_down_by_its_monitor() -> None:
    reason = "The pool member's connection limit has been reached"
    full = members_with(status__availabilityState="unavailable", status__statusReason=reason)
    with mocked(answers(members=full)):
        finding = f5(F5_URL).one("loadbalancer.member.down", SUBJECT_2)
    assert finding.status is Status.WARNING
    assert "limit" in finding.title
    assert "monitor" not in finding.title


@pytest.mark.parametrize(
    ("node", "name"),
    [("/Common/10.101.0.2%2", "10.101.0.2%2:8002"), ("/Common/2001:db8::2%2", "[2001:db8::2%2]:8002")],
)
def test_a_route_domain_and_an_ipv6_address_keep_their_port_apart(node: str, name: str) -> None:
    with mocked(answers(members=members_with(nodeName=node))):
        assert f5(F5_URL).status("loadbalancer.member.down", f"loadbalancer/{name}") is Status.OK


def test_a_member_of_which_the_f5_tells_no_state_is_unknown() -> None:
    stats = copy.deepcopy(data("loadbalancer/members_stats.json"))
    del stats["entries"][MEMBER_2]["nestedStats"]["entries"]["status.availabilityState"]
    with mocked(answers(members=(200, stats))):
        assert f5(F5_URL).status("loadbalancer.member.down", SUBJECT_2) is Status.UNKNOWN


FORCED = {
    "forced offline": {"status__availabilityState": "offline", "status__statusReason": "Forced down"},
    "disabled": {"status__statusReason": "Pool member is available, user disabled"},
}


@pytest.mark.parametrize("how", FORCED)
def test_a_member_a_person_took_out_is_a_warning_and_told_apart(how: str) -> None:
    taken_out = members_with(status__enabledState="disabled", sessionStatus="user-disabled", **FORCED[how])
    with mocked(answers(members=taken_out)):
        finding = f5(F5_URL).one("loadbalancer.member.down", SUBJECT_2)
    assert (finding.status, finding.evidence["forced"]) == (Status.WARNING, True)


def test_a_pool_without_a_member_left_is_critical() -> None:
    stats = copy.deepcopy(data("loadbalancer/members_stats.json"))
    for entry in stats["entries"].values():
        entry["nestedStats"]["entries"]["status.availabilityState"] = {"description": "offline"}
    with mocked(answers(members=(200, stats))):
        seen = f5(F5_URL)
    assert seen.status("loadbalancer.pool.down") is Status.CRITICAL


MONITORS: dict[str, dict[str, tuple[int, Any]]] = {
    "no receive string": {"monitor": (200, {"name": "http_health_samaconso", "send": "GET /\r\n"})},
    "receive none": {"monitor": (200, {"name": "http_health_samaconso", "recv": "none"})},
    "only tcp": {"monitor": (404, {"code": 404})},
    "no monitor": {"pool": (200, {"name": "samaconso_api_pool"})},
}


@pytest.mark.parametrize("which", MONITORS)
def test_a_monitor_that_takes_any_answer_is_a_warning(which: str) -> None:
    with mocked(answers(**MONITORS[which])):
        assert f5(F5_URL).status("loadbalancer.monitor.weak") is Status.WARNING


def test_a_pool_with_several_monitors_needs_one_that_looks() -> None:
    pool = (200, {"monitor": "min 1 of { /Common/tcp /Common/http_health_samaconso }"})
    with mocked(answers(pool=pool)):
        assert f5(F5_URL).status("loadbalancer.monitor.weak") is Status.OK


def test_a_disabled_virtual_server_is_critical() -> None:
    stats = copy.deepcopy(data("loadbalancer/virtual_stats.json"))
    entry = next(iter(stats["entries"].values()))["nestedStats"]["entries"]
    entry["status.enabledState"] = {"description": "disabled"}
    with mocked(answers(virtual=(200, stats))):
        assert f5(F5_URL).status("loadbalancer.virtual.down") is Status.CRITICAL


def test_a_part_that_may_not_be_read_is_unknown_alone() -> None:
    with mocked(answers(virtual=(403, {}))):
        seen = f5(F5_URL)
    assert seen.bad() == {"loadbalancer.virtual.down@loadbalancer/bigip"}
    assert seen.status("loadbalancer.virtual.down") is Status.UNKNOWN


@pytest.mark.parametrize(("status", "kind"), [(401, "authentication"), (403, "permission"), (404, "missing")])
def test_a_refusal_of_the_f5_is_unknown(status: int, kind: str) -> None:
    with mocked(answers(members=(status, {"code": status}))):
        finding = f5(F5_URL).one("loadbalancer.management.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, kind)


MANAGEMENT_FAULTS: dict[str, Callable[[], AbstractContextManager[faulty.Address]]] = {
    "refused": faulty.refused_port,
    "hanging": faulty.hanging,
    "garbage": faulty.garbage,
    "drip": lambda: faulty.dripping(b"HTTP/1.1 200 OK\r\n", 0.2),
}


@pytest.mark.parametrize("fault", MANAGEMENT_FAULTS)
def test_a_management_interface_that_is_down_is_unknown_and_no_outage(fault: str) -> None:
    with MANAGEMENT_FAULTS[fault]() as (host, port):
        started = time.monotonic()
        finding = f5(f"http://{host}:{port}", 0.7).one("loadbalancer.management.unreachable")
        took = time.monotonic() - started
    assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, "dependency")
    assert took < 2.5


@pytest.mark.parametrize(
    "value", [[], {"entries": []}, {"entries": {"x": 1}}, {"entries": {"x": {"nestedStats": 2}}}]
)
def test_statistics_of_another_shape_do_not_break_the_look(value: Any) -> None:
    with mocked(answers(members=(200, value))):
        seen = f5(F5_URL)
    assert seen.bad()
