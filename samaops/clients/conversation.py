"""A command on a server that lives as long as somebody talks with it: a line to it, a line from it.

Its standard input ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time

from samaops.clients import commands
from samaops.clients.errors import ClientError
from samaops.clients.shells import text
from samaops.i18n import _
from samaops.model.failure import FailureKind

_STAGE = "ssh session"
# A line of an answer is a few words and a name; more is not what we talk with.
_LONGEST_LINE_BYTES = 64 * 1024


class Conversation:
    """One such command. After the first error it is over."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._to, self._from, self._errors = process.stdin, process.stdout, process.stderr
        self._heard = b""
        for stream in (self._to, self._errors):
            os.set_blocking(stream.fileno(), False)

    def ask(self, line: str, timeout: float) -> str:
        """Tell it a line and return the line that it answers. Raises ClientError."""
        self.tell(line, timeout)
        return self.hear(timeout)

    def tell(self, line: str, timeout: float) -> None:
        """Send a line. Raises ClientError."""
        unsent, ends_at = line.encode("utf-8") + b"\n", time.monotonic() + timeout
        try:
            while unsent:
                self._await(self._to.fileno(), select.POLLOUT, ends_at)
                unsent = unsent[os.write(self._to.fileno(), unsent) :]
        except (OSError, ValueError) as error:
            raise self._over(error) from error

    def hear(self, timeout: float) -> str:
        """Return the next line, at most ``timeout`` seconds later. Raises ClientError."""
        ends_at = time.monotonic() + timeout
        while b"\n" not in self._heard:
            try:
                self._await(self._from.fileno(), select.POLLIN, ends_at)
                block = os.read(self._from.fileno(), 4096)
            except (OSError, ValueError) as error:
                raise self._over(error) from error
            self._heard += block
            if not block or len(self._heard) > _LONGEST_LINE_BYTES:
                raise self._over(None)
        line, _newline, self._heard = self._heard.partition(b"\n")
        return text(line)

    def finish(self, timeout: float) -> None:
        """End its standard input, and wait until it has ended too."""
        try:
            self._to.close()
            self._process.wait(timeout)
        except (OSError, subprocess.TimeoutExpired):
            return
        finally:
            commands.end(self._process)

    def _await(self, descriptor: int, event: int, ends_at: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, ends_at - time.monotonic()) * 1000):
            raise TimeoutError

    def _over(self, error: Exception | None) -> ClientError:
        if isinstance(error, TimeoutError):
            return ClientError(FailureKind.NO_ANSWER, _("no answer came"), _STAGE)
        said = b""
        with contextlib.suppress(OSError, ValueError):  # nothing was said, or it is closed
            said = os.read(self._errors.fileno(), 4096)
        words = text(said).strip() or _("the SSH connection was closed")
        return ClientError(FailureKind.CLOSED, words.splitlines()[-1], _STAGE)
