"""Run commands on this machine, for the server that samaops itself runs on."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.shell import MAX_OUTPUT_BYTES, Completed, Sink, text
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

    @property
    def is_well(self) -> bool:
        """Always: there is no connection."""
        return True

    def close(self) -> None:
        """Do nothing: there is no connection."""
