#!/usr/bin/env python3
"""What a report of a year of minutes takes; exit 1 above 10 s or 150 MB, or where two years would take more than 200 MB.

    PYTHONPATH=. .venv/bin/python benchmarks/report_of_a_year.py

A year of minutes of a site of the guide's size (16 subjects) is made and kept as the product keeps it: 40 days as minutes, what is older as
hours. Then availability, objectives (with their six months) and capacity of that year are told, each by a process of its own. Its time is that of the processor: how many others want it is not measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

MOST_SECONDS, MOST_MB, MOST_KEPT_MB = 10.0, 150.0, 200.0
DAYS = 365
_AT_ONCE_DAYS = 30


def made(directory: Path, now: datetime) -> Path:
    """Make a year of samples; return the configuration of its site."""
    from tests.unit.reports.made import fill, of_the_guide, samples_of, site_of

    site = site_of(directory)
    samples = samples_of(site)
    begin = now - timedelta(days=DAYS)
    for day in range(0, DAYS, _AT_ONCE_DAYS):
        days = min(_AT_ONCE_DAYS, DAYS - day)
        fill(samples, begin + timedelta(days=day), days * 1440, of_the_guide)
        while samples.condense(now):
            pass
    configuration = directory / "samaops.toml"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f'site = "site"\n[servers.api]\naddress = "10.0.0.1"\n[history]\nurl = "sqlite:///{directory}/history.sqlite3"\n'
    )
    return configuration


def measured(words: tuple[str, ...]) -> tuple[float, float, str]:
    """Return the seconds of processor and the most memory (MB) that a command took, and its answer."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *words], capture_output=True, text=True, timeout=120, check=True
    )
    answer, used = done.stdout.rstrip().rsplit("\n", 1)
    seconds, most_kb = used.split()
    return float(seconds), int(most_kb) / 1024, answer


_CHILD = """
import resource, sys
from samaops.__main__ import main
try:
    main()
except SystemExit as end:
    assert (end.code or 0) <= 3, end.code  # how bad it is; above that it has failed
finally:
    sys.stdout.flush()
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss: that of a child begins with what its parent had.
    status = open("/proc/self/status").read()
    print(used.ru_utime + used.ru_stime, status.partition("VmHWM:")[2].split()[0])
"""


def main() -> int:
    """Make the year, tell of it, and show what that took."""
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    is_good = True
    # In memory where that can be: what is measured is the report, and not how the year is written.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        directory = Path(name)
        began = time.monotonic()
        configuration = made(directory, now)
        kept = (directory / "history.sqlite3").stat().st_size / 1e6
        print(f"made in {time.monotonic() - began:.0f} s; a year is kept in {kept:.0f} MB")
        is_good = kept < MOST_KEPT_MB
        for report in ("availability", "kpi", "capacity"):
            words = ("--config", str(configuration), "report", report, "--since", f"{DAYS}d", "-o", "json")
            seconds, megabytes, answer = measured(words)
            rows = len(json.loads(answer)[report])
            print(f"report {report}: {seconds:.1f} s of processor, {megabytes:.0f} MB, {rows} rows")
            is_good = is_good and seconds < MOST_SECONDS and megabytes < MOST_MB
    print(f"bounds: {MOST_SECONDS:g} s, {MOST_MB:g} MB, {MOST_KEPT_MB:g} MB kept for two years")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
