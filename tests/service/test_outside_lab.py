"""The lab's balancer answers for its members, which are well: the verdict is outside our sight, with the request to the team."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.service.lab_fixture import RunningLab
from tests.service.postgres_server import eventually

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]
PAGE = "location / {\n            default_type text/html; return 200 '<h1>Maintenance</h1>';"


def shows_the_page(lab: RunningLab) -> bool:
    report, _code = lab.diagnose("--only", "loadbalancer.vip")
    return any(
        finding["code"] == "loadbalancer.vip.wrong_body" and finding["status"] == "critical"
        for finding in report["findings"]
    )


@contextmanager
def maintenance_page(lab: RunningLab) -> Iterator[None]:
    """Have the balancer answer all with a page of its own, status 200."""
    balancer = lab.layout.directory / "outside" / "balancer"
    before = (balancer / "nginx.conf").read_text()
    pid = int((balancer / "nginx.pid").read_text())
    assert before.count("location / {") == 1
    try:
        (balancer / "nginx.conf").write_text(before.replace("location / {", PAGE))
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: shows_the_page(lab), 60)
        yield
    finally:
        (balancer / "nginx.conf").write_text(before)
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: not shows_the_page(lab), 60)


def test_a_page_of_the_balancer_is_nobody_of_ours(whole_lab: RunningLab) -> None:
    with maintenance_page(whole_lab):
        report, code = whole_lab.diagnose("--only", "loadbalancer.vip,api")
        words = (*whole_lab.calm, "troubleshoot", "api-down", "-o", "json")
        offered = json.loads(whole_lab.samaops(*words).stdout)
    assert code == 2
    (cause,) = [one for one in report["causes"] if one["subject"] == "loadbalancer/vip"]
    assert (cause["id"], cause["verdict"], cause["outside"]) == ("outside-balancer", "inconclusive", True)
    (cause,) = [one for one in offered["causes"] if one["id"] == "outside-balancer"]
    assert [fix["id"] for fix in cause["fixes"]] == ["network.balancer_inside"]
