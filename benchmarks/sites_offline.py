#!/usr/bin/env python3
"""How long 20 sites take that are judged from their saved looks: ``samaops diagnose --sites-from DIR``, from its start to its end.

The looks are those that are kept of the lab (healthy, two incidents, four faults at once), each as several sites of its
own addresses, all behind one proxy. Exit 1 when it takes longer than 5 s. No lab is needed.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOOKS = (
    *(
        ROOT / f"tests/data/golden/look.{name}.json.gz"
        for name in ("healthy", "pgbouncer-paused", "queue-without-consumer")
    ),
    ROOT / "tests/data/looks/four-faults.json.gz",
)
SITES, MOST_SECONDS, RUNS = 20, 5.0, 5


def main() -> int:
    """Measure, and print a line."""
    with tempfile.TemporaryDirectory(prefix="samaops-sites-") as name:
        directory = Path(name)
        for number in range(SITES):
            write(directory, number)
        size = sum(path.stat().st_size for path in directory.iterdir())
        seconds = sorted(judge(directory) for _run in range(RUNS))
    middle = seconds[RUNS // 2]
    sys.stdout.write(
        f"{SITES} saved sites ({size / 1e6:.1f} MB): {middle:.2f} s (of {RUNS} runs {seconds[0]:.2f} to "
        f"{seconds[-1]:.2f} s), at most {MOST_SECONDS:g} s\n"
    )
    return int(middle > MOST_SECONDS)


def write(directory: Path, number: int) -> None:
    """Write the look of one site: that of the lab under a name and addresses of its own."""
    text = gzip.decompress(LOOKS[number % len(LOOKS)].read_bytes()).decode("utf-8")
    document = json.loads(text.replace("127.101.0.", f"127.{101 + number}.0."))
    document["settings"]["site"] = f"site{number:02d}"
    (directory / f"site{number:02d}.json").write_text(json.dumps(document), encoding="utf-8")


def judge(directory: Path) -> float:
    """Return how long samaops takes to judge all of them, a report of every site proved to be in its answer."""
    words = [sys.executable, "-m", "samaops", "diagnose", "--sites-from", str(directory), "-o", "json"]
    started = time.monotonic()
    done = subprocess.run(
        words,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=120,
    )
    seconds = time.monotonic() - started
    report = json.loads(done.stdout)
    sites = {finding["site"] for finding in report["findings"] if finding["code"] != "sites.site.lost"}
    if len(sites) != SITES:
        sys.exit(f"{len(sites)} of {SITES} sites were judged: {done.stderr.decode(errors='replace')}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
