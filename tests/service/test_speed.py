"""diagnose stays within reach of the guide's own script, answers when that hangs, and stays small."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.service.lab_fixture import RunningLab
from tests.service.own_network import own_network

pytestmark = [
    pytest.mark.service,
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("lab"),
]

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "run"
# Tests run beside it: a broken bound must be a change for the worse and not a busy machine.
TOLERANCE = "5"


# What needs neither pyinfra nor the ecosystem's tools, which only the benchmark installs.
PARTS = ("--only", "guide", "--only", "start", "--only", "faults")


def measure(*options: str, network: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the benchmark."""
    return subprocess.run(
        [*network, sys.executable, str(BENCHMARK), *options],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )


def test_no_bound_of_the_benchmark_is_broken(whole_lab: RunningLab) -> None:
    on_lab = ("--dir", str(whole_lab.layout.directory))
    done = measure(
        *on_lab, *PARTS, "--quick", "--cut", "16", "--tolerance", TOLERANCE, network=whole_lab.network
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "never ends" in done.stdout  # the script; samaops has answered by then
    assert "BROKEN" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_a_broken_bound_gives_exit_code_1(whole_lab: RunningLab) -> None:
    on_lab = ("--dir", str(whole_lab.layout.directory))
    done = measure(
        *on_lab, "--only", "start", "--samples", "1", "--tolerance", "0.01", network=whole_lab.network
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


def test_servers_that_hang_cost_the_others_nothing() -> None:
    with own_network() as network:
        if not network:
            pytest.skip("servers at fixed addresses need a network of their own: root, unshare and ip")
        done = measure("--only", "servers-hung", "--servers", "10", network=network)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 read whole" in done.stdout


def test_the_machine_s_own_network_is_never_delayed(whole_lab: RunningLab) -> None:
    """A lab in a network that reaches further is left as it is."""
    if len(Path("/proc/self/net/route").read_text(encoding="ascii").splitlines()) <= 1:
        pytest.skip("this machine has no network but loopback")
    done = measure("--only", "delay", "--dir", str(whole_lab.layout.directory))

    assert done.returncode == 1
    assert "need a network of their own" in done.stderr
