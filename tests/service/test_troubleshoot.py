"""`samaops troubleshoot notifications` on a whole lab: broken, named, repaired, verified, taken back, healed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]


def test_a_queue_without_consumer_is_found_repaired_verified_and_taken_back(whole_lab: RunningLab) -> None:
    troubleshoot = (*whole_lab.calm, "troubleshoot", "notifications")
    whole_lab.samaops("lab", "break", "queue-without-consumer", expected=0)
    try:
        found: dict[str, Any] = json.loads(whole_lab.samaops(*troubleshoot, "-o", "json", expected=2).stdout)
        assert [cause["id"] for cause in found["causes"]] == ["queue-without-consumer"]
        assert [fix["id"] for fix in found["causes"][0]["fixes"]] == ["workers.add_queue", "workers.restart"]
        hops = {one["subject"]: one for one in found["findings"] if one["code"].startswith("notifications.")}
        assert hops["notifications/ready"]["value"] > 0
        assert hops["notifications/ready"]["status"] == "critical"
        assert hops["notifications/sent"]["status"] == "ok"

        apply = (*troubleshoot, "--apply", "workers.add_queue", "-o", "json")
        whole_lab.samaops(*apply, expected=77)
        planned = json.loads(whole_lab.samaops(*apply, "--dry-run", expected=0).stdout)["actions"]
        done = json.loads(whole_lab.samaops(*apply, "--yes", expected=0).stdout)
        assert [one["status"] for one in done["actions"]] == ["verified"]
        assert [one["commands"] for one in planned] == [one["commands"] for one in done["actions"]]
        assert [finding for finding in done["findings"] if finding["status"] != "ok"] == []
        assert whole_lab.causes() == []

        change = done["actions"][0]["journal"]
        whole_lab.samaops(*whole_lab.calm, "undo", change, "--yes", expected=0)
        assert not _is_consumed(whole_lab, "low_priority")
    finally:
        whole_lab.samaops("lab", "heal", "queue-without-consumer", expected=0)


LISTS = ("queue list", "queue peek normal", "workers list", "workers queues", "docker ps", "docker stats")


def test_every_list_of_a_whole_site_keeps_to_its_schema(whole_lab: RunningLab) -> None:
    """The fixture compares each document with the schema that it names."""
    for command in LISTS:
        listed = json.loads(
            whole_lab.samaops(*whole_lab.calm, *command.split(), "-o", "json", expected=0).stdout
        )
        assert listed["schema"] != "samaops/report/1"
    file = str(whole_lab.state_home / "exported.jsonl")
    whole_lab.samaops(*whole_lab.calm, "queue", "export", "normal", "--to", file, "-o", "json", expected=0)


def _is_consumed(lab: RunningLab, queue: str) -> bool:
    listed = json.loads(lab.samaops(*lab.calm, "workers", "queues", "-o", "json", expected=0).stdout)
    (row,) = [one for one in listed["worker_queues"] if one["queue"] == queue]
    return bool(row["consumed_by"])
