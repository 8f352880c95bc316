"""Run commands on this machine, for the server that samaops itself runs on."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.shell import LONGEST_LINE_BYTES, MAX_OUTPUT_BYTES, Completed, Sink, text
from samaops.config import programs
from samaops.i18n import _
from samaops.model.failure import FailureKind

logger = logging.getLogger(__name__)
_STAGE = "command"


class LocalShell:
    """This machine's own shell. Has the face of a shell over SSH."""

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command line under ``LC_ALL=C``; see Shell.run."""
        logger.debug("here: %s", command)
        try:
            ended = programs.run(["sh", "-c", command], timeout, MAX_OUTPUT_BYTES, stdin=stdin, locale="C")
        except TimeoutError as error:
            message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
            raise ClientError(FailureKind.NO_ANSWER, message, _STAGE) from error
        except programs.TooMuchOutputError as error:
            message = _("more than {bytes} bytes of output").format(bytes=MAX_OUTPUT_BYTES)
            raise ClientError(FailureKind.ERROR, message, _STAGE) from error
        footprint.count(commands=1, bytes_read=len(ended.stdout) + len(ended.stderr))
        return Completed(ended.exit_code, text(ended.stdout), text(ended.stderr))

    def stream(self, command: str, timeout: float, source: Iterable[bytes], sink: Sink) -> Completed:
        """Run a command line whose input and output have no end that fits into memory; see Shell.stream."""
        logger.debug("here: %s", command)
        try:
            ended = programs.pour(["sh", "-c", command], timeout, source, sink, locale="C")
        except TimeoutError as error:
            message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
            raise ClientError(FailureKind.NO_ANSWER, message, _STAGE) from error
        footprint.count(commands=1)
        return Completed(ended.exit_code, "", text(ended.stderr))

    def converse(self, command: str, timeout: float) -> LocalConversation:  # noqa: ARG002 - it starts at once
        """Start a command line that answers each line it is told; see Shell.converse."""
        logger.debug("here: %s", command)
        return LocalConversation(programs.start(["sh", "-c", command], locale="C"))

    @property
    def is_well(self) -> bool:
        """Always: there is no connection."""
        return True

    def close(self) -> None:
        """Do nothing: there is no connection."""


class LocalConversation:
    """A command of this machine that answers line by line; see ``shell.Conversation``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._in, self._out, self._errors = process.stdin, process.stdout, process.stderr
        self._unread = b""

    def ask(self, line: str, timeout: float) -> str:
        """Tell it a line and return the line that it answers. Raises ClientError."""
        self.tell(line, timeout)
        return self.hear(timeout)

    def tell(self, line: str, timeout: float) -> None:
        """Send a line. Raises ClientError."""
        ends_at, unsent = time.monotonic() + timeout, line.encode("utf-8") + b"\n"
        os.set_blocking(self._in.fileno(), False)
        while unsent:
            if not select.select([], [self._in], [], max(0.0, ends_at - time.monotonic()))[1]:
                raise ClientError(FailureKind.NO_ANSWER, _("no answer came"), _STAGE)
            try:
                unsent = unsent[os.write(self._in.fileno(), unsent) :]
            except BlockingIOError:
                continue
            except (OSError, ValueError) as error:
                raise self._over() from error

    def hear(self, timeout: float) -> str:
        """Return the next line, at most ``timeout`` seconds later. Raises ClientError."""
        ends_at = time.monotonic() + timeout
        while b"\n" not in self._unread:
            if not select.select([self._out], [], [], max(0.0, ends_at - time.monotonic()))[0]:
                raise ClientError(FailureKind.NO_ANSWER, _("no answer came"), _STAGE)
            block = os.read(self._out.fileno(), 65536)
            self._unread += block
            if not block or len(self._unread) > LONGEST_LINE_BYTES:
                raise self._over()
        line, _newline, self._unread = self._unread.partition(b"\n")
        return text(line)

    def finish(self, timeout: float) -> None:
        """End its standard input, and wait until it has ended too; what stays then is ended."""
        with suppress(OSError):
            self._in.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        programs.end(self._process)

    def _over(self) -> ClientError:
        os.set_blocking(self._errors.fileno(), False)
        with suppress(BlockingIOError):
            words = text(self._errors.read(4096) or b"").strip()
            if words:
                return ClientError(FailureKind.CLOSED, words.splitlines()[-1], _STAGE)
        return ClientError(FailureKind.CLOSED, _("the program has ended"), _STAGE)
