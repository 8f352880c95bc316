"""Looking with two processes sees what one process sees, whatever becomes of the second one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.config import masking
from samaops.config.settings import Settings
from samaops.facts import engine, processes, systems
from samaops.facts.engine import Collector, Probe
from samaops.facts.observation import Snapshot
from samaops.facts.selection import EVERYTHING
from samaops.model.failure import FailureKind
from samaops.workflows import diagnose

NAMES = ("servers", "postgresql", "minio", "api", "docker", "redis")
DEADLINE_SECONDS = 10.0
OPEN_FILES = Path("/proc/self/fd")
SECRET = "canary-known-to-the-child-alone"


@dataclass(frozen=True, slots=True)
class Seen:
    """Facts of no system: which process looked, and a text from outside."""

    pid: int
    text: str = ""


def collector(system: str, collect: Callable[[Probe], object] | None = None) -> Collector:
    def look(_probe: Probe) -> Seen:
        footprint.count(connections=1, bytes_read=10)
        return Seen(os.getpid())

    return Collector(system, f"{system}/one", Seen, collect or look)


def look(*collectors: Collector, deadline_seconds: float = DEADLINE_SECONDS) -> Snapshot:
    return processes.observe(collectors, Settings(), EVERYTHING, deadline_seconds)


@pytest.fixture(autouse=True)
def may_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test runner has threads of its own, and a machine may have one core: neither is what is tested."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.fixture(autouse=True)
def no_child_is_left(may_fork: None) -> Iterator[None]:
    opened, children = len(list(OPEN_FILES.iterdir())), _children()
    yield
    assert _children() == children, "a process is left, running or not asked for its end"
    assert len(list(OPEN_FILES.iterdir())) == opened


def _children() -> set[str]:
    lists = Path("/proc/self/task").glob("*/children")
    return {pid for one in lists for pid in one.read_text(encoding="ascii").split()}


def plain(snapshot: Snapshot) -> list[object]:
    return [replace(one, duration_ms=0, facts=type(one.facts)) for one in snapshot.observations]


def test_two_processes_see_what_one_sees_in_the_same_order() -> None:
    both = look(*(collector(name) for name in NAMES))
    alone = engine.observe([collector(name) for name in NAMES], Settings(), EVERYTHING, DEADLINE_SECONDS)
    assert plain(both) == plain(alone)
    assert both.footprint == alone.footprint
    assert both.footprint.connections == len(NAMES)
    assert not both.deadline_hit


def test_what_shares_a_shell_is_looked_at_by_the_child_and_the_rest_here() -> None:
    snapshot = look(*(collector(name) for name in NAMES))
    pids = {one.system: one.facts.pid for one in snapshot.observations}
    assert {name for name in NAMES if pids[name] == os.getpid()} == {"postgresql", "api", "redis"}
    assert pids["servers"] == pids["docker"] == pids["minio"] != os.getpid()


@pytest.mark.parametrize("names", [("servers", "docker"), ("api", "redis")])
def test_one_half_alone_needs_no_child(names: tuple[str, ...]) -> None:
    snapshot = look(*(collector(name) for name in names))
    assert {one.facts.pid for one in snapshot.observations} == {os.getpid()}


@pytest.mark.parametrize(("module", "name", "value"), [(os, "cpu_count", 1), (threading, "active_count", 2)])
def test_one_core_or_another_thread_means_one_process(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, value: int
) -> None:
    monkeypatch.setattr(module, name, lambda: value)
    snapshot = look(collector("servers"), collector("api"))
    assert {one.facts.pid for one in snapshot.observations} == {os.getpid()}


def test_a_system_that_starts_no_process_is_looked_at_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    snapshot = look(collector("servers"), collector("api"))
    assert {one.facts.pid for one in snapshot.observations} == {os.getpid()}


def test_a_look_that_hangs_in_the_child_says_so_at_the_deadline() -> None:
    started = time.monotonic()
    hanging = collector("servers", lambda _probe: threading.Event().wait(60))
    snapshot = look(hanging, collector("docker"), collector("api"), deadline_seconds=0.4)
    assert time.monotonic() - started < 3
    first, second, third = snapshot.observations
    assert first.failure is not None
    assert first.failure.kind is FailureKind.DEADLINE
    assert (second.failure, third.failure) == (None, None)
    assert snapshot.deadline_hit


def test_a_child_that_stands_still_is_ended_a_little_after_the_deadline() -> None:
    def stop(_probe: Probe) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    started = time.monotonic()
    snapshot = look(collector("servers", stop), collector("api"), deadline_seconds=0.3)
    assert time.monotonic() - started < 3
    stopped, seen = snapshot.observations
    assert stopped.failure is not None
    assert stopped.failure.kind is FailureKind.DEADLINE
    assert (stopped.system, stopped.subject, stopped.facts_type) == ("servers", "servers/one", "Seen")
    assert seen.failure is None
    assert snapshot.deadline_hit


def _kill(_probe: Probe) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _unsendable(_probe: Probe) -> object:
    return threading.Lock()


@pytest.mark.parametrize("end", [_kill, _unsendable])
def test_a_child_that_dies_costs_its_own_looks_only(end: Callable[[Probe], object]) -> None:
    snapshot = look(collector("docker", end), collector("servers"), collector("api"))
    *lost, seen = snapshot.observations
    assert [one.failure.kind for one in lost if one.failure] == [FailureKind.ERROR] * 2
    assert all(one.failure and not one.failure.is_outage and one.failure.message for one in lost)
    assert seen.failure is None
    assert not snapshot.deadline_hit


def test_a_failure_in_the_child_arrives_as_it_was() -> None:
    def refuse(_probe: Probe) -> None:
        raise ClientError(FailureKind.REFUSED, "connection refused", "connect")

    failure = look(collector("minio", refuse), collector("api")).observations[0].failure
    assert failure is not None
    assert (failure.kind, failure.message, failure.stage) == (
        FailureKind.REFUSED,
        "connection refused",
        "connect",
    )


def test_more_than_a_pipe_holds_arrives_whole() -> None:
    text = "x" * 3_000_000
    snapshot = look(collector("docker", lambda _probe: Seen(os.getpid(), text)), collector("api"))
    assert snapshot.observations[0].facts.text == text


def test_a_secret_that_only_the_child_came_to_know_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def reveal(_probe: Probe) -> Seen:
        masking.remember(SECRET)
        return Seen(os.getpid(), f"psql password={SECRET}")

    chosen = [collector("servers", reveal), collector("api")]
    monkeypatch.setattr(systems, "collectors", lambda _settings, _selection: chosen)
    monkeypatch.setattr(diagnose, "rules", lambda _systems: ())
    snapshot = diagnose.observe(Settings(), may_fork=True)
    assert SECRET not in masking.known()
    assert snapshot.observations[0].facts.text == f"psql password={masking.MASK}"


PROGRAM = """
import os, signal, sys, threading, time
from samaops.config.settings import Settings
from samaops.facts import processes
from samaops.facts.engine import Collector
from samaops.facts.selection import EVERYTHING

