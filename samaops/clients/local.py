"""Run commands on this machine, for the server that samaops itself runs on."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.shell import MAX_OUTPUT_BYTES, Completed, text
from samaops.i18n import _
from samaops.model.failure import FailureKind

logger = logging.getLogger(__name__)
_STAGE = "command"


class LocalShell:
    """This machine's own shell. Has the face of a shell over SSH."""

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command line under ``LC_ALL=C`` in a process group of its own; see Shell.run."""
        logger.debug("here: %s", command)
        ends_at = time.monotonic() + timeout
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C does not reach it: it is ended here
        )
        try:
            stdout, stderr = _exchange(process, stdin, ends_at)
            exit_code = process.wait(max(0.01, ends_at - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
            raise ClientError(FailureKind.NO_ANSWER, message, _STAGE) from error
        finally:
            _end(process)
        footprint.count(commands=1, bytes_read=len(stdout) + len(stderr))
        return Completed(exit_code, text(stdout), text(stderr))

    @property
    def is_well(self) -> bool:
        """Always: there is no connection."""
        return True

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _exchange(process: subprocess.Popen[bytes], stdin: bytes, ends_at: float) -> tuple[bytes, bytes]:
    """Give a program its input and return all that it wrote. Raises TimeoutError, ClientError for too much."""
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
                raise ClientError(FailureKind.ERROR, message, _STAGE)
    return bytes(outputs[process.stdout]), bytes(outputs[process.stderr])


def _send(descriptor: int, unsent: memoryview) -> memoryview:
    """Write what fits; a command that does not read its input has had enough."""
    try:
        return unsent[os.write(descriptor, unsent) :] if unsent else unsent
    except BrokenPipeError:
        return unsent[:0]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of a program behind: it leads a process group of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
