#!/usr/bin/env python3
"""`samaops redis bigkeys` against `redis-cli --memkeys` on a million keys, and what both do to others meanwhile.

    PYTHONPATH=. .venv/bin/python benchmarks/redis_bigkeys.py [--keys 1000000] [--times 3]

A redis-server of its own on 127.0.0.1, keys of four prefixes. In turns: each is run as a process and timed, while another client
pings every two milliseconds; at rest the same client shows what is usual. Then the shares that `redis memory` samples, against
those of all keys. Ends with 1 when bigkeys is less than three times as fast, or a share is off by more than two points.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

PREFIXES = {
    "celery-task-meta-": 0.5,
    "samaconso:consumption:": 0.3,
    "samaconso:session:": 0.15,
    "export:": 0.05,
}
BATCH = 5000
PING_SECONDS = 0.002
LEAST_RATIO, MOST_POINTS = 3.0, 2.0


@contextmanager
def server(directory: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    words = [
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        str(directory),
        "--save",
        "",
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            try:
                redis.Redis(port=port).ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def fill(port: int, keys: int) -> None:
    """Write keys of 50 to 1000 bytes."""
    client = redis.Redis(port=port)
    script = "for n = ARGV[2], ARGV[3] do redis.call('SET', ARGV[1] .. n, string.rep('x', 50 + (n * 7919) % ARGV[4])) end"
    for place, (prefix, share) in enumerate(PREFIXES.items()):
        count = int(keys * share)
        for first in range(0, count, BATCH):
            client.eval(script, 0, prefix, first, min(first + BATCH, count) - 1, 100 + 250 * place)


class Pings(threading.Thread):
    """Pings until it is stopped, and keeps how long each took."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._client = redis.Redis(port=port)
        self._stop_it = threading.Event()
        self.milliseconds: list[float] = []

    def run(self) -> None:
        while not self._stop_it.is_set():
            began = time.perf_counter()
            self._client.ping()
            self.milliseconds.append(1000 * (time.perf_counter() - began))
            time.sleep(PING_SECONDS)

    def stop(self) -> str:
        self._stop_it.set()
        self.join()
        ordered = sorted(self.milliseconds)
        middle, last = statistics.median(ordered), ordered[int(0.99 * len(ordered))]
        return f"{middle:.2f} / {last:.2f} / {ordered[-1]:.1f}"


def timed(words: list[str], port: int, environment: dict[str, str]) -> tuple[float, str, str]:
    pings = Pings(port)
    pings.start()
    began = time.perf_counter()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(done.stderr or done.stdout)
    return seconds, pings.stop(), done.stdout


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, server(Path(place)) as port:
        fill(port, wanted.keys)
        config = Path(place) / "config.toml"
        config.write_text(
            f'[servers.workers]\naddress = "127.0.0.1"\nssh = "local"\n[redis]\nhost = "127.0.0.1"\nport = {port}\n'
        )
        config.chmod(0o600)
        samaops = [sys.executable, "-m", "samaops", "--config", str(config), "redis"]
        commands = {
            "redis-cli --memkeys": ["redis-cli", "-p", str(port), "--memkeys"],
            "samaops redis bigkeys": [*samaops, "bigkeys", "-o", "json"],
            "samaops redis bigkeys --rate 100000": [*samaops, "bigkeys", "--rate", "100000", "-o", "json"],
        }
        environment = {**os.environ, "XDG_STATE_HOME": place}
        rest = Pings(port)
        rest.start()
        time.sleep(3)
        print(f"PING at rest, ms (median / 99 % / most): {rest.stop()}")
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _time in range(wanted.times):
            for name, words in commands.items():
                seconds, pings, _output = timed(words, port, environment)
                taken[name].append(seconds)
                print(f"{name:40} {seconds:7.2f} s   PING {pings}", flush=True)
        ratio = statistics.median(taken["redis-cli --memkeys"]) / statistics.median(
            taken["samaops redis bigkeys"]
        )
        print(f"bigkeys is {ratio:.1f} times as fast as --memkeys on {wanted.keys} keys")
        shares = []
        for options in (("--sample", "0", "--rate", "1000000"), ()):
            seconds, pings, output = timed([*samaops, "memory", *options, "-o", "json"], port, environment)
            shares.append({row["prefix"]: row["share_percent"] for row in json.loads(output)["redis_memory"]})
            print(
                f"redis memory {' '.join(options):27} {seconds:7.2f} s   PING {pings}   {shares[-1]}",
                flush=True,
            )
        off = max(abs(shares[0][prefix] - shares[1].get(prefix, 0.0)) for prefix in shares[0])
        print(f"the sampled shares are off by at most {off:.1f} points")
    return int(ratio < LEAST_RATIO or off > MOST_POINTS)


if __name__ == "__main__":
    raise SystemExit(main())
