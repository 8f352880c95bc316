"""A real AlertManager and a real node exporter, each on a free port of this machine and in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.postgres_server import eventually
from tests.service.ssh_server import free_port

START_SECONDS = 60.0
# What fires, and what is over, is told at once.
CONFIGURATION = """
route: {{receiver: listener, group_by: [alertname, subject], group_wait: 10ms, group_interval: 100ms}}
receivers:
  - name: listener
    webhook_configs: [{{url: "{listener}", send_resolved: true}}]
"""


def read(url: str) -> str | None:
    """Return what a URL answers; None where it does not answer 200."""
    with (
        contextlib.suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(url, timeout=5) as answer,
    ):
        return str(answer.read().decode()) if answer.status == 200 else None
    return None


class AlertManager:
    """One running AlertManager."""

    def __init__(self, url: str) -> None:
        self.url = url

    def firing(self) -> list[dict[str, Any]]:
        """Return the alerts that its API shows as active."""
        text = read(f"{self.url}/api/v2/alerts?active=true")
        assert text is not None
        return list(json.loads(text))


@contextlib.contextmanager
def alertmanager(directory: Path, listener: str) -> Iterator[AlertManager]:
    """Start an AlertManager that tells a listener, or skip."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.skip("needs the Debian package prometheus-alertmanager")
    configuration, port = directory / "alertmanager.yml", free_port()
    configuration.write_text(CONFIGURATION.format(listener=listener))
    url = f"http://127.0.0.1:{port}"
    words = [
        program, f"--config.file={configuration}", f"--storage.path={directory / 'alerts'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with _running(words, directory / "alertmanager.log", f"{url}/-/ready"):
        yield AlertManager(url)


@contextlib.contextmanager
def node_exporter(directory: Path) -> Iterator[str]:
    """Start a node exporter that reads the textfiles of a directory; yield the URL of its metrics, or skip."""
    program = shutil.which("prometheus-node-exporter")
    if program is None:
        pytest.skip("needs the Debian package prometheus-node-exporter")
    port = free_port()
    words = [
        program, "--collector.disable-defaults", "--collector.textfile",
        f"--collector.textfile.directory={directory}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    metrics = f"http://127.0.0.1:{port}/metrics"
    with _running(words, directory / "node-exporter.log", metrics):
        yield metrics


@contextlib.contextmanager
def _running(words: list[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, stdin=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")
        return read(ready) is not None

    try:
        eventually(answers, START_SECONDS)
        yield
    finally:
        process.kill()
        process.wait(10)
