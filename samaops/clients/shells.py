"""Commands on the servers: over SSH (paramiko, host keys verified) or on this machine.

One connection per server and run, shared by all who need it; many commands through it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from samaops.clients.errors import ClientError
from samaops.config.settings import Settings
from samaops.model.failure import FailureKind


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. Output is decoded with backslash escapes where it is not UTF-8."""

    exit_code: int
    stdout: str
    stderr: str


class Shell(Protocol):
    """Somewhere commands can be run."""

    def run(self, command: str, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a POSIX shell command line and wait for it at most ``timeout`` seconds.

        Raises ClientError (NO_ANSWER after the timeout); a non-zero exit is not an error here.
        """

    def close(self) -> None:
        """Give the connection back."""


class ShellPool:
    """The shells of one run, opened when first asked for, one per server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._opened: dict[str, Shell | ClientError] = {}

    def of(self, server: str) -> Shell:
        """Return the shell of a server, logging in the first time.

        Raises the same ClientError each time when the log-in failed: nobody tries twice in one run.
        """
        with self._lock:
            lock = self._locks.setdefault(server, threading.Lock())
        with lock:
            if server not in self._opened:
                try:
                    self._opened[server] = self._open(server)
                except ClientError as error:
                    self._opened[server] = error
            opened = self._opened[server]
        if isinstance(opened, ClientError):
            raise opened
        return opened

    def _open(self, name: str) -> Shell:
        from samaops.clients import local, ssh

        server = self._settings.servers.get(name)
        if server is None:
            raise ClientError(FailureKind.MISSING, f"[servers.{name}] is not configured")
        if server.ssh == "none":
            raise ClientError(FailureKind.MISSING, f'[servers.{name}] ssh = "none"')
        if server.ssh == "local":
            return local.LocalShell()
        return ssh.connect(server.address, server.ssh)

    def close(self) -> None:
        """Close every connection that was opened."""
        with self._lock:
            opened = list(self._opened.values())
        for shell in opened:
            if not isinstance(shell, ClientError):
                shell.close()
