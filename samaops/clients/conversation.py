"""A command on a server that lives as long as somebody talks with it: a line to it, a line from it.

Its standard input ends with the connection, and the connection with this process, however that ends.
"""

from __future__ import annotations

import time

from samaops.clients.errors import ClientError
from samaops.clients.ssh_library import paramiko
from samaops.i18n import _
from samaops.model.failure import FailureKind

_STAGE = "ssh session"
# A line of an answer is a few words and a name; more is not what we talk with.
_LONGEST_LINE_BYTES = 64 * 1024


class Conversation:
    """One such command. After the first error it is over."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._heard = b""

    def ask(self, line: str, timeout: float) -> str:
        """Tell it a line and return the line that it answers. Raises ClientError."""
        self.tell(line, timeout)
        return self.hear(timeout)

    def tell(self, line: str, timeout: float) -> None:
        """Send a line. Raises ClientError."""
        try:
            self._channel.settimeout(timeout)
            self._channel.sendall(line.encode("utf-8") + b"\n")
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._over(error) from error

    def hear(self, timeout: float) -> str:
        """Return the next line, at most ``timeout`` seconds later. Raises ClientError."""
        ends_at = time.monotonic() + timeout
        while b"\n" not in self._heard:
            try:
                self._channel.settimeout(max(0.01, ends_at - time.monotonic()))
                block = self._channel.recv(4096)
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise self._over(error) from error
            self._heard += block
            if not block or len(self._heard) > _LONGEST_LINE_BYTES:
                raise self._over(None)
        line, _newline, self._heard = self._heard.partition(b"\n")
        return text(line)

    def finish(self, timeout: float) -> None:
        """End its standard input, and wait until it has ended too."""
        try:
            self._channel.shutdown_write()
            self._channel.status_event.wait(timeout)
        except (paramiko.SSHException, EOFError, OSError):
            return  # it has ended already
        finally:
            self._channel.close()

    def _over(self, error: Exception | None) -> ClientError:
        if isinstance(error, TimeoutError):
            return ClientError(FailureKind.NO_ANSWER, _("no answer came"), _STAGE)
        said = b""
        if self._channel.recv_stderr_ready():
            said = self._channel.recv_stderr(4096)
        words = text(said).strip() or _("the SSH connection was closed")
        return ClientError(FailureKind.CLOSED, words.splitlines()[-1], _STAGE)


def text(words: bytes) -> str:
    """Return bytes from outside as text, backslash escapes where they are not UTF-8."""
    return words.decode("utf-8", errors="backslashreplace")
