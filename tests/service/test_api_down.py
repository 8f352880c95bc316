"""`samaops troubleshoot api-down` on a whole lab: a member hangs, what it shows is kept, it alone is restarted, and serves."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from samaops.collect import store
from samaops.facts.docker import EvidenceFacts
from samaops.lab.layout import ADDRESSES, API_PORTS
from samaops.lab.processes import StartError
from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]

CUSTOMERS = 3


def test_a_hung_member_is_kept_as_it_is_and_then_restarted_alone(
    whole_lab: RunningLab, tmp_path: Path
) -> None:
    if not whole_lab.site.has_containers:
        pytest.skip("no container engine runs here")
    troubleshoot = (*whole_lab.calm, "troubleshoot", "api-down")
    peer = whole_lab.site.docker(
        "samaconso_api_2", "inspect", "-f", "{{.State.StartedAt}}", "samaconso_api_2"
    )
    directory = whole_lab.state_home / "samaops" / "evidence"
    before = set(directory.glob("*.json"))
    whole_lab.samaops("lab", "break", "api-hung", expected=0)
    waiting = [
        threading.Thread(target=_ask, args=(whole_lab,), daemon=True) for _customer in range(CUSTOMERS)
    ]
    for customer in waiting:
        customer.start()
    try:
        bundle = tmp_path / "bundle.json"
        found = whole_lab.samaops(*troubleshoot, "--bundle", str(bundle), "-o", "json", expected=2)
        causes: list[dict[str, Any]] = json.loads(found.stdout)["causes"]
        assert [(cause["id"], cause["subject"]) for cause in causes] == [("api-hung", "api/api_1")]
        assert [fix["id"] for fix in causes[0]["fixes"]][:2] == ["balancer.drain", "docker.restart"]

        done = json.loads(
            whole_lab.samaops(
                *troubleshoot, "--apply", "docker.restart", "--yes", "-o", "json", expected=0
            ).stdout
        )
        (action,) = done["actions"]
        assert action["status"] == "verified"
        assert peer == whole_lab.site.docker(
            "samaconso_api_2", "inspect", "-f", "{{.State.StartedAt}}", "samaconso_api_2"
        ), "the other member was not touched"
        (kept,) = set(directory.glob("*-samaconso_api_1.json")) - before
        assert str(kept) in action["result"]
        for file in (bundle, kept):
            _holds_what_the_member_showed(whole_lab, file)
    finally:
        whole_lab.samaops("lab", "heal", "api-hung", expected=0)


def _ask(lab: RunningLab) -> None:
    """Wait as a customer does; nobody answers."""
    url = f"http://{ADDRESSES['api']}:{API_PORTS['api_1']}/health"
    with suppress(StartError):
        lab.site.run("api", ["curl", "-s", "-o", "/dev/null", "-m", "40", url])


def _holds_what_the_member_showed(lab: RunningLab, file: Path) -> None:
    (evidence,) = [facts for _seen, facts in store.load(file).snapshot.facts_of(EvidenceFacts)]
    parts = {part.name: part for part in evidence.parts}
    assert evidence.name == "samaconso_api_1"
    for name in ("state", "log", "processes", "threads", "files", "sockets", "server"):
        assert parts[name].lines, (name, parts[name].failure)
    assert parts["stacks"].lines or parts["stacks"].failure
    assert len(parts["processes"].lines) < 10, "its own processes, and no other's"
    assert any(count >= 1 for count in evidence.waiting.values())
    text = file.read_text(encoding="utf-8")
    secrets = json.loads((lab.layout.directory / "secrets.json").read_text(encoding="utf-8"))
    assert [name for name, value in secrets.items() if isinstance(value, str) and value in text] == []
    judged = lab.samaops("diagnose", "--from", str(file), "-o", "json", expected=2)
    assert "docker.evidence.backlog" in judged.stdout
