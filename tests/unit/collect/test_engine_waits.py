"""What keeps a look from its answer and is not the system's fault: a slow secret, and being stopped ourselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samaops.clients.errors import ClientError
from samaops.collect import engine
from samaops.collect.engine import Collector, Probe
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.facts.observation import Observation
from samaops.facts.selection import EVERYTHING
from samaops.model.failure import FailureKind
from samaops.site.site import Site


class Facts:
    """What nobody comes to see."""


def observed(collect: engine.Look, timeout: float = 1.0, deadline: float = 15.0) -> Observation:
    collector = Collector("redis", "redis/workers", Facts, collect, timeout=timeout)
    (seen,) = engine.observe([collector], Site(Settings()), EVERYTHING, deadline).observations
    return seen


@pytest.mark.parametrize("seconds", ["30", "0.7"])
def test_a_secret_that_is_waited_for_is_no_silence_of_the_system(
    monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))

    def look(_probe: Probe) -> None:
        Secret(command=("sh", "-c", f"sleep {seconds}; echo x")).reveal()
        raise ClientError(FailureKind.NO_ANSWER, "no answer within 0.3 s", "connect")

    failure = observed(look).failure
    assert failure is not None
    assert failure.kind is FailureKind.MISSING
    assert failure.message.endswith(" s: sh")


def test_a_quick_secret_excuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))

    def look(_probe: Probe) -> None:
        Secret(command=("echo", "x")).reveal()
        time.sleep(30)

    failure = observed(look, timeout=0.8).failure
    assert failure is not None
    assert failure.kind is FailureKind.NO_ANSWER


STOPPED = """
import socket, sys, time
from samaops.clients.time_limit import TimeLimit
from tests.unit.collect.test_engine_waits import observed
def hang(_probe):
    print("begun", flush=True)
    time.sleep(60)
def listen(_probe):
    ours, theirs = socket.socketpair()
    with TimeLimit(4) as limit:
        limit.watch(ours)
        print("begun", flush=True)
        ours.settimeout(limit.remaining())
        try:
            ours.recv(1)
        except OSError as error:
            raise limit.failure(error, "answer", is_connected=True)
        raise limit.failure(TimeoutError(), "answer", is_connected=True)
print(observed(locals()[sys.argv[1]], timeout=4).failure.kind.value)
"""


@pytest.mark.parametrize("look", ["hang", "listen"])
def test_whoever_was_stopped_himself_calls_nobody_silent(look: str) -> None:
    words = [sys.executable, "-c", STOPPED, look]
    root = Path(__file__).parents[3]
    with subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(6)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == "deadline\n"
