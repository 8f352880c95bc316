"""A canary through a whole lab: healthy, and with the way broken at each of its hops. It never reaches a customer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from samaops.lab.app.canary import TOPIC
from samaops.lab.outside.places import Places
from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]
CANARY = ("troubleshoot", "notifications", "--canary", "--yes", "-o", "json")
SIGNS = {"ok": "o", "critical": "C", "unknown": "?", "skipped": "-"}


def sent(lab: RunningLab, *words: str, code: int = 0) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(lab.samaops("--lab", *CANARY, *words, expected=code).stdout)
    return report


def statuses(report: dict[str, Any]) -> str:
    return "".join(SIGNS[one["status"]] for one in report["findings"])


def accepted(lab: RunningLab) -> list[dict[str, Any]]:
    path = Places.of(lab.layout).accepted_messages
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


@pytest.mark.parametrize("queue", ["urgent", "high_priority", "normal", "low_priority"])
def test_one_goes_through_every_hop_and_reaches_nobody(whole_lab: RunningLab, queue: str) -> None:
    before = len(accepted(whole_lab))
    report = sent(whole_lab, "--queue", queue)
    assert statuses(report) == "oooooo", report
    times = [one["value"] for one in report["findings"]]
    assert times == sorted(times)
    (line,) = accepted(whole_lab)[before:]
    assert (line["token"], line["topic"], line["validate_only"]) == (None, TOPIC, True)


@pytest.mark.parametrize(
    ("incident", "queue", "expected", "words"),
    [
        ("broker-memory-alarm", "normal", "C-----", "memory alarm"),
        ("queue-without-consumer", "low_priority", "-C----", "nobody consumes low_priority"),
        ("worker-hung", "normal", "ooC---", "no worker was seen to take it"),
        ("redis-stopped", "normal", "ooo--C", "Redis could not be read"),
        ("proxy-down", "normal", "oooC-o", "Connection refused"),
        ("proxy-blocks-host", "normal", "oooC-o", "fcm.googleapis.com: UNREACHABLE"),
        ("wrong-service-account-key", "normal", "ooooCo", "invalid_grant: Invalid JWT Signature."),
        ("fcm-quota", "normal", "ooooCo", "QUOTA_EXCEEDED"),
    ],
)
def test_it_stops_at_the_hop_that_is_broken(
    whole_lab: RunningLab, incident: str, queue: str, expected: str, words: str
) -> None:
    whole_lab.samaops("lab", "break", incident, expected=0)
    try:
        before = accepted(whole_lab)
        report = sent(whole_lab, "--queue", queue, "--wait", "4", code=2)
        assert statuses(report) == expected, report
        (stopped,) = [one for one in report["findings"] if one["status"] == "critical"]
        assert words in stopped["detail"]
        assert stopped["hint"] == "samaops --lab troubleshoot notifications"
        assert [one for one in accepted(whole_lab)[len(before) :] if not one["validate_only"]] == []
    finally:
        whole_lab.samaops("lab", "heal", incident, expected=0)
    assert statuses(sent(whole_lab, "--queue", queue)) == "oooooo"
