"""The lab's members restarted by turns under requests, killed in the middle and gone on with: no customer notices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.lab_fixture import RunningLab
from tests.service.postgres_server import eventually
from tests.service.test_balancer_lab import changed, requests_through, states
from tests.service.test_releases import begun_steps, is_well

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]
CONTAINERS = ("samaconso_api_1", "samaconso_api_2")
# Three steps each: out of the pool, restarted, back.
RESTART_OF_THE_SECOND = 4


def lives(lab: RunningLab) -> list[str]:
    return [lab.site.docker(name, "inspect", "-f", "{{.State.StartedAt}}", name) for name in CONTAINERS]


def killed_at(lab: RunningLab, step: int, *words: str) -> None:
    """Run samaops, and kill it as soon as it has begun a step."""
    earlier, _steps = begun_steps(lab)

    def has_begun() -> bool:
        newest, steps = begun_steps(lab)
        return newest != earlier and step in steps

    process = subprocess.Popen(
        [*lab.network, sys.executable, "-m", "samaops", "--lab", *words, "--yes"],
        env={**os.environ, "XDG_STATE_HOME": str(lab.state_home)}, cwd=Path(__file__).parents[2],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(has_begun, 60)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def last_reason(lab: RunningLab) -> str:
    """Return what the history says of the newest change besides."""
    listed = json.loads(lab.samaops("--lab", "history", "list", "-o", "json", expected=0).stdout)
    newest: dict[str, str] = listed["changes"][0]
    assert (newest["status"], newest["unfinished_step"]) == (
        "interrupted",
        "Restart the container samaconso_api_2",
    )
    return newest["reason"]


def words_of(sentence: str, first: str) -> list[str]:
    """Return the words of the command that a sentence ends with, from its first one on."""
    words = sentence.split()
    return words[words.index(first) :]


def test_killed_at_the_second_member_it_goes_on_with_that_one_and_no_request_is_lost(
    whole_lab: RunningLab,
) -> None:
    if not whole_lab.site.has_containers:
        pytest.skip("no container engine runs here")
    before = lives(whole_lab)
    # So that there is a journal to look into.
    changed(whole_lab, "balancer", "drain", "api_2", "--within", "1")
    changed(whole_lab, "balancer", "enable", "api_2")
    with requests_through(whole_lab) as load:
        killed_at(whole_lab, RESTART_OF_THE_SECOND, "docker", "roll", "api")
        first, second = lives(whole_lab)
        assert first != before[0]
        assert states(whole_lab) == {"api_1": "enabled", "api_2": "offline"}
        refused = changed(whole_lab, "docker", "roll", "api", code=77)["errors"][0]
        assert "api_2 is out of the balancer's pool" in refused["message"]
        rest = words_of(last_reason(whole_lab), "docker")
        eventually(lambda: is_well(whole_lab, "127.101.0.2:8002"), 60)
        changed(whole_lab, *words_of(refused["hint"], "balancer"))
        changed(whole_lab, *rest)
        counts = load.all()
    after = lives(whole_lab)
    assert after[0] == first, "the first one is not restarted again"
    assert second in (before[1], after[1])
    assert after[1] != before[1]
    assert states(whole_lab) == {"api_1": "enabled", "api_2": "enabled"}
    assert set(counts) == {"200 api_1", "200 api_2"}, counts
