"""Run commands in turns and measure them: wall time, processor time, peak memory. Knows nothing of samaops."""

from __future__ import annotations

import os
import select
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

_LOOK_SECONDS = 0.005


class Command(Struct, frozen=True):
    """What is run, and the variables it needs."""

    name: str
    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


class Sample(Struct, frozen=True):
    """One run; ``cut`` when it was ended."""

    seconds: float
    processor_seconds: float
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
    try:
        with os.fdopen(reader, "rb") as pipe:
            output = _read(pipe.fileno(), started + cut_seconds)
        cut = output is None or not _ends(process.pid, started + cut_seconds)
    except BaseException:  # we are told to end: the children have a session of their own
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if cut:
        os.killpg(process.pid, signal.SIGKILL)
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    return Sample(
        seconds=seconds,
        processor_seconds=usage.ru_utime + usage.ru_stime,
        exit_code=process.returncode,
        output=(output or b"").decode(errors="replace"),
        cut=cut,
    )


def peak_mb(command: Command, cut_seconds: float = 60.0) -> float:
    """Run a command once more, and return the most memory that it and all its children had at one moment, in MB.

    What several processes share counts once (Pss). Looking takes time, so this run is no measurement of that.
    """
    ends_at, peak = time.perf_counter() + cut_seconds, 0
    with subprocess.Popen(
        command.words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment(), **command.variables},
        start_new_session=True,
    ) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_proportional_kb, _of_session(process.pid))))
            if time.perf_counter() > ends_at:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(_LOOK_SECONDS)
    return peak / 1024


def _of_session(session: int) -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if os.getsid(int(process.name)) == session:
                yield process


def _proportional_kb(process: Path) -> int:
    try:
        rollup = (process / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)


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
