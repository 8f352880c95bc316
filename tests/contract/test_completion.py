"""Completion in the shells themselves: bash on a terminal, zsh on a terminal, fish by its own engine."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.conftest import Samaops

SITE = """
[servers.workers]
address = "127.0.0.1"
[servers.api]
address = "127.0.0.1"
[rabbitmq]
server = "api"
username = "u"
password = {env = "NOWHERE"}
queues = {low_priority = 50, normal = 100}
[docker]
containers = {workers = ["samaconso_worker_2"]}
[celery.workers.worker2]
server = "workers"
queues = ["low_priority"]
"""
# What is typed, and what the line must say once the shell has completed it.
LINES = {
    "samaops explain redis.memory.ref": "redis.memory.refusing_writes",
    "samaops explain redis-dow": "redis-down",
    "samaops diagnose --only redis,redis.memory.ref": "redis,redis.memory.refusing_writes",
    "samaops diagnose --only docker@wor": "docker@workers",
    "samaops diagnose --only=docker@wor": "--only=docker@workers",
    "samaops queue purge lo": "low_priority",
    "samaops docker restart samaconso_wor": "samaconso_worker_2",
    "samaops workers add-queue worker2 nor": "normal",
    "samaops lab break redis-sto": "redis-stopped",
    "samaops troubleshoot notif": "notifications",
    "samaops diagnose --la": "--la",
    "samaops maintain daily --only bac": "backup",
}
# The words that bash splits are its own trouble; the others are asked for what differs between them.
FEW = dict(list(LINES.items())[2:6])


@pytest.fixture
def environment(samaops: Samaops) -> dict[str, str]:
    """Return the environment of a shell that has samaops on its PATH, and a configuration."""
    programs = samaops.home / "bin"
    programs.mkdir()
    (programs / "samaops").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m samaops "$@"\n')
    (programs / "samaops").chmod(0o755)
    config = samaops.configure(SITE)
    path = f"{programs}:{os.environ['PATH']}"
    return samaops.environment(SAMAOPS_CONFIG=str(config), PATH=path, TERM="dumb", PS1="$ ")


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, text: str, seconds: float = 40) -> str:
        """Read until a text is on the screen."""
        written, ends_at = "", time.monotonic() + seconds
        while text not in written:
            left = ends_at - time.monotonic()
            assert left > 0, f"{text!r} is not in {written!r}"
            assert select.select([self._master], [], [], left)[0], f"{text!r} is not in {written!r}"
            written += os.read(self._master, 65536).decode(errors="replace")
        return written


@contextmanager
def shell(words: list[str], environment: dict[str, str]) -> Iterator[Shell]:
    started = Shell(words, environment)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait(10)
        os.close(started._master)


def _script(kind: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["samaops"],
        env={**environment, "_SAMAOPS_COMPLETE": f"source_{kind}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("name", "words", "beginning"),
    [
        ("bash", ["bash", "--norc", "--noprofile", "-i"], ""),
        ("zsh", ["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; "),
    ],
)
def test_a_shell_completes_on_a_terminal(
    environment: dict[str, str], tmp_path: Path, name: str, words: list[str], beginning: str
) -> None:
    script = tmp_path / "completion"
    script.write_text(_script(name, environment))
    with shell(words, environment) as started:
        started.type(f"{beginning}source {script}; echo rea''dy\n")
        started.until("ready")
        for typed, completed in (LINES if name == "bash" else FEW).items():
            started.type(f"{typed}\t")
            started.until(completed)
            started.type("\x15")  # forget the line


def test_fish_completes(environment: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(_script("fish", environment))
    asked = "".join(f"echo '> {line}'; complete -C '{line}'\n" for line in FEW)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}\n{asked}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    answers = dict(answer.partition("\n")[::2] for answer in done.stdout.split("> ") if answer)
    for line, completed in FEW.items():
        assert completed in answers[line], line


def test_no_shell_is_told_of_a_configuration_that_cannot_be_read(environment: dict[str, str]) -> None:
    for config in ("/nowhere/config.toml", "/dev/null"):
        asked = {"SAMAOPS_CONFIG": config, "_SAMAOPS_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
        done = subprocess.run(
            ["samaops"],
            env={**environment, **asked, "COMP_WORDS": "samaops queue purge "},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout.strip(), done.stderr) == ("", "")


def test_the_shells_are_there() -> None:
    assert all(shutil.which(name) for name in ("bash", "zsh", "fish"))
