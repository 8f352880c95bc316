"""The confusion matrix on a whole lab: one clean incident, and one whose answer and whose healing are wrong on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.lab_fixture import RunningLab

pytestmark = [pytest.mark.service, pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
INCIDENT = "pgbouncer-paused"
# The catalogue expects another root than the one that is caused, and healing forgets a key in Redis.
SPOILT = """
import sys

from msgspec.structs import replace
sys.path.insert(0, sys.argv.pop(1))
from matrix import program, trial
from samaops.lab.incidents import running
from samaops.lab.incidents.tools import traffic
from samaops.lab.incidents.incident import Root

running.INCIDENTS = tuple(replace(incident, root=Root("redis-down", "redis/workers")) for incident in running.INCIDENTS)
trial.VERDICT_SECONDS = trial.SAME_SECONDS = 1.0
heal = trial._healed

def heal_badly(bench, trial):
    with traffic.redis_of() as client:
        client.set("forgotten:7", "x")
    return heal(bench, trial)

trial._healed = heal_badly
sys.exit(program.main())
"""


@pytest.fixture
def lab(whole_lab: RunningLab) -> Iterator[RunningLab]:
    """Return the lab, and put right what a test leaves broken."""
    yield whole_lab
    whole_lab.samaops("lab", "heal", expected=0)


def measure(lab: RunningLab, *program: str, output: Path) -> subprocess.CompletedProcess[str]:
    """Measure one incident once on a lab that is up."""
    words = ("--dir", str(lab.layout.directory), "--only", INCIDENT, "--times", "1", "--output", str(output))
    return subprocess.run(
        [*lab.network, sys.executable, *program, *words],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "XDG_STATE_HOME": str(lab.state_home)},
    )


def test_a_clean_incident_gives_a_table_and_is_not_made_again(lab: RunningLab, tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    program = str(BENCHMARKS / "incidents")
    done = measure(lab, program, output=raw)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "| `pgbouncer-paused` | 1 of 1 |" in done.stdout
    assert "nothing off the diagonal" in done.stdout
    assert "Not healed: 0. Side effects left: 0." in done.stdout
    (trial,) = json.loads(raw.read_text(encoding="utf-8"))["trials"]
    assert trial["named"] == ["pgbouncer-paused@pgbouncer/db"]
    assert 0 < trial["verdict_seconds"] < 30

    again = measure(lab, program, output=raw)
    assert "0 trials, 1 made before" in again.stderr
    assert again.stdout == done.stdout

    shown = subprocess.run(
        [sys.executable, program, "--from", str(raw)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (shown.stdout, shown.returncode) == (done.stdout, 0)


def test_a_wrong_name_and_what_is_left_behind_are_told_and_give_exit_code_1(
    lab: RunningLab, tmp_path: Path
) -> None:
    raw = tmp_path / "raw.json"
    try:
        done = measure(lab, "-c", SPOILT, str(BENCHMARKS), output=raw)

        assert done.returncode == 1, done.stdout + done.stderr
        assert "| `pgbouncer-paused` | 0 of 1 | 1 |" in done.stdout
        named = "- `pgbouncer-paused` (`redis-down@redis/workers`) was named `pgbouncer-paused@pgbouncer/db`: 1 of 1"
        assert named in done.stdout
        assert "- `pgbouncer-paused` 1: redis/keys/forgotten:* without expiry: (absent) -> 1" in done.stdout
        (trial,) = json.loads(raw.read_text(encoding="utf-8"))["trials"]
        assert trial["verdict_seconds"] is None
        assert trial["fix"] == "none yet"
    finally:
        forget = "from samaops.lab.incidents.tools import traffic; traffic.redis_of().delete('forgotten:7')"
        subprocess.run([*lab.network, sys.executable, "-c", forget], timeout=60, check=True)
