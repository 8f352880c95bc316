"""Run samaops as a person does, on one lab, never longer than a limit."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

CUT = -1
# The same program that a person types: the lab writes the name of the Python that runs it into its compose files.
SAMAOPS = str(Path(sys.executable).with_name("samaops"))
# How busy this machine is says nothing about the lab: its servers share two cores with whatever else runs here.
NOISY = (
    "servers.load.high",
    "api.latency.high",
    "postgresql.latency.high",
    "redis.latency.high",
    "sqlserver.latency.high",
)


class Done(Struct, frozen=True):
    """How a command ended; ``exit_code`` is CUT when it was ended at its limit."""

    seconds: float
    exit_code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout; empty when there is none."""
        try:
            found = json.loads(self.stdout)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def last_words(self) -> str:
        """The last line that was said, for a note."""
        if self.exit_code == CUT:
            return f"no answer after {self.seconds:.0f} s"
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"exit code {self.exit_code}"


class Samaops(Struct, frozen=True):
    """The command for one lab: its configuration, its directory."""

    configuration: Path
    directory: Path

    def lab(self, *words: str, limit_seconds: float) -> Done:
        """Run a command of the lab itself."""
        return self._run(["lab", *words, "--dir", str(self.directory)], limit_seconds)

    def report(self, *words: str, limit_seconds: float) -> Done:
        """Run a command that answers with a report, as JSON."""
        return self._run([*self._site, *words, "-o", "json"], limit_seconds)

    def as_printed(self, command: str, *words: str, limit_seconds: float) -> Done:
        """Run a command line as samaops itself offers it, with ``words`` behind it."""
        offered = shlex.split(command)[1:]
        kept = [word for word in offered if word != "--lab"]
        return self._run([*self._site, *kept, *words], limit_seconds)

    @property
    def _site(self) -> list[str]:
        return ["--config", str(self.configuration)]

    def _run(self, words: Sequence[str], limit_seconds: float) -> Done:
        command = [SAMAOPS, "--lang", "en", *words]
        started = time.monotonic()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "NO_COLOR": "1"},
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=limit_seconds)
                exit_code = process.returncode
            except subprocess.TimeoutExpired:
                _end(process)
                stdout, stderr, exit_code = "", "", CUT
            except BaseException:
                _end(process)
                raise
        return Done(time.monotonic() - started, exit_code, stdout, stderr)


def _end(process: subprocess.Popen[str]) -> None:
    """End a command with all its children, first politely: a change takes back what it has done."""
    for number, patience_seconds in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_seconds)
            return


def calm(configuration: Path, copy: Path) -> Path:
    """Write a copy of a lab's configuration that does not judge how busy the machine is."""
    text = configuration.read_text(encoding="utf-8")
    missing = [f'[thresholds."{code}"]' for code in NOISY if f'[thresholds."{code}"]' not in text]
    added = "".join(f"\n{table}\nwarning = 1000000\ncritical = 1000000\n" for table in missing)
    copy.touch(mode=0o600)
    copy.write_text(text + added, encoding="utf-8")
    return copy
