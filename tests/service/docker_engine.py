"""A real Docker engine of its own in a temporary directory, with a tiny image made of this machine's /usr."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 30.0
IMAGE = "samaops-test:1"

NO_FAULT = {
    "OOMKilled": False,
    "ExitCode": 0,
    "Error": "",
    "Dead": False,
    "FinishedAt": "0001-01-01T00:00:00Z",
    "Pid": 7,
}
# What else docker says of a container.
NEVER_MIND = {
    "pid": 7, "hosts_path": "", "number": None, "oneoff": None, "compose_directory": None, "compose_files": None,
    "created": "2026-01-01T00:00:00Z", "labels": {}, "command": [], "entrypoint": None, "user": "", "mounts": [],
    "network": "default", "hosts": None, "ports": {}, "environment": [],
}  # fmt: skip


@dataclass(frozen=True)
class Engine:
    """One engine, reached over its own socket."""

    host: str

    def docker(self, *words: str, stdin: bytes | None = None) -> str:
        """Run one docker command and return what it printed."""
        environment = {**os.environ, "DOCKER_HOST": self.host}
        done = subprocess.run(
            ["docker", *words], input=stdin, env=environment, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.decode().strip()

    def run(self, name: str, *words: str) -> None:
        """Start a container: options of docker run, then "--", then its command."""
        options, command = list(words), ["/bin/sleep", "1000"]
        if "--" in words:
            at = words.index("--")
            options, command = list(words[:at]), list(words[at + 1 :])
        fixed = ["-d", "--name", name, "--network", "none", "-v", "/usr:/usr:ro"]
        self.docker("run", *fixed, *options, IMAGE, *command)


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """Start an engine; skip the test where none can run."""
    if os.geteuid() != 0 or shutil.which("dockerd", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("a Docker engine of its own needs root and dockerd (docker.io)")
    directory = Path(tempfile.mkdtemp(prefix="samaops-docker-"))
    host = f"unix://{directory}/s"
    program = shutil.which("dockerd", path="/usr/sbin:/usr/bin") or ""
    flags = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", "-H", host]
    places = [f"--data-root={directory}/data", f"--exec-root={directory}/exec", f"--pidfile={directory}/pid"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([program, *flags, *places], stdout=log, stderr=log)
    engine = Engine(host)
    try:
        _await_ready(engine, process, directory / "log")
        engine.docker("import", "-", IMAGE, stdin=_image())
        yield engine
    finally:
        _stop(engine, process, directory)


def _await_ready(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        with contextlib.suppress(AssertionError):
            engine.docker("ps")
            return
        time.sleep(0.1)
    words = log.read_text(errors="replace").splitlines()[-1:]
    pytest.skip(f"no Docker engine can run here: {words}")


def _image() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("bin", "lib", "lib64", "sbin"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(link)
        for name in ("usr", "proc", "sys", "dev", "tmp", "etc"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
    return packed.getvalue()


def _stop(engine: Engine, process: subprocess.Popen[bytes], directory: Path) -> None:
    with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
        for name in engine.docker("ps", "-aq").split():
            engine.docker("rm", "-f", name)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait(10)
    for mount in Path("/proc/self/mountinfo").read_text().splitlines():
        point = mount.split()[4]
        if point.startswith(str(directory)):
            subprocess.run(["umount", "-l", point], check=False, timeout=10)
    shutil.rmtree(directory, ignore_errors=True)
