"""The lab as its user has it: one command up, again up, looked at, logged in to, repaired, and gone without a trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samaops.config.load import load
from samaops.lab import processes
from samaops.lab.lab import expected_parts
from tests.answers import validated
from tests.service.own_network import own_network

pytestmark = [pytest.mark.service, pytest.mark.timeout(400), pytest.mark.xdist_group("lab")]

PROGRAMS = {
    "sshd": "openssh-server",
    "pgbouncer": "pgbouncer",
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "nginx": "nginx-light",
    "tinyproxy": "tinyproxy",
}


@dataclass(frozen=True)
class Lab:
    """A lab in a directory of its own, commanded as a user does."""

    directory: Path
    network: list[str]

    def run(self, *words: str, expected: int = 0) -> str:
        """Run `samaops lab WORDS` and return its standard output."""
        command = [*self.network, sys.executable, "-m", "samaops", "--lang", "en", "lab", *words]
        done = subprocess.run(
            [*command, "--dir", str(self.directory)], capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout

    def status(self, expected: int = 0) -> dict[str, Any]:
        """Return the status document."""
        document: dict[str, Any] = validated(json.loads(self.run("status", "-o", "json", expected=expected)))
        return document

    def parts(self, expected: int = 0) -> dict[str, dict[str, Any]]:
        """Return each part by its name."""
        return {part["name"]: part for part in self.status(expected)["parts"]}

    def ssh(self, server: str, command: str) -> str:
        """Run a command on a server of the lab, over SSH with its key and its verified host key."""
        argv = ["ssh", "-F", str(self.directory / "ssh" / "config"), "-o", "BatchMode=yes", server, command]
        done = subprocess.run([*self.network, *argv], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def cgroups(self) -> list[Path]:
        """Return the control groups that are the lab's."""
        mark = f"samaops-lab-{zlib.crc32(str(self.directory).encode()):08x}"
        return [*Path("/sys/fs/cgroup").glob(f"{mark}*"), *Path("/sys/fs/cgroup").glob(f"*/{mark}*")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed (apt-get install {package})")
    directory = tmp_path_factory.mktemp("samaops") / "lab"
    with own_network() as network:
        started = Lab(directory, network)
        try:
            started.run("up")
            yield started
        finally:
            started.run("down")


def test_every_part_runs(lab: Lab) -> None:
    status = lab.status()
    assert (status["schema"], status["state"]) == ("samaops/lab-status/1", "running")
    parts = lab.parts()
    assert {part.name for part in expected_parts()} <= set(parts)
    assert all(part["pid"] or part["container"] for part in parts.values())


def test_a_second_up_has_nothing_to_do(lab: Lab) -> None:
    before = {name: part["pid"] for name, part in lab.parts().items()}
    assert "Nothing to do" in lab.run("up")
    assert {name: part["pid"] for name, part in lab.parts().items()} == before


def test_each_server_is_logged_in_to_with_its_own_name(lab: Lab) -> None:
    if lab.status()["mode"] != "containers":
        pytest.skip("servers have no names of their own without namespaces")
    for name in ("db", "api", "workers"):
        assert lab.ssh(name, "hostname").strip() == f"samaconso-{name}"
        assert lab.ssh(name, "stat -f -c %T /data").strip() == "tmpfs"


def test_each_engine_runs_the_guides_containers(lab: Lab) -> None:
    if lab.status()["mode"] != "containers":
        pytest.skip("no container engine can run here")
    containers = {
        name
        for server in ("api", "workers")
        for name in lab.ssh(server, "docker ps --format '{{.Names}}'").split()
    }
    assert containers == {name for name, part in lab.parts().items() if part["container"]}
    assert len(containers) == 7


def test_samaops_accepts_its_configuration(lab: Lab) -> None:
    settings = load(lab.directory / "config.toml")
    assert set(settings.servers) == {"db", "api", "workers"}


def test_another_lab_is_refused_and_this_one_is_named(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "other", lab.network)
    command = [*lab.network, sys.executable, "-m", "samaops", "lab", "up", "--dir", str(other.directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 77
    assert str(lab.directory) in done.stderr.replace("\n", "")
    assert not other.directory.exists()


def test_what_was_killed_is_seen_and_started_again(lab: Lab) -> None:
    killed = ("pgbouncer", "sshd_api", "proxy")
    before = lab.parts()
    for name in killed:
        os.kill(before[name]["pid"], 9)
    after = lab.parts(expected=1)
    assert {name for name, part in after.items() if part["state"] == "dead"} == set(killed)
    assert "The lab is up" in lab.run("up")
    assert lab.status()["state"] == "running"


@pytest.fixture
def second_lab(tmp_path: Path) -> Iterator[Lab]:
    """Return a lab that is up, for a test that takes it down."""
    with own_network() as network:
        if not network:
            pytest.skip("two labs at a time need a network of their own, which only root can make")
        started = Lab(tmp_path / "lab", network)
        try:
            started.run("up")
            yield started
        finally:
            started.run("down")


@pytest.mark.parametrize("state_is_lost", [False, True])
def test_down_leaves_nothing_also_when_the_state_is_lost(second_lab: Lab, state_is_lost: bool) -> None:
    lab = second_lab
    pids = [part["pid"] for part in lab.parts().values() if part["pid"]]
    if state_is_lost:
        (lab.directory / "state.json").unlink()
    lab.run("down")
    assert not lab.directory.exists()
    assert processes.marked(lab.directory) == []
    assert [pid for pid in pids if processes.start_time(pid)] == []
    assert lab.cgroups() == []
    assert str(lab.directory) not in Path("/proc/self/mountinfo").read_text()
    assert "Nothing to do" in lab.run("down")