def hang(_probe):
    print(os.getpid(), flush=True)
    threading.Event().wait(60)

os.cpu_count = lambda: 2
looks = [Collector(name, name, object, hang, timeout=60) for name in ("servers", "api")]
try:
    processes.observe(looks, Settings(), EVERYTHING, 60.0)
except KeyboardInterrupt:
    os._exit(130)
"""


@pytest.mark.parametrize(
    ("ended_by", "whom", "code"),
    [
        (signal.SIGINT, os.killpg, 130),  # Ctrl-C on a terminal reaches both
        (signal.SIGINT, os.kill, 130),
        (signal.SIGTERM, os.kill, -signal.SIGTERM),
        (signal.SIGKILL, os.kill, -signal.SIGKILL),
    ],
)
def test_however_the_command_ends_no_child_goes_on(
    tmp_path: Path, ended_by: signal.Signals, whom: Callable[[int, int], None], code: int
) -> None:
    with (tmp_path / "stderr").open("wb") as said:
        command = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )
    with command as running:
        assert running.stdout is not None
        pids = {int(running.stdout.readline()) for _process in range(2)}
        assert len(pids) == 2
        whom(running.pid, ended_by)
        assert running.wait(10) == code
        ends_at = time.monotonic() + 10
        while any(_runs(pid) for pid in pids):
            assert time.monotonic() < ends_at, "a process goes on"
            time.sleep(0.02)
    assert (tmp_path / "stderr").read_bytes() == b""


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # an orphan whose end nobody has asked for yet runs no more
