"""A whole lab for tests that diagnose it: in a temporary directory, in a network of its own, up once a session."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samaops.lab.incidents.site import Site
from samaops.lab.layout import Layout
from tests.answers import validated
from tests.service.own_network import own_network
from tests.warm_python import WarmPython

# How busy this machine is says nothing about the lab: other tests run beside it.
_NOISY = (
    "servers.load.high",
    "api.latency.high",
    "postgresql.latency.high",
    "redis.latency.high",
    "sqlserver.latency.high",
)


@dataclass(frozen=True)
class RunningLab:
    """A lab that is up, commanded as a user does. ``ready_seconds`` is how long its start took."""

    state_home: Path
    network: list[str]
    warm: WarmPython
    ready_seconds: float = 0.0

    @property
    def layout(self) -> Layout:
        return Layout(self.state_home / "samaops" / "lab")

    @property
    def site(self) -> Site:
        return Site.open(self.layout)

    def samaops(self, *words: str, expected: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run samaops; with ``expected``, its exit code must be that."""
        directory = Path(__file__).parents[2]
        done = self.warm.run(["--lang", "en", *words], _environment(self.state_home), directory, 200)
        answer = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        if expected is not None:
            assert answer.returncode == expected, answer.stdout + answer.stderr
        if words[-1] == "json" or "-o json" in " ".join(words):
            assert answer.stdout, f"exit code {answer.returncode}, no answer: {answer.stderr}"
            validated(json.loads(answer.stdout))
        return answer

    @property
    def calm(self) -> tuple[str, str]:
        """The options that choose this lab without a judgement of how busy this machine is."""
        calm = self.state_home / "calm.toml"
        if not calm.exists():
            calm.touch(mode=0o600)
            calm.write_text(_calm(self.layout.config_file.read_text(encoding="utf-8")), encoding="utf-8")
        return "--config", str(calm)

    def diagnose(self, *words: str) -> tuple[dict[str, Any], int]:
        """Return the report of this moment and the exit code; the machine's own load is not judged."""
        done = self.samaops(*self.calm, "diagnose", "-o", "json", *words)
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["findings"], done.stdout
        return report, done.returncode

    def causes(self) -> list[tuple[str, str]]:
        """Return the roots that are named now: ids and subjects."""
        return roots_of(self.diagnose()[0])


def _environment(state_home: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(state_home)}


def _calm(configuration: str) -> str:
    """Return a configuration that does not judge how busy the machine is, unless it has its own limits."""
    missing = [f'[thresholds."{code}"]' for code in _NOISY if f'[thresholds."{code}"]' not in configuration]
    return configuration + "".join(f"\n{table}\nwarning = 1000000\ncritical = 1000000\n" for table in missing)


def roots_of(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the roots of a report: ids and subjects."""
    return [(cause["id"], cause["subject"]) for cause in report["causes"]]


@contextmanager
def running_lab(state_home: Path) -> Iterator[RunningLab]:
    """Yield a lab that is up; it is taken down at the end, whatever is broken in it."""
    with own_network() as network, closing(WarmPython(_environment(state_home), network)) as warm:
        lab = RunningLab(state_home, network, warm)
        try:
            answer = lab.samaops("lab", "up", expected=0).stdout
            yield replace(lab, ready_seconds=float(answer.partition("(")[2].partition(" s)")[0]))
        finally:
            lab.samaops("lab", "down", expected=0)
