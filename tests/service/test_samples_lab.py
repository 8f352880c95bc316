"""A look at a whole site that is well, and at one whose member is stopped; what is kept of it answers a report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.timeout(170)]


def kept(lab: RunningLab, subject: str) -> dict[str, Any]:
    """Return the availability of a subject in the last hours."""
    done = lab.samaops("--lab", "report", "availability", "--since", "3h", "-o", "json", expected=0)
    rows = json.loads(done.stdout)["availability"]
    return next(row for row in rows if row["subject"] == subject)


def looked(lab: RunningLab) -> dict[str, str]:
    """Take a look, and return the subjects that are not up."""
    done = lab.samaops("--lab", "maintain", "sample", expected=0)
    return dict(
        each.strip().rsplit(" ", 1) for each in done.stderr.partition("time; ")[2].split(";") if each.strip()
    )


def test_a_member_that_is_stopped_is_down_and_the_service_is_not(whole_lab: RunningLab) -> None:
    if not whole_lab.site.has_containers:
        pytest.skip("the lab has no containers here")
    assert {name: state for name, state in looked(whole_lab).items() if state in ("down", "unobserved")} == {}
    before = kept(whole_lab, "service/vip")
    assert before["up_minutes"] + before["degraded_minutes"] >= 1
    whole_lab.samaops("lab", "break", "api-container-stopped", expected=0)
    try:
        seen = looked(whole_lab)
        assert [name for name, state in seen.items() if state == "down"] == ["member/api_1"]
    finally:
        whole_lab.samaops("lab", "heal", "api-container-stopped", expected=0)
    shown = whole_lab.samaops("--lab", "report", "kpi", "--since", "3h", "-o", "json", expected=0)
    assert len(json.loads(shown.stdout)["kpi"]) == 6
    whole_lab.samaops("--lab", "report", "capacity", "--since", "3h", "-o", "json", expected=0)
