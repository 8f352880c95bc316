"""One SSH connection that is open: many commands side by side, each bounded in time and output."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from samaops.clients import commands, footprint
from samaops.clients.conversation import Conversation
from samaops.clients.errors import ClientError
from samaops.clients.shells import Completed, text
from samaops.i18n import _
from samaops.model.failure import FailureKind

# sshd allows 10 sessions per connection by default (MaxSessions); one of them holds the connection itself.
MAX_SESSIONS = 8
# ssh's own exit code when it is the connection that failed; a command may end with it too.
_SSH_FAILED = 255
_STAGE = "ssh command"


class SshShell:
    """One authenticated connection to one server: an ``ssh`` that others of it share (ControlMaster)."""

    def __init__(self, master: subprocess.Popen[bytes], directory: Path, words: Sequence[str]) -> None:
        self._master = master
        self._directory = directory
        self._words = words
        self._sessions = threading.BoundedSemaphore(MAX_SESSIONS)
        self._has_failed = False

    @property
    def is_well(self) -> bool:
        """Whether the connection stands and every command was answered: a dead one may look alive for minutes."""
        return not self._has_failed and self._master.poll() is None

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command line under ``LC_ALL=C``; see Shell.run."""
        ends_at = time.monotonic() + timeout
        if not self._sessions.acquire(timeout=timeout):
            raise ClientError(
                FailureKind.NO_ANSWER, _("all SSH sessions of this connection are busy"), "ssh session"
            )
        left = max(0.01, ends_at - time.monotonic())
        try:
            ended = commands.run([*self._words, _bounded_on_server(command, left)], left, stdin, _STAGE)
        except TimeoutError as error:
            self._has_failed = True
            message = _("the command did not end within {seconds:.1f} s").format(seconds=timeout)
            raise ClientError(FailureKind.NO_ANSWER, message, _STAGE) from error
        finally:
            self._sessions.release()
        if ended.exit_code == _SSH_FAILED and self._was_lost(ended.stderr):
            raise self._lost(ended.stderr)
        footprint.count(commands=1, bytes_read=len(ended.stdout) + len(ended.stderr))
        return Completed.of(ended)

    def converse(self, command: str) -> Conversation:
        """Start a command line that answers each line it is told, until it is closed; see Conversation.

        It does not count among the sessions for commands: it would take one from them for good.
        """
        if self._master.poll() is not None:
            raise self._lost(b"")
        return Conversation(commands.start([*self._words, command], stderr=subprocess.PIPE))

    def _was_lost(self, stderr: bytes) -> bool:
        # The master is gone, or it gave us no session: ssh then tries a connection of its own, which we forbid.
        return self._master.poll() is not None or b"mux_client" in stderr or b"Connection closed" in stderr

    def _lost(self, stderr: bytes) -> ClientError:
        self._has_failed = True
        lines = text(stderr).strip().splitlines()
        refused = [line.partition(": ")[2] for line in lines if line.startswith("mux_client_request_session")]
        if self._master.poll() is None and refused:
            return ClientError(FailureKind.ERROR, refused[0], "ssh session")
        return ClientError(
            FailureKind.CLOSED, self._last_words() or _("the SSH connection was closed"), _STAGE
        )

    def _last_words(self) -> str:
        """Return what the server's shell said before it ended the session that holds the connection."""
        if self._master.poll() is None or self._master.stdout is None or self._master.stdout.closed:
            return ""
        os.set_blocking(self._master.stdout.fileno(), False)
        lines = text(self._master.stdout.read() or b"").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """Close the connection at once."""
        close(self._master, self._directory)


def _bounded_on_server(command: str, seconds: float) -> str:
    """Wrap a command so that nothing of it stays on the server when we are gone."""
    return f"env LC_ALL=C timeout -k 1 {math.ceil(seconds) + 1} sh -c {shlex.quote(command)}"


def close(master: subprocess.Popen[bytes], directory: Path) -> None:
    """End a connection at once, however far it has come, and what it left on this machine."""
    commands.end(master)
    remove(directory)


def remove(directory: Path) -> None:
    """Remove the directory of a control socket, whatever ssh has left in it."""
    with contextlib.suppress(OSError):  # another thread may be as far
        for left in directory.iterdir():
            left.unlink()
        directory.rmdir()
