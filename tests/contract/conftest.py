"""Run samaops as a user does: a process of its own, with its own home."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import warm_python
from tests.answers import validated
from tests.service import faulty
from tests.warm_python import WarmPython

# A run that takes longer hangs.
ANSWER_SECONDS = 60
# Set by whoever runs the tests or by a terminal; a test sets what it is about.
LEFT_OUT = (
    "LANGUAGE",
    "LC_ALL",
    "LC_MESSAGES",
    "LANG",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "GITHUB_ACTIONS",
)


@dataclass(frozen=True)
class Done:
    """How a run ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def json(self) -> Any:
        """Return stdout as exactly one JSON document, which keeps to its schema."""
        return validated(json.loads(self.stdout))


class Samaops:
    """samaops with a home of its own."""

    def __init__(self, home: Path, warm: WarmPython) -> None:
        self.home = home
        self._warm = warm
        self.log = home / "state" / "samaops" / "log" / "samaops.log"

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "LANG": "C.UTF-8",
        }
        return {**kept_environment(), **own, **more}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "samaops", *(str(one) for one in arguments)]

    def __call__(self, *arguments: str | Path, **environment: str) -> Done:
        started = time.monotonic()
        words = [str(argument) for argument in arguments]
        try:
            if warm_python.is_enough(environment):
                done = self._warm.run(words, self.environment(**environment), self.home, ANSWER_SECONDS)
            else:
                done = self._start(words, environment)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"no answer within {ANSWER_SECONDS} s\n{error.stdout!r}\n{error.stderr!r}"
            ) from None
        seconds = time.monotonic() - started
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode(), seconds)

    def _start(self, words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.environment(**environment),
            cwd=self.home,
            timeout=ANSWER_SECONDS,
            check=False,
        )

    def configure(self, text: str) -> Path:
        """Write a private configuration and return its path."""
        path = self.home / "config.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path


def kept_environment() -> dict[str, str]:
    """Return this process's environment without what a test is about."""
    return {
        name: value for name, value in os.environ.items() if name not in LEFT_OUT and "SAMAOPS" not in name
    }


class Terminal:
    """samaops on a terminal of 80 by 24, until it ends."""

    def __init__(self, samaops: Samaops, *arguments: str | Path, **environment: str) -> None:
        self._unread = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            samaops.command(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=samaops.environment(TERM="xterm", **environment),
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self._master)

    def read_until(self, text: str, times: int = 1) -> str:
        """Read until a text was written so many times; return what was written up to there."""
        written, self._unread = self._unread, ""
        while written.count(text) < times:
            block = self._read()
            assert block, f"it ended before: {written}"
            written += block
        end = 0
        for _time in range(times):
            end = written.index(text, end) + len(text)
        self._unread = written[end:]
        return written[:end]

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._master, f"{text}\n".encode())

    def rest(self) -> str:
        """Return everything that is written from now on until the end."""
        written = self._unread + "".join(iter(self._read, ""))
        self.process.wait(30)
        return written

    def _read(self) -> str:
        try:
            return os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            return ""


@pytest.fixture(scope="session", autouse=True)
def a_terminal_that_may_be_lost() -> Iterator[None]:
    """Let what is started obey SIGHUP, also where these tests run under nohup: samaops keeps it ignored then."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmPython]:
    with contextlib.closing(WarmPython({**kept_environment(), "LANG": "C.UTF-8"})) as python:
        yield python


@pytest.fixture
def samaops(tmp_path: Path, warm: WarmPython) -> Samaops:
    return Samaops(tmp_path, warm)


def redis_at(address: tuple[str, int], more: str = "") -> str:
    """Return the configuration of a Redis."""
    return f'[redis]\nhost = "{address[0]}"\nport = {address[1]}\ntimeout = 2\n{more}\n'


@pytest.fixture
def refused() -> Iterator[tuple[str, int]]:
    with faulty.refused_port() as address:
        yield address


@pytest.fixture
def hanging() -> Iterator[tuple[str, int]]:
    with faulty.hanging() as address:
        yield address


@pytest.fixture
def redis_server(shared_redis_server: tuple[str, int]) -> tuple[str, int]:
    """Return the Redis that is shared, which remembers no log-in that an earlier test had refused."""
    with redis.Redis(*shared_redis_server) as client:
        client.acl_log_reset()
    return shared_redis_server


@pytest.fixture(scope="session")
def shared_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Return a real Redis with a memory limit, and with a password that its user "locked" has."""
    port = free_port()
    directory = tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--save", "", "--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]
    users = ["--user", "locked", "on", ">right", "~*", "+@all"]
    process = subprocess.Popen(
        [
            "redis-server",
            *options,
            *users,
            "--bind",
            "127.0.0.1",
            "--dir",
            str(directory),
            "--logfile",
            "log",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: can_connect(port))
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def wait_until(is_true: Callable[[], bool], seconds: float = 10) -> None:
    ends_at = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < ends_at, "waited too long"
        time.sleep(0.05)
