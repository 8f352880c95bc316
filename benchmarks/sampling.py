"""Run commands in turns and measure them: wall time, processor time, peak memory. Knows nothing of samaops."""

from __future__ import annotations

import os
import select
import signal
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct, field


class Command(Struct, frozen=True):
    """What is run, and the variables it needs."""

    name: str
    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


class Sample(Struct, frozen=True):
    """One run. ``peak_mb`` is of the process or the largest of its children; ``cut`` when it was ended."""

    seconds: float
    processor_seconds: float
    peak_mb: float
    exit_code: int
    output: str
    cut: bool = False


class Series(Struct, frozen=True):
    """All runs of one command."""

    samples: tuple[Sample, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(one.seconds for one in self.samples)

    @property
    def processor_seconds(self) -> float:
        return statistics.median(one.processor_seconds for one in self.samples)

    @property
    def peak_mb(self) -> float:
        return max(one.peak_mb for one in self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The quickest and the slowest run."""
        times = [one.seconds for one in self.samples]
        return min(times), max(times)


def in_turns(commands: Sequence[Command], count: int) -> dict[str, Series]:
    """Run every command ``count`` times, one after the other in turns, after one round that does not count."""
    found: dict[str, list[Sample]] = {command.name: [] for command in commands}
    for turn in range(count + 1):
        for command in commands:
            sample = run(command)
            if turn:
                found[command.name].append(sample)
    return {name: Series(tuple(samples)) for name, samples in found.items()}


def run(command: Command, cut_seconds: float = 600.0) -> Sample:
    """Run a command to its end, or end it with all its children after ``cut_seconds``."""
    reader, writer = os.pipe()
    started = time.perf_counter()
    process = subprocess.Popen(
        command.words,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
        env={**environment(), **command.variables},
        start_new_session=True,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        output = _read(pipe.fileno(), started + cut_seconds)
    cut = output is None or not _ends(process.pid, started + cut_seconds)
    if cut:
        os.killpg(process.pid, signal.SIGKILL)
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return Sample(
        seconds=seconds,
        processor_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        exit_code=process.returncode,
        output=(output or b"").decode(errors="replace"),
        cut=cut,
    )


def environment() -> dict[str, str]:
    """Return this environment as a user has it: Python may keep what it compiled, and buffers its output."""
    unusual = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "PYTHONPROFILEIMPORTTIME")
    return {name: value for name, value in os.environ.items() if name not in unusual}


def _read(descriptor: int, ends_at: float) -> bytes | None:
    """Read until all writers are gone; None when they are not by then."""
    found = bytearray()
    while (left := ends_at - time.perf_counter()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            data = os.read(descriptor, 65536)
            if not data:
                return bytes(found)
            found += data
    return None


def _ends(pid: int, ends_at: float) -> bool:
    """Wait until a child has ended, without reaping it: its usage is wanted."""
    while time.perf_counter() < ends_at:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return True
        time.sleep(0.001)
    return False
