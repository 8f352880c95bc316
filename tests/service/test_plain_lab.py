"""The lab of a user who is not root: plain processes in place of containers, and all the rest as ever."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samaops.lab import processes, shared_memory
from samaops.lab.incidents.running import INCIDENTS
from tests.service.own_network import own_network

pytestmark = [pytest.mark.service, pytest.mark.timeout(300), pytest.mark.xdist_group("lab")]

# A user that every machine with PostgreSQL has and that may log in. It may read what root has installed where
# nobody else looks, such as this very checkout, and nothing more.
USER = "postgres"
AS_USER = (
    "setpriv",
    f"--reuid={USER}",
    f"--regid={USER}",
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "--",
)
# What this machine is and does says nothing about the lab: how busy it is, what its kernel has killed before.
MACHINE = (
    "servers.load.high",
    "servers.oom.killed",
    *(f"{name}.latency.high" for name in ("api", "postgresql", "redis", "sqlserver")),
)
REASON = "not root"


@dataclass(frozen=True)
class PlainLab:
    """A lab of plain processes, commanded as a user does."""

    home: Path
    prefix: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return self.home / "samaops" / "lab"

    def samaops(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run samaops to its end."""
        environment = {**os.environ, "XDG_STATE_HOME": str(self.home), "HOME": str(self.home)}
        return subprocess.run(
            [*self.prefix, sys.executable, "-m", "samaops", "--lang", "en", *words],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            cwd=Path(__file__).parents[2],
            env=environment,
        )

    def run(self, *words: str) -> str:
        """Run samaops, which must end well, and return its standard output."""
        done = self.samaops(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def diagnose(self) -> tuple[dict[str, Any], int]:
        """Return the report of this moment and the exit code."""
        done = self.samaops("--lab", "diagnose", "-o", "json")
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report, done.returncode

    def processes_and_segments(self) -> tuple[list[int], list[int]]:
        """Return the pids of the lab, and the System V segments of its database clusters."""
        files = self.directory.rglob("postmaster.pid")
        named = [shared_memory.of_cluster(file.read_text(encoding="utf-8")) for file in files]
        return [process.pid for process in processes.marked(self.directory)], [
            segment[1] for segment in named if segment
        ]


@contextmanager
def _home() -> Iterator[Path]:
    """Yield a directory of that user, with a path that is short enough for sockets."""
    home = Path(tempfile.mkdtemp(prefix="samaops-plain-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, USER, USER)
        yield home
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def lab() -> Iterator[PlainLab]:
    """Return a lab that is up, started by somebody who is not root."""
    with own_network() as network, _home() as home:
        before = _temporary_files(home.owner())
        started = PlainLab(home, (*network, *(AS_USER if os.geteuid() == 0 else ())))
        try:
            output = started.run("lab", "up")
            assert f"Plain processes in place of containers: {REASON}" in output
            yield started
            _take_down(started)
            assert _temporary_files(home.owner()) == before
        finally:
            started.samaops("lab", "down")


def _temporary_files(owner: str) -> list[Path]:
    """Return what ODBC drivers and multiprocessing have left in /tmp for one user."""
    files = [file for pattern in ("psqlodbc_*", "pymp-*") for file in Path("/tmp").glob(pattern)]
    return sorted(file for file in files if file.owner() == owner)


def _take_down(lab: PlainLab) -> None:
    """Take the lab down after its state was lost, and see that nothing of it is left."""
    pids, segments = lab.processes_and_segments()
    assert len(pids) > len(segments) == 3
    (lab.directory / "state.json").unlink()
    lab.run("lab", "down")
    assert not lab.directory.exists()
    own = {file.name for file in lab.home.rglob("*") if file.is_file()}
    # the journal of the user and its key, and how the site was found last
    assert own <= {"history.sqlite3", "digest.key", "samaconso-lab.json"}
    assert [pid for pid in pids if processes.start_time(pid)] == []
    table = shared_memory.SEGMENTS.read_text(encoding="ascii")
    assert {number for _maker, number in shared_memory.orphans(table)}.isdisjoint(segments)


def test_only_what_docker_alone_shows_is_unknown_and_says_why(lab: PlainLab) -> None:
    report, exit_code = lab.diagnose()
    findings = [finding for finding in report["findings"] if finding["code"] not in MACHINE]
    unknown = {
        (finding["code"], finding["subject"]): finding["detail"]
        for finding in findings
        if finding["status"] == "unknown"
    }
    assert set(unknown) == {
        ("docker.engine.unreachable", "docker/api"),
        ("docker.engine.unreachable", "docker/workers"),
        ("redis.memory.over_container", "redis/workers"),
    }
    assert all(detail.endswith(REASON) for detail in unknown.values())
    wrong = [finding for finding in findings if finding["status"] in ("warning", "critical")]
    assert (wrong, report["causes"], exit_code) == ([], [], 3)


def test_every_part_is_a_process_that_runs(lab: PlainLab) -> None:
    status = json.loads(lab.run("lab", "status", "-o", "json"))
    assert (status["state"], status["mode"], status["mode_reason"]) == ("running", "processes", REASON)
    assert all(part["pid"] and not part["container"] for part in status["parts"])


# Those whose service is a process here and a container elsewhere, and one that is the same everywhere.
@pytest.mark.parametrize(
    "name", ["redis-stopped", "lock-chain", "redis-refusing-writes", "nothing-published"]
)
def test_an_incident_is_the_only_root_until_it_is_healed(lab: PlainLab, name: str) -> None:
    incident = next(incident for incident in INCIDENTS if incident.id == name)
    expected = incident.root_of_processes or incident.root

    lab.run("lab", "break", name)
    report, exit_code = lab.diagnose()
    assert [(cause["id"], cause["subject"]) for cause in report["causes"]] == [
        (expected.cause, expected.subject)
    ]
    assert exit_code == 2

    lab.run("lab", "heal", name)
    assert lab.diagnose()[0]["causes"] == []


def test_what_needs_a_container_or_a_disk_of_its_own_is_refused_with_the_reason(lab: PlainLab) -> None:
    for name, reason in {
        "api-container-oom-killed": "only a container",
        "disk-filled": "own disk",
        "server-down": REASON,
    }.items():
        refused = lab.samaops("lab", "break", name)
        assert refused.returncode == 77
        assert reason in refused.stderr
