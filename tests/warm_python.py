"""A Python that has imported what samaops needs, and runs samaops in forks of itself.

Each run is a process of its own, with its arguments, environment, directory and streams, as one that is started; what
it does not do again is the second of imports before it. What depends on how Python is started (the variables of
``_READ_AT_START``) is started, as is every run of a terminal, a signal or a shell in the tests.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import samaops

# What Python itself, or an import, reads once.
_READ_AT_START = (
    "PYTHON",
    "LC_",
    "LANG",
    "TZ",
    "COLUMNS",
    "TERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",
)
_START_SECONDS = 60
_NUMBER = struct.Struct("!i")


def is_enough(given: Mapping[str, str]) -> bool:
    """Return whether a run with these variables beside the usual ones needs no start of its own."""
    return not any(name.startswith(_READ_AT_START) for name in given)


class WarmPython:
    """The process that forks; ``prefix`` are words before the command, such as those that enter a network."""

    def __init__(self, environment: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="samaops-test-")
        self._address = str(Path(self._directory.name) / "socket")
        words = [*prefix, sys.executable, "-m", __name__, self._address]
        root = Path(__file__).parent.parent
        self._process = subprocess.Popen(words, env=dict(environment), cwd=root, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "it does not start"

    def close(self) -> None:
        """End the process, when its runs have ended."""
        self._process.terminate()
        self._process.communicate(timeout=20)
        self._directory.cleanup()

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], directory: Path, seconds: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run samaops with these arguments until it ends. Raises TimeoutExpired, with where its threads are on stderr."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            wanted = json.dumps([list(words), dict(environment), str(directory)]).encode()
            with Path(os.devnull).open("rb") as stdin, socket.socket(socket.AF_UNIX) as line:
                line.connect(self._address)
                streams = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
                socket.send_fds(line, [_NUMBER.pack(len(wanted))], streams)
                line.sendall(wanted)
                (process,) = _NUMBER.unpack(_read(line, _NUMBER.size))
                line.settimeout(seconds)
                try:
                    (code,) = _NUMBER.unpack(_read(line, _NUMBER.size))
                except TimeoutError:
                    os.kill(process, signal.SIGABRT)  # Python's fault handler writes where every thread is
                    line.settimeout(20)
                    _read(line, _NUMBER.size)
                    raise subprocess.TimeoutExpired(
                        list(words), seconds, _written(stdout), _written(stderr)
                    ) from None
            return subprocess.CompletedProcess(list(words), code, _written(stdout), _written(stderr))


def _read(line: socket.socket, size: int) -> bytes:
    blocks = b""
    while len(blocks) < size:
        block = line.recv(size - len(blocks))
        assert block, "the warm Python ended in the middle of a run"
        blocks += block
    return blocks


def _written(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _serve(address: str) -> None:
    """Import, then hand each connection to a fork, which forks the run and tells how it ended."""
    for module in pkgutil.walk_packages(samaops.__path__, "samaops."):
        if not module.name.startswith("samaops.lab.") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        line, _address = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _hand_over(line)
            return
        line.close()


def _hand_over(line: socket.socket) -> None:
    """Fork the run: this returns in the run, which goes on as samaops, and not in the process that waits for it."""
    head, streams, _flags, _from = socket.recv_fds(line, _NUMBER.size, 3)
    words, environment, directory = json.loads(_read(line, _NUMBER.unpack(head)[0]))
    process = os.fork()
    if process:
        with contextlib.suppress(OSError):  # who asked has gone
            line.sendall(_NUMBER.pack(process))
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            line.sendall(_NUMBER.pack(code))
        os._exit(0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1024)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    faulthandler.enable()
    sys.argv[1:] = words


if __name__ == "__main__":
    _serve(sys.argv[1])
    # Only a run comes here, and ends as every samaops ends.
    runpy.run_module("samaops", run_name="__main__", alter_sys=True)
