"""A real sshd on a free port of 127.0.0.1, with keys of its own, for the tests of SSH."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from samaops.config.settings import Ssh

START_SECONDS = 10.0
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/client.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
{further}
"""


@dataclass(frozen=True)
class SshServer:
    """One sshd: where it listens and whom it knows."""

    address: str
    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    def settings(self, **changes: object) -> Ssh:
        """Return the settings with which samaops may log in."""
        fields: dict[str, object] = {
            "user": getpass.getuser(),
            "port": self.port,
            "key_file": self.directory / "client",
            "known_hosts": self.directory / "known_hosts",
        }
        return Ssh.model_validate({**fields, **changes})


def make_key(file: Path, *options: str) -> None:
    """Make a key pair without a passphrase, unless ``-N`` says otherwise."""
    passphrase = () if "-N" in options else ("-N", "")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", *passphrase, *options, "-f", str(file)], check=True, timeout=30
    )


@contextlib.contextmanager
def running_sshd(directory: Path, further: str = "") -> Iterator[SshServer]:
    """Start an sshd; skip the test where there is none."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("sshd is not installed (openssh-server)")
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "client"):
        make_key(directory / name)
    port = free_port()
    kind, key, *_comment = (directory / "host.pub").read_text().split()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    config = directory / "sshd_config"
    config.write_text(_CONFIG.format(port=port, directory=directory, further=further))
    with listening(directory, port) as server:
        yield server


@contextlib.contextmanager
def listening(directory: Path, port: int) -> Iterator[SshServer]:
    """Start the sshd of a directory, which has its configuration and its keys."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    assert program
    with (directory / "sshd.log").open("ab") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(directory / "sshd_config")], stderr=log)
    try:
        _await_listening(port, process, directory / "sshd.log")
        yield SshServer("127.0.0.1", port, directory, process)
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a port of 127.0.0.1 where nothing listens now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _await_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"sshd did not start: {log.read_text(errors='replace')}")
