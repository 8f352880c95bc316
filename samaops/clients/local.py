"""Run commands on this machine, for the server that samaops itself runs on."""

from __future__ import annotations

from samaops.clients import commands, footprint
from samaops.clients.errors import ClientError
from samaops.clients.shells import Completed
from samaops.i18n import _
from samaops.model.failure import FailureKind


class LocalShell:
    """This machine's own shell. Has the face of a shell over SSH."""

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command line under ``LC_ALL=C``; see Shell.run."""
        try:
            ended = commands.run(["sh", "-c", command], timeout, stdin, "command")
        except TimeoutError as error:
            message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
            raise ClientError(FailureKind.NO_ANSWER, message, "command") from error
        footprint.count(commands=1, bytes_read=len(ended.stdout) + len(ended.stderr))
        return Completed.of(ended)

    @property
    def is_well(self) -> bool:
        """Always: there is no connection."""
        return True

    def close(self) -> None:
        """Do nothing: there is no connection."""
