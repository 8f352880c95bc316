"""With a network that delays: everything on servers far away, and how many round trips each system costs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import sampling
import subjects
from guide import Measuring, refuse_failed
from msgspec.structs import replace
from table import Part, Row, milliseconds

from samaops.lab.layout import Layout

BOUND_SECONDS = 3.0
# Each way: a round trip takes twice that. The lab's own servers are as far from each other.
DELAY_SECONDS, LONGER_SECONDS = 0.02, 0.06
SUBNET = "127.101.0.0/24"


def measure(layout: Layout, measuring: Measuring) -> Part:
    """Measure a full diagnose with a delay, and with three times that."""
    everything = subjects.of(layout).everything
    everything = replace(everything, words=(*everything.words, "-o", "json"))
    with _delayed(DELAY_SECONDS):
        near = sampling.in_turns((everything,), measuring.samples)["everything"]
    with _delayed(LONGER_SECONDS):
        far = sampling.in_turns((everything,), measuring.samples)["everything"]
    refuse_failed(near, far)
    bound = BOUND_SECONDS * measuring.tolerance
    total = Row(
        f"everything, {DELAY_SECONDS * 1000:.0f} ms each way",
        "",
        milliseconds(near.seconds),
        "",
        f"{bound:.2g} s",
        near.seconds <= bound,
    )
    seconds, longer = _quickest(near), _quickest(far)
    trips = {name: _round_trips(seconds[name], longer[name]) for name in seconds if name in longer}
    rows = [
        Row(f"round trips: {name}", "", milliseconds(seconds[name]), f"{trips[name]:.1f}")
        for name in sorted(trips, key=lambda name: -trips[name])
    ]
    return Part(
        (total, *rows),
        (
            f"Round trips one after the other, what waits for a shared log-in included: how much longer the"
            f" quickest of {measuring.samples} looks took with {LONGER_SECONDS * 1000:.0f} ms each way, divided by"
            f" the {_longer_trip() * 1000:.0f} ms that each round trip then took longer. Beside them, the time with"
            f" {DELAY_SECONDS * 1000:.0f} ms.",
        ),
    )


def _longer_trip() -> float:
    return 2 * (LONGER_SECONDS - DELAY_SECONDS)


def _round_trips(near_seconds: float, far_seconds: float) -> float:
    return max(0.0, far_seconds - near_seconds) / _longer_trip()


def _quickest(series: sampling.Series) -> dict[str, float]:
    """Return the least time of each system's slowest look, in seconds."""
    least: dict[str, float] = {}
    for sample in series.samples:
        for system, spent_ms in json.loads(sample.output)["timings_ms"].items():
            least[system] = min(least.get(system, spent_ms / 1000), spent_ms / 1000)
    return least


@contextlib.contextmanager
def _delayed(seconds: float) -> Iterator[None]:
    """Delay what goes to the lab's addresses and comes from there, each way."""
    link = str(Path(__file__).with_name("delay_link.py"))
    with subprocess.Popen(
        [sys.executable, link, str(seconds), SUBNET], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                sys.exit("the network cannot be delayed: /dev/net/tun and ip (iproute2) are needed, and root")
            yield
        finally:
            process.stdin.close()
            process.wait(10)
