"""diagnose stays within reach of the guide's own script, answers when that hangs, and stays small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.lab_fixture import RunningLab

pytestmark = [
    pytest.mark.service,
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("lab"),
]

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "run"
# Tests run beside it: a broken bound must be a change for the worse and not a busy machine.
TOLERANCE = "5"


def measure(lab: RunningLab, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark on a lab that is up."""
    return subprocess.run(
        [*lab.network, sys.executable, str(BENCHMARK), "--dir", str(lab.layout.directory), *options],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )


def test_no_bound_of_the_benchmark_is_broken(whole_lab: RunningLab) -> None:
    done = measure(whole_lab, "--quick", "--cut", "16", "--tolerance", TOLERANCE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "never ends" in done.stdout  # the script; samaops has answered by then
    assert "BROKEN" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_a_broken_bound_gives_exit_code_1(whole_lab: RunningLab) -> None:
    done = measure(whole_lab, "--samples", "1", "--cut", "16", "--tolerance", "0.01")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
