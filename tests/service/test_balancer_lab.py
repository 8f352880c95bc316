"""The lab's balancer under requests: a member leaves the pool and comes back, and no customer notices."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.service import balancer_load
from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]
API_1 = "127.101.0.2:8001"
JSON = ("--yes", "-o", "json")


class Load:
    """Requests that go on meanwhile."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def since_then(self) -> dict[str, int]:
        """Return how the requests since the last time ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        since: dict[str, int] = json.loads(self._process.stdout.readline())["since"]
        return since

    def all(self) -> dict[str, int]:
        """End them, and return how all ended."""
        counts: dict[str, int] = json.loads(self._process.communicate(timeout=30)[0].splitlines()[-1])[
            "counts"
        ]
        return counts


@contextmanager
def requests_through(lab: RunningLab) -> Iterator[Load]:
    program = Path(balancer_load.__file__)
    command = [*lab.network, sys.executable, str(program)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Load(process)
    finally:
        with suppress(ValueError):
            process.communicate(timeout=30)


def changed(lab: RunningLab, *words: str, code: int = 0) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(lab.samaops("--lab", *words, *JSON, expected=code).stdout)
    return report


def states(lab: RunningLab) -> dict[str, str]:
    listed = json.loads(lab.samaops("--lab", "balancer", "list", "-o", "json", expected=0).stdout)
    return {row["instance"]: row["setting"] for row in listed["balancer_members"]}


def test_a_member_leaves_and_comes_back_and_no_request_fails(whole_lab: RunningLab) -> None:
    with requests_through(whole_lab) as load:
        time.sleep(1)
        assert set(load.since_then()) == {"200 api_1", "200 api_2"}
        drained = changed(whole_lab, "balancer", "drain", "api_1")
        assert drained["actions"][0]["status"] == "verified"
        assert "no connection any more" in drained["actions"][0]["result"]
        load.since_then()
        time.sleep(1)
        assert set(load.since_then()) == {"200 api_2"}, "those with its cookie go to the other"
        assert states(whole_lab) == {"api_1": "offline", "api_2": "enabled"}
        refused = changed(whole_lab, "balancer", "drain", "api_2", code=77)
        assert "0 of 1 other members would serve" in refused["errors"][0]["message"]
        report, _code = whole_lab.diagnose("--only", "loadbalancer")
        (finding,) = [one for one in report["findings"] if one["status"] != "ok"]
        assert (finding["code"], finding["subject"]) == ("loadbalancer.member.down", "loadbalancer/api_1")
        changed(whole_lab, "undo", "last")
        assert states(whole_lab) == {"api_1": "enabled", "api_2": "enabled"}
        changed(whole_lab, "balancer", "drain", API_1)
        enabled = changed(whole_lab, "balancer", "enable", "api_1")
        assert enabled["actions"][0]["status"] == "verified"
        load.since_then()
        time.sleep(1)
        assert set(load.since_then()) == {"200 api_1", "200 api_2"}
        counts = load.all()
    assert set(counts) == {"200 api_1", "200 api_2"}, counts
    assert sum(counts.values()) > 500, counts


DRAIN = """
import json, sys
from pathlib import Path
from samaops.changes.run import operations
from samaops.config.load import load
from samaops.model.plan import Operation
from samaops.site.site import Site
site = Site(load(Path(sys.argv[1])))
outcome = operations.run(Operation("balancer.drain", json.loads(sys.stdin.readline()), "api"), site)
sys.stdout.write(json.dumps([outcome.is_ok, outcome.output, outcome.measured]))
"""


@contextmanager
def drainer(lab: RunningLab) -> Iterator[Callable[[float, float], dict[str, Any]]]:
    """Yield what takes api_1 out at once, with so long a wait and such a watchdog, and returns what was measured."""
    command = [*lab.network, sys.executable, "-c", DRAIN, str(lab.layout.config_file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def drain(within: float, guard_seconds: float) -> dict[str, Any]:
        of = {"member": "api_1", "within": within, "earlier": "enabled", "guard_seconds": guard_seconds}
        answer = process.communicate(json.dumps(of) + "\n", timeout=60)[0]
        is_ok, output, measured = json.loads(answer)
        assert is_ok, output
        return dict(measured)

    try:
        yield drain
    finally:
        process.kill()
        process.wait(10)


def test_a_request_that_takes_long_is_waited_for(whole_lab: RunningLab) -> None:
    """PostgreSQL lets it wait: its table is locked for some seconds, fewer than the application's own patience."""
    statements = ("BEGIN", "LOCK TABLE consumption IN ACCESS EXCLUSIVE MODE", "SELECT pg_sleep(3)", "COMMIT")
    psql = ["db", "psql", "--", "-U", "postgres", *(word for each in statements for word in ("-c", each))]
    command = [*whole_lab.network, sys.executable, "-m", "samaops", *whole_lab.calm, *psql]
    with drainer(whole_lab) as drain:
        time.sleep(2)
        locking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert locking.stdout is not None
            assert [locking.stdout.readline().strip() for _statement in range(2)] == ["BEGIN", "LOCK TABLE"]
            url = f"http://{balancer_load.ADDRESS}:{balancer_load.PORT}/api/consumption/19999"
            cookie = "Cookie: SAMACONSOSERVERID=api_1"
            curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", cookie, url]
            waiting = subprocess.Popen([*whole_lab.network, *curl], stdout=subprocess.PIPE, text=True)
            time.sleep(0.3)
            measured = drain(30, 0)
            assert waiting.communicate(timeout=10)[0] == "200"
        finally:
            locking.communicate(timeout=20)
            changed(whole_lab, "balancer", "enable", "api_1")
    assert (measured["connections_before"], measured["connections"]) == (1, 0)
    assert measured["seconds"] > 0.8, "it was waited for"


def test_a_member_that_does_not_serve_is_not_put_back(whole_lab: RunningLab) -> None:
    changed(whole_lab, "balancer", "drain", "api_1")
    whole_lab.samaops("lab", "break", "api-container-stopped", expected=0)
    try:
        refused = changed(whole_lab, "balancer", "enable", "api_1", code=77)
        assert "does not serve on its own health path" in refused["errors"][0]["message"]
        assert states(whole_lab)["api_1"] == "offline"
    finally:
        whole_lab.samaops("lab", "heal", "api-container-stopped", expected=0)
    changed(whole_lab, "balancer", "enable", "api_1")


def test_a_watchdog_puts_a_member_of_the_lab_back(whole_lab: RunningLab) -> None:
    with drainer(whole_lab) as drain:
        drain(0.5, 3)
    assert states(whole_lab)["api_1"] == "offline"
    ends_at = time.monotonic() + 20
    while states(whole_lab)["api_1"] != "enabled":
        assert time.monotonic() < ends_at
        time.sleep(0.5)
