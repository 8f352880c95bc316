#!/usr/bin/env python3
"""What `samaops schedule run` takes while nothing is due; exit 1 above 80 MB of memory or 1 % of a core.

    PYTHONPATH=. .venv/bin/python benchmarks/scheduler_at_rest.py [--seconds 120]

A scheduler with a history of its own and the guide's jobs but with none due: memory (VmRSS) and processor time of its process, from
when it leads.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MOST_MB, MOST_PERCENT = 80.0, 1.0
START_SECONDS = 30.0
CONFIGURATION = 'site = "rest"\n[schedule]\nbackup = "0 0 1 1 *"\ndaily = "0 1 1 1 *"\nweekly = "0 2 1 1 *"\nmonthly = "0 3 1 1 *"\nsample = "0 4 1 1 *"\n'
_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has had, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(process: int) -> float:
    """Return the memory that a process holds now, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def main() -> int:
    """Start it, wait until it leads, measure, end it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory:
        file, log = Path(directory) / "samaops.toml", Path(directory) / "out"
        file.touch(mode=0o600)
        file.write_text(CONFIGURATION)
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "samaops", "--lang", "en", "--config", str(file), "schedule", "run"],
                env={**os.environ, "XDG_STATE_HOME": directory}, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            while "leads since" not in log.read_text():
                if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise SystemExit(f"it does not lead: {log.read_text()}")
                time.sleep(0.02)
            started = time.monotonic() - began
            before = processor_seconds(process.pid)
            time.sleep(seconds)
            used, memory = processor_seconds(process.pid) - before, memory_mb(process.pid)
        finally:
            process.terminate()
            process.wait(30)
    percent = 100 * used / seconds
    print(
        f"leads after {started:.1f} s; at rest {memory:.0f} MB, {percent:.2f} % of a core over {seconds:.0f} s"
    )
    return int(memory > MOST_MB or percent > MOST_PERCENT)


if __name__ == "__main__":
    raise SystemExit(main())
