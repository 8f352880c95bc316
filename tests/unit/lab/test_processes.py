"""Daemons of the lab: a stranger's process is never taken for one, whatever its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.lab import processes
from samaops.lab.layout import Layout
from samaops.lab.processes import ProcessSpec, StartError, Surroundings
from samaops.lab.state import ProcessRecord

SLEEP = (sys.executable, "-S", "-c", "import time; print('awake', flush=True); time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)",
)


def spec(*argv: str, name: str = "sleeper") -> ProcessSpec:
    return ProcessSpec(name=name, server="db", address="127.0.0.1", port=0, argv=argv, ready=lambda: True)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout(tmp_path / "lab")
    made.directory.mkdir()
    yield made
    for record in processes.marked(made.directory):
        processes.kill_group(record)


def await_words(layout: Layout, name: str, words: str) -> None:
    deadline = time.monotonic() + 10
    while words not in processes.last_line(processes.log_file(layout, name)):
        assert time.monotonic() < deadline, "it never said so"
        time.sleep(0.01)


def test_a_daemon_runs_in_a_session_of_its_own_with_its_words_in_a_log(layout: Layout) -> None:
    record = processes.spawn(spec(*SLEEP), Surroundings(layout))
    assert processes.is_alive(record)
    assert os.getsid(record.pid) == record.pid != os.getsid(0)
    await_words(layout, "sleeper", "awake")
    processes.stop([record], grace_seconds=5)
    assert not processes.is_alive(record)


def test_a_process_that_ignores_the_request_to_end_is_killed(layout: Layout) -> None:
    record = processes.spawn(spec(*STUBBORN), Surroundings(layout))
    await_words(layout, "sleeper", "ready")
    processes.stop([record], grace_seconds=0.2)
    assert not processes.is_alive(record)


def test_another_process_with_the_same_pid_is_left_alone(layout: Layout) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        began = processes.start_time(stranger.pid)
        assert began is not None
        recycled = ProcessRecord("sleeper", "db", "127.0.0.1", 0, stranger.pid, began - 1)
        assert not processes.is_alive(recycled)
        processes.stop([recycled], grace_seconds=0.1)
        processes.kill_group(recycled)
        assert stranger.poll() is None
        stranger.kill()


def test_a_zombie_counts_as_dead() -> None:
    with subprocess.Popen(["true"]) as child:
        deadline = time.monotonic() + 10
        while processes.start_time(child.pid) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_daemon_is_found_by_its_mark_when_its_record_is_lost(layout: Layout) -> None:
    record = processes.spawn(spec(*SLEEP), Surroundings(layout))
    assert [process.pid for process in processes.marked(layout.directory)] == [record.pid]
    assert processes.lab_of(record.pid) == str(layout.directory)
    assert processes.marked(layout.directory / "other") == []


def test_a_daemon_that_hides_its_environment_is_found_by_its_command_line(layout: Layout) -> None:
    hidden = replace(spec("sleep", "600"), argv=("env", "-i", "tail", "-f", str(layout.directory / "conf")))
    (layout.directory / "conf").touch()
    record = processes.spawn(hidden, Surroundings(layout))
    deadline = time.monotonic() + 10
    while record.pid not in [process.pid for process in processes.marked(layout.directory)] or (
        b"env" in Path(f"/proc/{record.pid}/cmdline").read_bytes()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    processes.kill_group(record)


def test_a_program_that_does_not_exist_dies_with_the_reason_in_its_log(layout: Layout) -> None:
    record = processes.spawn(spec("/no/such/program"), Surroundings(layout))
    await_words(layout, "sleeper", "/no/such/program")
    assert not processes.is_alive(record)


def test_what_prevents_even_a_fork_is_the_error_of_the_start(layout: Layout) -> None:
    with pytest.raises(StartError, match="No such file"):
        processes.spawn(spec(*SLEEP), Surroundings(layout, namespace_pid=2**22 - 1))


def test_a_daemon_hears_the_signals_that_python_and_nohup_ignore(layout: Layout) -> None:
    record = processes.spawn(spec("sleep", "600"), Surroundings(layout))
    ignored = next(
        line
        for line in Path(f"/proc/{record.pid}/status").read_text().splitlines()
        if line.startswith("SigIgn")
    )
    mask = int(ignored.split()[1], 16)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        assert not mask & (1 << (number - 1))


def test_a_daemon_that_hides_everything_is_found_by_its_log(layout: Layout) -> None:
    hidden = replace(spec("sleep", "600"), argv=("env", "-i", "sleep", "600"))
    record = processes.spawn(hidden, Surroundings(layout))
    deadline = time.monotonic() + 10
    while b"env" in Path(f"/proc/{record.pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [process.pid for process in processes.marked(layout.directory)] == [record.pid]
    processes.kill_group(record)
