"""Run one program of this machine, bounded in time and output, with nothing of it left afterwards."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.i18n import _
from samaops.model.failure import FailureKind

MAX_OUTPUT_BYTES = 4 * 1024 * 1024


class Ended(Struct, frozen=True):
    """How a program ended, and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


def run(words: Sequence[str], timeout: float, stdin: bytes, stage: str) -> Ended:
    """Run a program under ``LC_ALL=C`` in a process group of its own and wait for it.

    Raises TimeoutError, ClientError (ERROR) for more output than is kept, OSError when it cannot be started.
    """
    ends_at = time.monotonic() + timeout
    process = start(words, stderr=subprocess.PIPE)
    try:
        stdout, stderr = _exchange(process, stdin, ends_at, stage)
        return Ended(process.wait(max(0.01, ends_at - time.monotonic())), stdout, stderr)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    finally:
        end(process)


def start(words: Sequence[str], stderr: int) -> subprocess.Popen[bytes]:
    """Start a program that Ctrl-C does not reach: whoever started it ends it.

    SHELL is what ssh runs a ProxyCommand with: not the shell of a person, with files of theirs to read first.
    """
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "LC_ALL": "C", "SHELL": "/bin/sh"},
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of a program behind: it leads a process group of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()


def _exchange(
    process: subprocess.Popen[bytes], stdin: bytes, ends_at: float, stage: str
) -> tuple[bytes, bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    outputs = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            selector.register(stream, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        unsent = memoryview(stdin)
        while selector.get_map():
            remaining = ends_at - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            for key, _events in selector.select(remaining):
                if key.fileobj is process.stdin:
                    unsent = _send(process.stdin.fileno(), unsent)
                    if not unsent:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                read = os.read(key.fd, 65536)
                if not read:
                    selector.unregister(key.fileobj)
                outputs[key.fileobj] += read  # type: ignore[index]
            if sum(map(len, outputs.values())) > MAX_OUTPUT_BYTES:
                message = _("more than {bytes} bytes of output").format(bytes=MAX_OUTPUT_BYTES)
                raise ClientError(FailureKind.ERROR, message, stage)
    return bytes(outputs[process.stdout]), bytes(outputs[process.stderr])


def _send(descriptor: int, unsent: memoryview) -> memoryview:
    """Write what fits; a command that does not read its input has had enough."""
    try:
        return unsent[os.write(descriptor, unsent) :] if unsent else unsent
    except BrokenPipeError:
        return unsent[:0]
